package segment_test

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// small is a segment of a few KiB with odd spans, and mixed one with templates of its row
// group's own, columns of each kind, map columns and filters.
func small(t testing.TB) (data []byte, answer []byte) {
	t.Helper()
	fs := vfs.NewCrash(1)
	write(t, fs, "small.seg", inOrder(newOdd(5).batch(40)), 7)
	return dataAndAnswer(t, fs)
}

func mixed(t testing.TB) (data []byte, answer []byte) {
	t.Helper()
	fs := vfs.NewCrash(1)
	writeMany(t, fs, "small.seg", inOrder(many(40)), 20)
	return dataAndAnswer(t, fs)
}

func dataAndAnswer(t testing.TB, fs vfs.FS) (data []byte, answer []byte) {
	t.Helper()
	data = bytesOf(t, fs, "small.seg")
	if len(data) > 16<<10 {
		t.Fatalf("the segment has %d bytes, too many to flip each bit", len(data))
	}
	answer, err := everything(fs, "small.seg")
	if err != nil {
		t.Fatal(err)
	}
	return data, answer
}

// bytesOf gives a file whole.
func bytesOf(t testing.TB, fs vfs.FS, name string) []byte {
	t.Helper()
	data, err := vfs.ReadFile(fs, name, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// with gives a file system that holds one file with these bytes.
func with(t testing.TB, name string, data []byte) *vfs.Crash {
	t.Helper()
	fs := vfs.NewCrash(1)
	file, err := fs.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt(data, 0); err != nil {
		t.Fatal(err)
	}
	return fs
}

// everything writes out all that a segment answers.
func everything(m vfs.FS, name string) ([]byte, error) {
	s, err := segment.Open(m, name)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	rows, err := contents(s)
	if err != nil {
		return nil, err
	}
	out := bytes.Join(rows, []byte("|"))
	more, err := looked(s)
	if err != nil {
		return nil, err
	}
	out = append(out, more...)
	hashes, err := s.Hashes()
	if err != nil {
		return nil, err
	}
	out = fmt.Appendf(out, "%+v %v", s.Info(), hashes)
	for i := range s.TraceCount() {
		first, n := s.TraceRows(i)
		out = fmt.Appendf(out, " %s %d %d", s.TraceID(i), first, n)
	}
	for i := range s.Groups() {
		out = fmt.Appendf(out, " %+v", s.Group(i))
	}
	out = s.Catalog().AppendBinary(out)
	out = fmt.Appendf(out, "%+v", *s.Resources())
	return fmt.Appendf(out, "%+v", *s.Scopes()), nil
}

// wantHarmless fails unless the bytes give the right answer or an error that names file
// and offset; Verify must find any change.
func wantHarmless(t *testing.T, what string, data, answer []byte) {
	t.Helper()
	m := with(t, "small.seg", data)
	got, err := everything(m, "small.seg")
	switch {
	case err == nil:
		if !bytes.Equal(got, answer) {
			t.Fatalf("%s: a different answer, silently", what)
		}
	case !errors.Is(err, codec.ErrCorrupt) && !errors.Is(err, codec.ErrVersion):
		t.Fatalf("%s: error is not marked: %v", what, err)
	case !strings.Contains(err.Error(), "small.seg") || !strings.Contains(err.Error(), "offset"):
		t.Fatalf("%s: error without file and offset: %v", what, err)
	}
	if err == nil {
		if err := segment.Verify(m, "small.seg"); !errors.Is(err, codec.ErrCorrupt) {
			t.Fatalf("%s: Verify finds nothing: %v", what, err)
		}
	}
}

func TestASegmentCutAtEveryByteIsRefused(t *testing.T) {
	for _, form := range []func(testing.TB) ([]byte, []byte){small, mixed} {
		data, _ := form(t)
		for cut := range len(data) {
			m := with(t, "small.seg", data[:cut])
			_, err := segment.Open(m, "small.seg")
			if !errors.Is(err, codec.ErrCorrupt) || !strings.Contains(err.Error(), "small.seg: offset ") {
				t.Fatalf("cut to %d bytes: %v", cut, err)
			}
		}
	}
}

func TestEveryFlippedBitIsHarmlessOrReported(t *testing.T) {
	step := 1
	if testing.Short() {
		step = 37
	}
	for _, form := range []func(testing.TB) ([]byte, []byte){small, mixed} {
		data, answer := form(t)
		for bit := 0; bit < len(data)*8; bit += step {
			flipped := slices.Clone(data)
			flipped[bit/8] ^= 1 << (bit % 8)
			wantHarmless(t, fmt.Sprintf("bit %d of byte %d", bit%8, bit/8), flipped, answer)
		}
	}
}

func TestWrongBytesAnywhereAreHarmlessOrReported(t *testing.T) {
	data, answer := small(t)
	for at := range data {
		long := append(slices.Clone(data), data[:at]...)
		wantHarmless(t, fmt.Sprintf("%d bytes appended", at+1), append(long, 0), answer)
		zeroed := slices.Clone(data)
		clear(zeroed[at:min(at+64, len(zeroed))])
		if !bytes.Equal(zeroed, data) {
			wantHarmless(t, fmt.Sprintf("64 bytes zeroed at %d", at), zeroed, answer)
		}
	}
}

// A newer file is told apart from damage.
func TestANewerSegmentIsRefusedAsNewer(t *testing.T) {
	data, _ := small(t)
	newer := slices.Clone(data)
	newer[8]++
	crc := codec.CRC(newer[:12])
	newer[12], newer[13], newer[14], newer[15] = byte(crc), byte(crc>>8), byte(crc>>16), byte(crc>>24)
	_, err := segment.Open(with(t, "small.seg", newer), "small.seg")
	if !errors.Is(err, codec.ErrVersion) || errors.Is(err, codec.ErrCorrupt) {
		t.Fatalf("a newer file: %v", err)
	}
}

// Same rows, same bytes: across runs, processors, and the pieces a trace comes in.
func TestSameRowsGiveTheSameBytes(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	var first []byte
	for run, processors := range []int{1, 2, 2, 1} {
		runtime.GOMAXPROCS(processors)
		m := vfs.NewCrash(1)
		o := newOdd(77)
		o.traces = 300
		write(t, m, "s", inOrder(o.batch(5000), o.batch(4000)), []int{1 << 20, 1, 13, 500}[run])
		if data := bytesOf(t, m, "s"); first == nil {
			first = data
		} else if !bytes.Equal(first, data) {
			t.Fatalf("run %d on %d processors gives other bytes", run, processors)
		}
	}
}

// Whatever call of the file system fails, the writer says so, and nothing stays behind.
func TestAWriterThatFailsLeavesNothing(t *testing.T) {
	o := newOdd(3)
	o.large = 4000
	traces := inOrder(o.batch(900))
	broken := errors.New("broken disk")
	for failAt := 1; ; failAt++ {
		m := vfs.NewCrash(uint64(failAt))
		m.FailAt(failAt, broken)
		err := writeAll(m, traces)
		if err == nil && m.Calls() < failAt {
			if failAt < 6 {
				t.Fatalf("only %d calls: the test tests little", m.Calls())
			}
			return // all calls succeeded
		}
		if !errors.Is(err, broken) {
			t.Fatalf("call %d failed and the writer says %v", failAt, err)
		}
		if names, err := m.List("."); err != nil || len(names) > 0 {
			t.Fatalf("call %d failed and %q stay: %v", failAt, names, err)
		}
	}
}

// What Finish and a sync of the folder promise survives a power cut.
func TestAFinishedSegmentSurvivesAPowerCut(t *testing.T) {
	m := vfs.NewCrash(9)
	traces := inOrder(newOdd(3).batch(900))
	write(t, m, "s", traces, 10)
	if err := m.SyncDir("."); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		s := open(t, m.Crash(), "s")
		wantContents(t, s, traces)
		s.Close()
	}
}

func writeAll(m vfs.FS, traces []trace) error {
	w, err := segment.NewWriter(m, "s", meta())
	if err != nil {
		return err
	}
	defer w.Abort()
	for _, trace := range traces {
		if err := w.Add(trace.id, trace.rows); err != nil {
			return err
		}
	}
	_, err = w.Finish()
	return err
}

// A read that fails says so with file and offset, and the next one works.
func TestAFailedReadIsReportedAndTheNextOneWorks(t *testing.T) {
	data, answer := small(t)
	broken := errors.New("broken disk")
	for failAt := 1; ; failAt++ {
		m := with(t, "small.seg", data)
		before := m.Calls()
		m.FailAt(failAt, broken)
		got, err := everything(m, "small.seg")
		if err == nil {
			if !bytes.Equal(got, answer) {
				t.Fatalf("call %d failed: another answer", failAt)
			}
			if m.Calls()-before < failAt {
				return
			}
			continue // closing after reading: nothing depends on it
		}
		if !errors.Is(err, broken) {
			t.Fatalf("call %d failed: %v", failAt, err)
		}
		if got, err = everything(m, "small.seg"); err != nil || !bytes.Equal(got, answer) {
			t.Fatalf("after a failed call %d: %v", failAt, err)
		}
	}
}
