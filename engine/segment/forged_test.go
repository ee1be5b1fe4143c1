package segment_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/index"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// bear reads all of a forged file in every way. It may answer or refuse, but not panic.
func bear(t *testing.T, what string, data []byte) {
	t.Helper()
	m := with(t, "forged.seg", data)
	refused := func(err error) bool {
		if err != nil && (!errors.Is(err, codec.ErrCorrupt) || !strings.Contains(err.Error(), "forged.seg: offset ")) {
			t.Fatalf("%s: %v", what, err)
		}
		return err != nil
	}
	s, err := segment.Open(m, "forged.seg")
	if refused(err) {
		return
	}
	defer s.Close()
	for i := range s.Groups() {
		for _, p := range []segment.Projection{{All: true}, {Times: true, Attrs: true, Events: true, Keys: map[string]bool{"key.1": true}}} {
			b, err := s.ReadGroup(i, p)
			if refused(err) || !p.All {
				continue
			}
			for pos := range b.Len() {
				span.AppendContent(nil, span.Row{Batch: b, Pos: pos})
			}
			written, err := s.ReadRows(i, 0, b.Len(), segment.Projection{All: true, Write: spelling{}})
			if err != nil {
				t.Fatalf("%s: what is read as lists is not read written: %v", what, err)
			}
			for pos := range b.Len() {
				want, _ := spelling{}.spelled(span.Row{Batch: b, Pos: pos})
				if got, ok := (span.Row{Batch: written, Pos: pos}).WrittenAttrs(); ok && !bytes.Equal(got, want) {
					t.Fatalf("%s: row %d has %q written, and %q as a list", what, pos, got, want)
				}
			}
		}
		_, err := s.ReadRows(i, 0, s.Group(i).Rows, segment.Projection{All: true, Write: spelling{}})
		refused(err)
	}
	for i := range s.Groups() {
		b, err := s.ReadGroup(i, segment.Projection{All: true, Bare: true})
		if refused(err) {
			continue
		}
		w, err := segment.NewWriter(m, "again", meta())
		if err != nil {
			t.Fatal(err)
		}
		for pos := range b.Len() {
			_ = w.Add(b.TraceIDs[pos], []span.Row{{Batch: b, Pos: pos}}) // it may refuse them
		}
		w.Abort()
	}
	for i := range s.TraceCount() {
		c := s.Trace(i, segment.Projection{Identity: true})
		for c.Next() {
			_ = c.Row().ParentID()
		}
		refused(c.Err())
	}
	_, err = looked(s)
	refused(err)
	s.Catalog().Operations("")
	refused(segment.Verify(m, "forged.seg"))
}

func forgeable(t testing.TB, seed uint64) *vfs.Crash {
	t.Helper()
	m := vfs.NewCrash(1)
	write(t, m, "s", inOrder(newOdd(seed).batch(14)), 7)
	return m
}

// forgeableMixed has templates of its row group's own, columns of each kind, map columns and
// filters.
func forgeableMixed(t testing.TB) *vfs.Crash {
	t.Helper()
	m := vfs.NewCrash(1)
	writeMany(t, m, "s", inOrder(many(36)), 16)
	return m
}

// Bytes that are wrong under right checksums are borne too: bytes of each page, changed; all
// of them in the long run.
func TestForgedPagesAreAnsweredOrRefused(t *testing.T) {
	for name, m := range map[string]*vfs.Crash{"odd": forgeable(t, 5), "mixed": forgeableMixed(t)} {
		t.Run(name, func(t *testing.T) { forgeEach(t, m) })
	}
}

