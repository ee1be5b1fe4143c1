package segment_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
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
			for _, value := range []string{fmt.Sprint(segment.ServiceColumn, " ", string(row.Service())), fmt.Sprint(status, " ", b.String(span.TextID(row.Attrs()[0].Value)))} {
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

// Verify finds every lie in the standing terms.
func TestVerifyFindsEveryLieOfStandingTerms(t *testing.T) {
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

// TestAFileOfVersion1IsRead: it has no standing terms, and else gives what it always gave.
func TestAFileOfVersion1IsRead(t *testing.T) {
	fs := vfs.NewCrash(1)
	traces := inOrder(newOdd(5).batch(300))
	write(t, fs, "s", traces, 10)
	data, ok := segment.OfVersion1(fs, "s")
	if !ok {
		t.Fatal("no file of version 1 was made")
	}
	old := with(t, "s", data)
	s := open(t, old, "s")
	defer s.Close()
	wantContents(t, s, traces)
	if terms := standingTerms(t, s); len(terms) > 0 {
		t.Errorf("%d standing terms", len(terms))
	}
	if err := segment.Verify(old, "s"); err != nil {
		t.Error(err)
	}
	lines, err := printed(old, "s", 16)
	if err != nil || len(lines) == 0 {
		t.Errorf("printed in %d lines: %v", len(lines), err)
	}
	newer := bytes.Clone(data)
	newer[8] = 9
	if _, err := segment.Open(with(t, "s", newer), "s"); err == nil {
		t.Error("a file whose header was changed is opened")
	}
}
