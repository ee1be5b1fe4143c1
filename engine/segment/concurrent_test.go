package segment_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/internal/vfs"
)

// Any number of readers get the same answers at once: nothing they hold is shared with a
// reader after them.
func TestReadersAtOnceDoNotDisturbEachOther(t *testing.T) {
	m := vfs.NewCrash(1)
	o := newOdd(31)
	o.traces = 2000
	write(t, m, "s", inOrder(o.batch(6000)), 10)
	s := open(t, m, "s")
	defer s.Close()
	p := segment.Projection{All: true}
	whole := segment.Projection{Times: true, Names: true, Identity: true, Attrs: true, Events: true, Links: true}
	var want [][]string
	for i := range s.Groups() {
		b, err := s.ReadGroup(i, p)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, told(b, whole))
	}
	var readers sync.WaitGroup
	for reader := range 4 {
		readers.Go(func() {
			for round := range 4 {
				i := (reader + round) % s.Groups()
				b, err := s.ReadGroup(i, p)
				if err != nil {
					t.Error(err)
					return
				}
				other, err := s.ReadGroup((i+1)%s.Groups(), p) // may use what the first read gave back
				if err != nil || other.Len() == 0 {
					t.Error(err)
				}
				if !slices.Equal(told(b, whole), want[i]) {
					t.Errorf("group %d reads differently beside other readers", i)
				}
			}
		})
	}
	readers.Wait()
}

// Readers share pages that are dropped all the time, as others open and close the same file:
// each gets what it would get alone.
func TestReadersShareFewPagesBesideOthersThatOpenAndClose(t *testing.T) {
	m := vfs.NewCrash(1)
	writeMany(t, m, "s", inOrder(many(900)), 400)
	alone := open(t, m, "s")
	want, err := looked(alone)
	if err != nil {
		t.Fatal(err)
	}
	alone.Close()
	for _, bytesMax := range []int{0, 16 << 10, 600 << 10} { // of which each of 16 parts has its share
		pages := segment.NewPages(bytesMax)
		shared, err := segment.OpenWith(m, "s", pages)
		if err != nil {
			t.Fatal(err)
		}
		var readers sync.WaitGroup
		look := func(s *segment.Segment) {
			got, err := looked(s)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%d bytes of pages: another answer: %v", bytesMax, err)
			}
		}
		for reader := range 6 {
			readers.Go(func() {
				for range 4 {
					if reader%3 > 0 {
						look(shared)
						continue
					}
					own, err := segment.OpenWith(m, "s", pages)
					if err != nil {
						t.Error(err)
						return
					}
					look(own)
					own.Close()
				}
			})
		}
		readers.Wait()
		shared.Close()
	}
}
