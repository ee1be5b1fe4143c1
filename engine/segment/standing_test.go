package segment_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/index"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// answered is a load of some hundred places, all of which answer with one of five statuses; one in
// seven fails at times, and says so with a sixth. A user has one of a hundred numbers.
func answered(i, j int) (name, key, value string) {
	random := uint64(i+1) * 0x9e3779b97f4a7c15
	place := random >> 33 % 700
	name = fmt.Sprint("place ", place)
	switch j {
	case 0:
		status := 200 + random>>50%5
		if place%7 == 0 && random>>13%16 == 0 {
			status = 500
		}
		return name, "status", fmt.Sprint(status)
	case 1:
		return name, "user", fmt.Sprint(random >> 20 % 100)
	case 2:
		return name, "order", fmt.Sprintf("%x", random)
	}
	return name, fmt.Sprint("of place ", j), fmt.Sprint(place)
}

func answeredSegment(t *testing.T) vfs.FS {
	t.Helper()
	fs := onDisk(t)
	writeStorm(t, fs, answered, 30_000, func() {})
	return fs
}

// standingTerms gives all standing terms, by column and value.
func standingTerms(t *testing.T, s *segment.Segment) map[string][]uint32 {
	t.Helper()
	terms, err := s.Standing()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]uint32{}
	for _, id := range terms.Columns() {
		err := terms.Each(id, func(text []byte, p index.Postings) error {
			var list []uint32
			p.Each(func(template uint32) bool {
				list = append(list, template)
				return true
			})
			all[fmt.Sprint(id, " ", string(text))] = list
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// TestStandingTermsAreThoseOfTheRows: a value that few templates have is told with all of these, a
// service too, and nothing is told of values that nearly all have or that are many.
func TestStandingTermsAreThoseOfTheRows(t *testing.T) {
	fs := answeredSegment(t)
	s := open(t, fs, "s")
	defer s.Close()
	status := s.ColumnsOf(span.SpanLevel, "status")[0]
	want := map[string]map[uint32]bool{}
	for i := range s.Groups() {
		b, err := s.ReadGroup(i, segment.Projection{All: true})
		if err != nil {
			t.Fatal(err)
		}
		scan := s.Scan(i)
		codes, err := scan.Items(span.SpanLevel)
		if err != nil {
			t.Fatal(err)
		}
		shared, whole := scan.Templates(span.SpanLevel)
		if !whole {
			t.Fatal("a row group with templates of its own: the load is to have none")
		}
		for pos, code := range codes {
			row := span.Row{Batch: b, Pos: pos}
			for _, value := range []string{fmt.Sprint(segment.ServiceColumn, " ", string(row.Service())), fmt.Sprint(status, " ", b.String(span.TextID(row.AppendAttrs(nil)[0].Value)))} {
				if want[value] == nil {
					want[value] = map[uint32]bool{}
				}
				want[value][shared[code]] = true
			}
		}
	}
	got := standingTerms(t, s)
	told := 0
	for value, templates := range got {
		if list := slices.Sorted(maps.Keys(want[value])); !slices.Equal(templates, list) {
			t.Errorf("%q stands with %v, told %v", value, list, templates)
		}
		told++
	}
	for value, is := range map[string]bool{fmt.Sprint(status, " 500"): true, fmt.Sprint(status, " 200"): false, fmt.Sprint(segment.ServiceColumn, " shop"): true} {
		if _, ok := got[value]; ok != is {
			t.Errorf("%q is told: %v, of %d terms", value, ok, told)
		}
	}
	if err := segment.Verify(fs, "s"); err != nil {
		t.Error(err)
	}
}

// Verify finds lies in the standing terms: in some sixty bytes, from first to last.
func TestVerifyFindsLiesOfStandingTerms(t *testing.T) {
	fs := answeredSegment(t)
	for at, size := 0, 1; at < size; at++ {
		data, ok := segment.ForgeSection(fs, "s", "standing terms", func(payload []byte) []byte {
			size = len(payload)
			payload = slices.Clone(payload)
			payload[at] ^= 1
			return payload
		})
		if err := segment.Verify(with(t, "s", data), "s"); !ok || !errors.Is(err, codec.ErrCorrupt) {
			t.Errorf("byte %d of %d: Verify says %v", at, size, err)
		}
		at += size / 60
	}
}

// version1 gives the bytes of a file of version 1, as it was printed when that was the newest.
func version1(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/version1.golden")
	if err != nil {
		t.Fatal(err)
	}
	var data []byte
	for line := range strings.Lines(string(text)) {
		digits := strings.Join(strings.Fields(line), "")
		if raw, err := hex.DecodeString(digits); err == nil && strings.HasPrefix(line, strings.Repeat(" ", 17)) {
			data = append(data, raw...)
		}
	}
	return data
}

// TestAFileOfVersion1IsRead: it has no standing terms, and else gives what it always gave; what is
// made of it is of this version, and a version to come is refused as that.
func TestAFileOfVersion1IsRead(t *testing.T) {
	data := version1(t)
	fs := with(t, "s", data)
	s := open(t, fs, "s")
	defer s.Close()
	traces := inOrder(readable())
	wantContents(t, s, traces)
	if terms := standingTerms(t, s); len(terms) > 0 {
		t.Errorf("%d standing terms", len(terms))
	}
	if err := segment.Verify(fs, "s"); err != nil {
		t.Error(err)
	}
	lines, err := printed(fs, "s", 16)
	if err != nil || !strings.Contains(lines[0], "version 1") {
		t.Errorf("printed as %q: %v", lines, err)
	}
	analysis, err := s.Analyze()
	for _, p := range analysis.Parts {
		if strings.Contains(p.What, "standing") {
			t.Errorf("a part of it is %+v", p)
		}
	}
	if err != nil {
		t.Error(err)
	}
	w, err := segment.NewWriter(fs, "again", meta())
	if err != nil {
		t.Fatal(err)
	}
	if taken, err := w.AddGroup(s, 0); !taken || err != nil {
		t.Fatalf("its row group is taken over: %v, %v", taken, err)
	}
	if _, err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	again := open(t, fs, "again")
	defer again.Close()
	wantContents(t, again, traces)
	if lines, err := printed(fs, "again", 16); err != nil || !strings.Contains(lines[0], "version 2") {
		t.Errorf("what is made of it is printed as %q: %v", lines, err)
	}
	newer := bytes.Clone(data)
	newer[8] = 9
	binary.LittleEndian.PutUint32(newer[12:], codec.CRC(newer[:12]))
	if _, err := segment.Open(with(t, "s", newer), "s"); !errors.Is(err, codec.ErrVersion) {
		t.Errorf("a file of version 9: %v", err)
	}
}

// TestStandingTermsOfManyValuesAreLeftOut: whichever columns and services a writer has no room for,
// in the middle of a row group too, what it tells of the others is true.
func TestStandingTermsOfManyValuesAreLeftOut(t *testing.T) {
	told := map[int]bool{}
	for _, bytes := range []int{100, 700, 1400, 2800, 5600, 11_200} {
		restore := segment.LowerStandingBytes(bytes)
		fs := onDisk(t)
		writeStorm(t, fs, func(i, j int) (name, key, value string) {
			if name, key, value = answered(i, j); j == 2 {
				key, value = "region", fmt.Sprint(i*7919%40)
			}
			return name, key, value
		}, 30_000, func() {})
		restore()
		s := open(t, fs, "s")
		told[len(standingTerms(t, s))] = true
		s.Close()
		if err := segment.Verify(fs, "s"); err != nil {
			t.Errorf("%d bytes: %v", bytes, err)
		}
	}
	if !told[0] || len(told) < 3 {
		t.Errorf("numbers of terms: %v; none with little room, and several others", told)
	}
}

// A file whose standing terms name templates that it does not have is refused, not believed.
func TestForgedStandingTermsAreAnsweredOrRefused(t *testing.T) {
	fs := answeredSegment(t)
	opened, refused := 0, 0
	for at, size := 0, 1; at < size; at += 1 + size/200 {
		data, ok := segment.ForgeSection(fs, "s", "standing terms", func(payload []byte) []byte {
			size = len(payload)
			payload = slices.Clone(payload)
			payload[at] ^= 0xff
			return payload
		})
		forged := with(t, "s", data)
		s, err := segment.Open(forged, "s")
		if err != nil {
			if refused++; !ok || !errors.Is(err, codec.ErrCorrupt) {
				t.Fatalf("byte %d: %v", at, err)
			}
			continue
		}
		opened++
		terms, err := s.Standing()
		if err != nil {
			t.Fatalf("byte %d: %v, after an open without an error", at, err)
		}
		templates, err := s.Templates(span.SpanLevel)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range terms.Columns() {
			err := terms.Each(id, func(_ []byte, p index.Postings) error {
				p.Each(func(template uint32) bool {
					if int(template) >= templates.Len() {
						t.Errorf("byte %d: template %d of %d", at, template, templates.Len())
					}
					return true
				})
				return nil
			})
			if err != nil && !errors.Is(err, codec.ErrCorrupt) {
				t.Errorf("byte %d: %v", at, err)
			}
		}
		s.Close()
	}
	if opened == 0 || refused == 0 {
		t.Errorf("%d forgeries opened, %d refused", opened, refused)
	}
}

// TestTemplatesStayWithTheirSegment: whoever asks gets the same ones, and what they take is counted
// once.
func TestTemplatesStayWithTheirSegment(t *testing.T) {
	s := open(t, answeredSegment(t), "s")
	defer s.Close()
	before := s.MemoryBytes()
	if info := s.Info(); before < int64(28*info.Traces) {
		t.Errorf("tables of %d bytes for %d traces", before, info.Traces)
	}
	told := make([]*segment.Templates, 8)
	var all sync.WaitGroup
	for i := range told {
		all.Go(func() {
			var err error
			if told[i], err = s.Templates(span.SpanLevel); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, other := range told {
		if other != told[0] {
			t.Error("templates were told twice")
		}
	}
	after := s.MemoryBytes()
	if after < before+int64(told[0].Batch.MemoryBytes()) || after > before+2*int64(told[0].Batch.MemoryBytes())+1<<20 {
		t.Errorf("%d bytes with templates, %d without; their batch takes %d", after, before, told[0].Batch.MemoryBytes())
	}
	if _, err := s.Templates(span.SpanLevel); err != nil || s.MemoryBytes() != after {
		t.Errorf("asked again they are counted again: %d bytes, %v", s.MemoryBytes(), err)
	}
}
