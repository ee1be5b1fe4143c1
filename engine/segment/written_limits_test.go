package segment_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
)

// keyed are spans of one trace, each with some of many keys, all of one number: most have a template
// to themselves.
func keyed(rows, each, keyBytes int) *span.Batch {
	b := calling(rows, rows, func(row int) uint64 { return uint64(row) })
	b.AttrEnds = make([]uint32, rows)
	r := rand.New(rand.NewPCG(1, 1))
	var keys []span.TextID
	for i := range 200 {
		key := fmt.Append(nil, "key ", i, " ")
		keys = append(keys, b.AddText(append(key, bytes.Repeat([]byte("k"), max(keyBytes-len(key), 0))...)))
	}
	for row := range rows {
		for _, k := range r.Perm(len(keys))[:each] {
			b.AddAttr(span.Attr{Key: keys[k], Type: span.IntValue, Value: 1})
		}
		b.AttrEnds[row] = uint32(len(b.AttrIDs))
	}
	return b
}

// repeated are three spans with one text of a MiB each, many times.
func repeated() *span.Batch {
	const rows = 3
	b := calling(rows, rows, func(row int) uint64 { return uint64(row) })
	b.AttrEnds = make([]uint32, rows)
	key, text := b.AddText([]byte("key")), b.AddText(bytes.Repeat([]byte("x"), 1<<20))
	for row := range rows {
		for range 60 {
			b.AddAttr(span.Attr{Key: key, Type: span.StringValue, Value: uint64(text)})
		}
		b.AttrEnds[row] = uint32(len(b.AttrIDs))
	}
	return b
}

// readTrace reads all of trace 0, and gives how many bytes that allocates, and how many of its rows have
// lists.
func readTrace(t *testing.T, s *segment.Segment, p segment.Projection) (bytes, lists int) {
	t.Helper()
	bytes = int(allocated(func() {
		c := s.Trace(0, p)
		for c.Next() {
			if _, written := c.Row().WrittenAttrs(); !written {
				lists++
			}
		}
		if c.Err() != nil {
			t.Fatal(c.Err())
		}
	}))
	return bytes, lists
}

// TestWhatTakesTooMuchIsNotWrittenFirst: where attributes stand in lists for their size, a read takes
// little more memory than one that never would write, whether templates are kept or not: by their
// keys, by all that their rows repeat, and by one text many times.
func TestWhatTakesTooMuchIsNotWrittenFirst(t *testing.T) {
	for name, b := range map[string]*span.Batch{
		"keys of a KiB": keyed(1000, 60, 1000), "a text again and again": repeated(),
	} {
		for _, pageBytes := range []int{0, 64 << 20} {
			t.Run(fmt.Sprint(name, ", ", pageBytes, " bytes of pages"), func(t *testing.T) {
				m := vfs.NewCrash(1)
				write(t, m, "s", inOrder(b), 100)
				s, err := segment.OpenWith(m, "s", segment.NewPages(pageBytes))
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				p := segment.Projection{All: true, Messages: true}
				if _, lists := readTrace(t, s, p); lists != b.Len() {
					t.Fatalf("%d of %d rows are in lists without a writer", lists, b.Len())
				}
				listed, _ := readTrace(t, s, p)
				p.Write = spelling{}
				written, lists := readTrace(t, s, p)
				again, _ := readTrace(t, s, p)
				if lists != b.Len() {
					t.Errorf("%d of %d rows are in lists", lists, b.Len())
				}
				if most := 2*listed + 24<<20; max(written, again) > most {
					t.Errorf("%d and %d bytes are allocated, %d without a writer", written, again, listed)
				}
			})
		}
	}
}

// TestTemplatesKeptPushOutNoPages: a row group's templates are kept with the page of its codes as far as
// that leaves room; this page stays, and those of another segment do.
func TestTemplatesKeptPushOutNoPages(t *testing.T) {
	m := vfs.NewCrash(1)
	write(t, m, "many", inOrder(keyed(3000, 20, 20)), 100)
	write(t, m, "other", inOrder(calling(4000, 4000, func(row int) uint64 { return uint64(row) })), 100)
	pages := segment.NewPages(24 << 20)
	var s [2]*segment.Segment
	for i, name := range []string{"many", "other"} {
		opened, err := segment.OpenWith(m, name, pages)
		if err != nil {
			t.Fatal(err)
		}
		defer opened.Close()
		s[i] = opened
	}
	var counts segment.PageCounts
	p := segment.Projection{All: true, Write: spelling{}, Pages: &counts}
	for round := range 3 {
		for i := range s {
			if counts = (segment.PageCounts{}); round == 0 {
				readTrace(t, s[i], segment.Projection{All: true, Pages: &counts})
				continue
			}
			if _, lists := readTrace(t, s[i], p); lists > 0 || counts.Read > 0 || counts.Kept == 0 {
				t.Errorf("round %d, segment %d: pages %+v, %d rows in lists", round, i, counts, lists)
			}
		}
	}
}
