package segment_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// countEverything reads all that counts attributes.
func countEverything(fs vfs.FS, name string) error {
	s, err := segment.Open(fs, name)
	if err != nil {
		return err
	}
	defer s.Close()
	goOn := func() error { return nil }
	_, _, keys := s.KeyCounts()
	_, resources := s.ResourceRows(goOn)
	_, scopes := s.ScopeRows(goOn)
	_, analysis := s.Analyze()
	errs := []error{keys, resources, scopes, analysis}
	for _, level := range []span.Level{span.SpanLevel, span.EventLevel, span.LinkLevel} {
		s.EachFolded(level, func(uint32, []byte, uint64, uint64) {})
		for i := range s.Groups() {
			errs = append(errs, s.EachMapped(i, level, nil, func(*span.Batch, span.Attr) {}))
		}
	}
	for i := range s.Groups() {
		for _, id := range s.AttributeColumns() {
			errs = append(errs, s.EachOwn(i, id, func([]byte, uint64, uint64) {}))
		}
	}
	for _, err := range errs {
		if err != nil && !errors.Is(err, codec.ErrCorrupt) {
			return err
		}
	}
	return nil
}

// Numbers are counted and found whichever comes first, 0 too, and whether there are few or many.
func TestNumbersOfAllKindsAreCountedAndFiltered(t *testing.T) {
	for name, value := range map[string]func(row int) uint64{
		"zero first": func(row int) uint64 { return uint64(row % 3) },
		"zero last":  func(row int) uint64 { return uint64(8999-row) / 11 },
		"many":       func(row int) uint64 { return uint64(row*7919%2000 - 1000) },
	} {
		b := calling(9000, 9, func(row int) uint64 { return uint64(row) })
		key := b.AddText([]byte("number"))
		distinct := map[uint64]bool{}
		b.AttrEnds = make([]uint32, 9000)
		for row := range b.AttrEnds {
			b.AddAttr(span.Attr{Key: key, Type: span.IntValue, Value: value(row)})
			b.AttrEnds[row] = uint32(row + 1)
			distinct[value(row)] = true
		}
		fs := vfs.NewCrash(1)
		write(t, fs, "s", inOrder(b), 100)
		s := open(t, fs, "s")
		counts, complete, err := s.KeyCounts()
		s.Close()
		if err != nil || !complete || len(counts) != 1 || counts[0].Values != 9000 {
			t.Fatalf("%s: %+v, %v", name, counts, err)
		}
		if got, want := float64(counts[0].Distinct), float64(len(distinct)); got < 0.95*want || got > 1.05*want {
			t.Errorf("%s: %v different numbers of %v", name, got, want)
		}
		if err := segment.Verify(fs, "s"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Forged pages under right checksums are reported by whoever counts, or count as something else.
func TestCountingForgedPagesIsAnErrorOrHarmless(t *testing.T) {
	fs := vfs.NewCrash(1)
	write(t, fs, "s", inOrder(newOdd(5).batch(400)), 10)
	if err := countEverything(fs, "s"); err != nil {
		t.Fatal(err)
	}
	for n := 0; ; n++ {
		for _, change := range []func([]byte) []byte{
			func(p []byte) []byte { return p[:len(p)/2] },
			func([]byte) []byte { return nil },
			func(p []byte) []byte { return append(p, 1) },
			func(p []byte) []byte { return bytes.Repeat([]byte{0xff}, len(p)) },
			func(p []byte) []byte { // another number somewhere
				p = bytes.Clone(p)
				if len(p) > 0 {
					p[len(p)*2/3] ^= 5
				}
				return p
			},
		} {
			forged, ok := segment.Forge(fs, "s", n, change)
			if !ok {
				if n < 20 {
					t.Fatalf("only %d pages were forged", n)
				}
				return
			}
			if err := countEverything(with(t, "f", forged), "f"); err != nil && !errors.Is(err, codec.ErrCorrupt) {
				t.Errorf("page %d: %v", n, err)
			}
		}
	}
}