func forgeEach(t *testing.T, m *vfs.Crash) {
	step := 13
	if os.Getenv("STOA_TEST_SEEDS") != "" {
		step = 1
	}
	same, ok := segment.Forge(m, "s", 0, func(payload []byte) []byte { return payload })
	if !ok {
		t.Fatal("nothing is forged")
	}
	want, err := contents(open(t, m, "s"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := contents(open(t, with(t, "s", same), "s")); err != nil || !slices.EqualFunc(got, want, bytes.Equal) {
		t.Fatalf("a forgery that changes nothing answers otherwise: %v", err)
	}
	if err := segment.Verify(with(t, "s", same), "s"); err != nil {
		t.Fatalf("a forgery that changes nothing: %v", err)
	}
	changes := map[string]func([]byte, int) []byte{
		"low bit":  func(b []byte, at int) []byte { b[at] ^= 1; return b },
		"high bit": func(b []byte, at int) []byte { b[at] ^= 0x80; return b },
		"all ones": func(b []byte, at int) []byte { b[at] = 0xff; return b },
		"huge":     func(b []byte, at int) []byte { return slices.Insert(b, at, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f) },
		"cut":      func(b []byte, at int) []byte { return b[:at] },
		"left out": func(b []byte, at int) []byte { return slices.Delete(b, at, at+1) },
	}
	most := uint64(0)
	for i, name := range slices.Sorted(maps.Keys(changes)) {
		change := changes[name]
		for page, more := 0, true; more; page++ {
			for at, size := (page+i)%step, 1<<20; more && at < size; at += step {
				var data []byte
				data, more = segment.Forge(m, "s", page, func(payload []byte) []byte {
					payload = slices.Clone(payload)
					if size = len(payload); at >= size {
						return payload
					}
					return change(payload, at)
				})
				if more {
					most = max(most, allocated(func() { bear(t, fmt.Sprintf("%s: page %d, byte %d", name, page, at), data) }))
				}
			}
		}
	}
	t.Logf("at most %d MiB allocated for a file of %d bytes", most>>20, len(same))
	if most > forgedBytesMax {
		t.Fatalf("%d bytes allocated", most)
	}
}

// forgedBytesMax is what reading a forged file in every way may allocate, one after another.
const forgedBytesMax = 64 << 20

// allocated gives how many bytes do allocates.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Verify compares all that searches and lists go by with the rows: no lie under right
// checksums stands.
func TestVerifyFindsEveryLieAboutTheRows(t *testing.T) {
	m := forgeableMixed(t)
	for _, section := range []string{"row groups", "trace rows", "catalog", "keys", "terms", "cells of edges", "cells of operations"} {
		for at, size := 0, 1; at < size; at++ {
			data, ok := segment.ForgeSection(m, "s", section, func(payload []byte) []byte {
				size = len(payload)
				payload = slices.Clone(payload)
				payload[at] ^= 1
				return payload
			})
			if err := segment.Verify(with(t, "s", data), "s"); !ok || !errors.Is(err, codec.ErrCorrupt) {
				t.Errorf("%s, byte %d: Verify says %v", section, at, err)
			}
		}
	}
	for section, lie := range map[string][]byte{
		"trace filter": index.AppendFilter(nil, []uint64{1, 2, 3}),
		"filters":      index.AppendFilter([]byte{1, 0}, []uint64{1, 2, 3}), // of row group 0, other values
	} {
		data, ok := segment.ForgeSection(m, "s", section, func([]byte) []byte { return lie })
		if err := segment.Verify(with(t, "s", data), "s"); !ok || err == nil || !strings.Contains(err.Error(), "den") {
			t.Errorf("%s: Verify says %v", section, err)
		}
	}
	data, ok := segment.ForgeSection(m, "s", "filters", func([]byte) []byte { return []byte{0} }) // no group has a value
	if err := segment.Verify(with(t, "s", data), "s"); !ok || err == nil || !strings.Contains(err.Error(), "denies") {
		t.Errorf("filters of no row group: Verify says %v", err)
	}
}

// A segment whose templates say how many rows they have says the truth.
func TestVerifyFindsAWrongNumberOfRowsOfATemplate(t *testing.T) {
	m := forgeableMixed(t)
	found := 0
	for at, size := 0, 1; at < size; at++ {
		data, _ := segment.ForgeSection(m, "s", "templates", func(payload []byte) []byte {
			size = len(payload)
			payload = slices.Clone(payload)
			payload[at]++
			return payload
		})
		if err := segment.Verify(with(t, "s", data), "s"); err != nil && strings.Contains(err.Error(), "rows and has") {
			found++
		}
	}
	if found == 0 {
		t.Fatal("no change of the templates' bytes is found to be a wrong number of rows")
	}
}

// TestTemplatesWithTextsOutOfOrderAreRefused: rows of a merge are written by the order of slots, name,
// status message and trace state in front.
func TestTemplatesWithTextsOutOfOrderAreRefused(t *testing.T) {
	const name, traceState = 7, 9 // columns
	m, refused := forgeable(t, 1), 0
	size := 0
	segment.ForgeSection(m, "s", "templates", func(payload []byte) []byte { size = len(payload); return payload })
	for at := range size - 1 {
		data, ok := segment.ForgeSection(m, "s", "templates", func(payload []byte) []byte {
			payload = slices.Clone(payload)
			payload[at], payload[at+1] = payload[at+1], payload[at]
			return payload
		})
		if !ok {
			continue
		}
		_, err := segment.Open(with(t, "forged.seg", data), "forged.seg")
		for column := name; column <= traceState; column++ {
			if err != nil && strings.Contains(err.Error(), fmt.Sprintf("column %d out of order", column)) {
				refused++
			}
		}
	}
	if refused == 0 {
		t.Error("none")
	}
}

func FuzzForgedPage(f *testing.F) {
	forms := []*vfs.Crash{forgeable(f, 5), forgeableMixed(f)}
	f.Add(uint8(0), uint16(3), uint16(0), uint8(0), []byte{0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add(uint8(0), uint16(30), uint16(2), uint8(3), []byte{1})
	f.Add(uint8(1), uint16(3), uint16(0), uint8(0), []byte{0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add(uint8(1), uint16(26), uint16(4), uint8(1), []byte{0x80})
	f.Add(uint8(1), uint16(33), uint16(9), uint8(2), []byte{0, 7})
	f.Fuzz(func(t *testing.T, form uint8, page, at uint16, remove uint8, insert []byte) {
		data, ok := segment.Forge(forms[int(form)%len(forms)], "s", int(page), func(payload []byte) []byte {
			from := min(int(at), len(payload))
			to := min(from+int(remove), len(payload))
			return slices.Concat(payload[:from], insert, payload[to:])
		})
		if ok {
			bear(t, "forged", data)
		}
	})
}

// FuzzWriteThenRead writes random spans in random pieces and forms: they come back, and the
// index tells the truth about them.
func FuzzWriteThenRead(f *testing.F) {
	f.Add(uint64(1), uint16(30), uint8(3), uint8(7), uint8(0))
	f.Add(uint64(2), uint16(300), uint8(90), uint8(1), uint8(1))
	f.Add(uint64(3), uint16(900), uint8(12), uint8(200), uint8(2))
	f.Add(uint64(4), uint16(60), uint8(255), uint8(20), uint8(3))
	f.Fuzz(func(t *testing.T, seed uint64, rows uint16, keys, traces, form uint8) {
		o := newOdd(seed)
		o.keys, o.traces = 1+int(keys), 1+int(traces)
		if form&4 != 0 {
			o.large = 600
		}
		written := inOrder(o.batch(int(rows % 300)))
		fs := vfs.NewCrash(1)
		w, err := segment.NewWriter(fs, "s", meta())
		if err != nil {
			t.Fatal(err)
		}
		if form&1 != 0 {
			var all []span.Row
			for _, trace := range written {
				all = append(all, trace.rows...)
			}
			w.Rehearse(all, len(all))
		}
		for i, trace := range written {
			if form&2 != 0 && i == len(written)/2 {
				w.FillTemplates()
			}
			if form&8 != 0 {
				w.FillColumns(span.SpanLevel, span.ValueType(i%span.ValueTypes), fmt.Sprint("key.", i))
			}
			if err := w.Add(trace.id, trace.rows); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		s := open(t, fs, "s")
		defer s.Close()
		wantContents(t, s, written)
		for i := range s.Groups() {
			wantWritten(t, s, i, 0, s.Group(i).Rows, spelling{})
			wantWritten(t, s, i, s.Group(i).Rows/3, s.Group(i).Rows/3+1, spelling{text: "text 4"})
		}
		if _, err := looked(s); err != nil {
			t.Fatal(err)
		}
		if err := segment.Verify(fs, "s"); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzOpen(f *testing.F) {
	data, _ := small(f)
	f.Add(data)
	f.Add(data[:100])
	data, _ = mixed(f)
	f.Add(data)
	f.Add([]byte("stoaseg\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := segment.Open(with(t, "any.seg", data), "any.seg")
		if err != nil {
			if !errors.Is(err, codec.ErrCorrupt) && !errors.Is(err, codec.ErrVersion) {
				t.Fatal(err)
			}
			return
		}
		defer s.Close()
		if _, err := contents(s); err != nil && !errors.Is(err, codec.ErrCorrupt) {
			t.Fatal(err)
		}
	})
}

// A filter of traces that denies one of them is damage at open, under right checksums too:
// searches by id and merges go by it.
func TestAFilterThatDeniesATraceIsRefusedAtOpen(t *testing.T) {
	m := forgeable(t, 5)
	refused := 0
	for at := range 8 {
		data, ok := segment.ForgeSection(m, "s", "trace filter", func(payload []byte) []byte {
			forged := bytes.Clone(payload)
			if at < len(forged) {
				forged[len(forged)-1-at] ^= 0xff
			}
			return forged
		})
		if !ok {
			t.Fatal("no filter of traces")
		}
		s, err := segment.Open(with(t, "forged.seg", data), "forged.seg")
		if err == nil {
			for i := range s.TraceCount() {
				if _, found := s.FindTrace(s.TraceID(i)); !found {
					t.Fatalf("byte %d from the end changed: trace %d is denied", at, i)
				}
			}
			s.Close()
			continue
		}
		if !errors.Is(err, codec.ErrCorrupt) {
			t.Fatal(err)
		}
		refused++
	}
	if refused == 0 {
		t.Error("no change was noticed: this shows nothing")
	}
}
