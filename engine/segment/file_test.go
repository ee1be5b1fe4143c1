package segment_test

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/index"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/invariant"
	"github.com/stoadb/stoa/internal/vfs"
)

// reads is a file system that adds up what is read of its files, and panics at one of the reads.
type reads struct {
	vfs.FS
	bytes, count, panicAt atomic.Int64
}

type readFile struct {
	vfs.File
	disk *reads
}

func (r *reads) Open(name string) (vfs.File, error) {
	f, err := r.FS.Open(name)
	if err != nil {
		return nil, err
	}
	return readFile{f, r}, nil
}

func (f readFile) ReadAt(p []byte, offset int64) (int, error) {
	if f.disk.count.Add(1) == f.disk.panicAt.Load() {
		panic("boom")
	}
	n, err := f.File.ReadAt(p, offset)
	f.disk.bytes.Add(int64(n))
	return n, err
}

// TestTablesAreReadOnce by all who ask for them at once, and not before; what they take in memory is told
// from then on, and is what a segment opened whole tells.
func TestTablesAreReadOnce(t *testing.T) {
	data, answer := mixed(t)
	disk := &reads{FS: with(t, "small.seg", data)}
	f, err := segment.OpenFile(disk, "small.seg", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	opening, before := disk.bytes.Swap(0), f.MemoryBytes()
	var asking sync.WaitGroup
	var opened [8]*segment.Segment
	for i := range opened {
		asking.Go(func() {
			var err error
			if opened[i], err = f.Segment(); err != nil {
				t.Error(err)
			}
		})
	}
	asking.Wait()
	once := disk.bytes.Swap(0)
	for _, s := range opened {
		if s == nil || s != opened[0] {
			t.Fatal("those who asked at once have different segments")
		}
	}
	after := f.MemoryBytes()
	if err := f.Check(); err != nil {
		t.Fatal(err)
	}
	rest := disk.bytes.Swap(0)
	if err := f.Check(); err != nil || disk.bytes.Load() > 0 || f.MemoryBytes() != after {
		t.Fatalf("checked again: %v, %d bytes read, memory %d, then %d", err, disk.bytes.Load(), after, f.MemoryBytes())
	}
	whole, err := segment.Open(disk, "small.seg")
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	if all := disk.bytes.Load(); opening == 0 || once == 0 || rest == 0 || opening+once+rest != all {
		t.Errorf("%d bytes read at open, %d for the tables, %d for the rest; %d of a segment opened whole", opening, once, rest, all)
	}
	if before <= 0 || after <= before || after != whole.MemoryBytes() {
		t.Errorf("memory %d, then %d; opened whole %d", before, after, whole.MemoryBytes())
	}
	got, err := everything(disk, "small.seg")
	if err != nil || !bytes.Equal(got, answer) {
		t.Errorf("another answer than before (%v)", err)
	}
}

// TestAFileFindsTracesAndNames as its segment does, the traces that are not there without reading tables.
func TestAFileFindsTracesAndNames(t *testing.T) {
	data, _ := mixed(t)
	disk := &reads{FS: with(t, "small.seg", data)}
	whole, err := segment.Open(disk, "small.seg")
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	f, err := segment.OpenFile(disk, "small.seg", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	disk.bytes.Store(0)
	denied := 0
	for i := range 1000 {
		s, _, err := f.FindTrace(span.TraceID{0xff, byte(i), byte(i >> 8)})
		if err != nil || s != nil {
			t.Fatalf("a trace that is not there: %v, %v", s, err)
		}
		if disk.bytes.Load() == 0 {
			denied++
		}
	}
	if denied == 0 {
		t.Error("tables are read for a trace that the filter denies")
	}
	for i := range whole.TraceCount() {
		s, at, err := f.FindTrace(whole.TraceID(i))
		if err != nil || s == nil || at != i || s.TraceID(at) != whole.TraceID(i) {
			t.Fatalf("trace %d is found at %d: %v", i, at, err)
		}
	}
	catalog, err := f.Catalog()
	if err != nil || !bytes.Equal(catalog.AppendBinary(nil), whole.Catalog().AppendBinary(nil)) {
		t.Errorf("another catalog: %v", err)
	}
}

// TestATableDamagedUnderAnOpenFileIsFound whichever bit it is, by the one who asks for it or by Check, is told with
// file and offset, and told of no more once it is mended.
func TestATableDamagedUnderAnOpenFileIsFound(t *testing.T) {
	step := 1
	if testing.Short() {
		step = 37
	}
	for _, form := range []func(testing.TB) ([]byte, []byte){small, mixed} {
		data, _ := form(t)
		disk := with(t, "small.seg", data)
		found := 0
		for bit := 0; bit < len(data)*8; bit += step {
			f, err := segment.OpenFile(disk, "small.seg", nil)
			if err != nil {
				t.Fatal(err)
			}
			disk.FlipBit("small.seg", int64(bit))
			_, catalogErr := f.Catalog()
			_, tablesErr := f.Segment()
			checkErr := f.Check()
			if checkErr != nil {
				found++
				if !errors.Is(checkErr, codec.ErrCorrupt) || !strings.Contains(checkErr.Error(), "small.seg: offset ") {
					t.Fatalf("bit %d: %v", bit, checkErr)
				}
			}
			if (catalogErr != nil || tablesErr != nil) && checkErr == nil || (f.Err() != nil) != (checkErr != nil) {
				t.Fatalf("bit %d: catalog %v, tables %v, check %v, told %v", bit, catalogErr, tablesErr, checkErr, f.Err())
			}
			disk.FlipBit("small.seg", int64(bit))
			if err := f.Check(); err != nil || f.Err() != nil {
				t.Fatalf("bit %d mended: %v, told %v", bit, err, f.Err())
			}
			f.Close()
		}
		// What OpenFile reads, and pages of rows, filters and cells, are not for Check.
		if found*step < 8*tableBytes(t, data) {
			t.Errorf("%d flipped bits found, the tables have %d", found*step, 8*tableBytes(t, data))
		}
	}
}

// TestAPanicWhileAFileIsCheckedIsAnError, told until a check ends well, at whichever read it is; what was half read is not
// used.
func TestAPanicWhileAFileIsCheckedIsAnError(t *testing.T) {
	data, answer := mixed(t)
	disk := &reads{FS: with(t, "small.seg", data)}
	for at := int64(1); ; at++ {
		f, err := segment.OpenFile(disk, "small.seg", nil)
		if err != nil {
			t.Fatal(err)
		}
		disk.count.Store(0)
		disk.panicAt.Store(at)
		err = f.Check()
		disk.panicAt.Store(0)
		if disk.count.Load() < at {
			if err != nil || at < 10 {
				t.Errorf("%v without a panic, %d reads", err, at-1)
			}
			f.Close()
			break
		}
		var panicked *invariant.Panic
		if !errors.As(err, &panicked) || err.Error() != "small.seg: panic: boom" || f.Err() == nil || f.Err().Error() != err.Error() {
			t.Fatalf("read %d panics: %v, told %v", at, err, f.Err())
		}
		if err := f.Check(); err != nil || f.Err() != nil {
			t.Fatalf("after a panic at read %d: %v, told %v", at, err, f.Err())
		}
		s, err := f.Segment()
		if err != nil {
			t.Fatal(err)
		}
		whole, err := segment.Open(disk, "small.seg")
		if err != nil {
			t.Fatal(err)
		}
		if s.MemoryBytes() != whole.MemoryBytes() {
			t.Errorf("after a panic at read %d tables take %d bytes, opened whole %d", at, s.MemoryBytes(), whole.MemoryBytes())
		}
		whole.Close()
		f.Close()
	}
	if got, err := everything(disk, "small.seg"); err != nil || !bytes.Equal(got, answer) {
		t.Errorf("another answer than before (%v)", err)
	}
}

// TestAFilterThatDeniesWhatIsThereIsNotTrusted once the tables have shown it: what it denies is an error.
func TestAFilterThatDeniesWhatIsThereIsNotTrusted(t *testing.T) {
	m := forgeableMixed(t)
	whole := open(t, m, "s")
	data, ok := segment.ForgeSection(m, "s", "trace filter", func([]byte) []byte { return index.AppendFilter(nil, []uint64{1, 2, 3}) })
	if !ok {
		t.Fatal("nothing is forged")
	}
	f, err := segment.OpenFile(with(t, "s", data), "s", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, check := range []func() error{func() error { _, err := f.Segment(); return err }, f.Check} {
		if err := check(); !errors.Is(err, codec.ErrCorrupt) || !strings.Contains(err.Error(), "s: offset ") {
			t.Fatalf("the tables of a filter that denies them: %v", err)
		}
	}
	for i := range whole.TraceCount() {
		s, _, err := f.FindTrace(whole.TraceID(i))
		if s != nil || !errors.Is(err, codec.ErrCorrupt) || !strings.Contains(err.Error(), "s: offset ") {
			t.Fatalf("trace %d: %v", i, err)
		}
	}
}

// tableBytes is what the pages of sections take that Check reads, but for a page's worth.
func tableBytes(t *testing.T, data []byte) int {
	t.Helper()
	disk := &reads{FS: with(t, "small.seg", data)}
	f, err := segment.OpenFile(disk, "small.seg", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	disk.bytes.Store(0)
	if err := f.Check(); err != nil {
		t.Fatal(err)
	}
	return int(disk.bytes.Load()) - 64
}
