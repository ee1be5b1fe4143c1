package engine_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// keyOf and valueOf are what the slow count counts by.
type keyOf struct {
	level span.Level
	key   string
	kind  span.ValueType
}

type valueOf struct {
	keyOf
	text string
}

// countSlowly counts by looking at every attribute of every distinct span.
func countSlowly(m *enginetest.Model) (keys map[keyOf]uint64, values map[valueOf]uint64) {
	keys, values = map[keyOf]uint64{}, map[valueOf]uint64{}
	add := func(level span.Level, b *span.Batch, attrs []span.Attr) {
		for _, a := range attrs {
			k := keyOf{level, b.String(a.Key), a.Type}
			keys[k]++
			values[valueOf{k, string(otlp.AppendText(nil, b, a))}]++
		}
	}
	for _, id := range m.TraceIDs() {
		for _, row := range m.Trace(id) {
			b := row.Batch
			add(span.SpanLevel, b, row.AppendAttrs(nil))
			add(span.ResourceLevel, b, b.ResourceAttrsOf(b.ResourceIDs[row.Pos]))
			add(span.ScopeLevel, b, b.ScopeAttrsOf(b.ScopeIDs[row.Pos]))
			for i, end := row.EventRange(); i < end; i++ {
				add(span.EventLevel, b, b.EventAttrsOf(i))
			}
			for i, end := row.LinkRange(); i < end; i++ {
				add(span.LinkLevel, b, b.LinkAttrsOf(i))
			}
		}
	}
	return keys, values
}

// wantAttributes compares what the shard counts with the slow count.
func wantAttributes(t *testing.T, s *engine.Shard, m *enginetest.Model) {
	t.Helper()
	ctx := context.Background()
	keys, values := countSlowly(m)
	counter := engine.NewKeyCounter()
	if err := s.Keys(ctx, counter); err != nil {
		t.Fatal(err)
	}
	distinct, got := map[keyOf]uint64{}, map[keyOf]uint64{}
	for v := range values {
		distinct[v.keyOf]++
	}
	told := counter.Keys()
	for _, k := range told.Keys {
		id := keyOf{k.Level, k.Key, k.Type}
		got[id] = k.Values
		// Distinct counts values as they are stored: different ones may be spelled alike.
		if k.DistinctMin > k.DistinctMax || k.DistinctMax < distinct[id] || k.DistinctMin > k.Values {
			t.Errorf("%v %q: %d to %d distinct values, there are %d", k.Level, k.Key, k.DistinctMin, k.DistinctMax, distinct[id])
		}
	}
	if diff := cmp.Diff(keys, got, cmp.AllowUnexported(keyOf{})); diff != "" || told.Cut {
		t.Fatalf("keys, cut %v (-want +got):\n%s", told.Cut, diff)
	}
	names := map[string]bool{"no such key": true}
	for k := range keys {
		names[k.key] = true
	}
	for name := range names {
		wantValues(t, s, name, values)
	}
}

func wantValues(t *testing.T, s *engine.Shard, key string, values map[valueOf]uint64) {
	t.Helper()
	levels := []span.Level{span.SpanLevel, span.ResourceLevel, span.ScopeLevel, span.EventLevel, span.LinkLevel}
	for _, asked := range append([][]span.Level{nil, levels[1:3]}, levels[0:1], levels[4:]) {
		counter := engine.NewValueCounter(key, asked...)
		if err := s.Values(context.Background(), counter); err != nil {
			t.Fatal(err)
		}
		want, total := map[valueOf]uint64{}, uint64(0)
		for v, n := range values {
			if v.key == key && (asked == nil || strings.Contains(fmt.Sprint(asked), v.level.String())) {
				want[v] = n
				total += n
			}
		}
		told, got := counter.Values(1<<30), map[valueOf]uint64{}
		for i, v := range told.Values {
			got[valueOf{keyOf{v.Level, key, v.Type}, v.Text}] = v.Count
			if i > 0 && told.Values[i-1].Count < v.Count {
				t.Errorf("%q: a value that %d have stands after one that %d have", key, v.Count, told.Values[i-1].Count)
			}
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(keyOf{}, valueOf{})); diff != "" || told.Total != total || told.Cut {
			t.Fatalf("values of %q on %v, %d in total of %d, cut %v (-want +got):\n%s", key, asked, told.Total, total, told.Cut, diff)
		}
	}
}

// TestAttributesAreCountedWhereverTheyStand: in memory, in segments, and after a merge; every
// level, every type, in templates and beside them.
func TestAttributesAreCountedWhereverTheyStand(t *testing.T) {
	for seed := range seeds(t, 12) {
		w := newWorld(t, uint64(seed), 40)
		w.options.MemtableBytesMax = 1 << 30
		w.mustOpen()
		for round := range 4 {
			payload := enginetest.Payload(w.gen.Spans(60))
			if err := w.append(payload); err != nil {
				t.Fatal(err)
			}
			if round == 1 || round == 2 {
				if err := w.shard.Flush(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
		}
		stored := 0
		if err := w.shard.Spans(context.Background(), span.AllTime(), func(span.Row) error { stored++; return nil }); err != nil {
			t.Fatal(err)
		}
		if stats := w.shard.Stats(); stats.MemtableRows+int(stats.SegmentRows) == stored { // else a span came twice
			wantAttributes(t, w.shard, w.model)
		}
		if err := w.shard.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := w.shard.Compact(context.Background()); err != nil {
			t.Fatal(err)
		}
		wantAttributes(t, w.shard, w.model)
	}
}

// TestAttributesOfRealTracesAreCounted, most of them in templates and many row groups.
func TestAttributesOfRealTracesAreCounted(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.options.MemtableBytesMax = 1 << 30
	w.mustOpen()
	eachRequest(t, "zipkin-fixtures.otlp.zst", func(request []byte) {
		if err := w.append(request); err != nil {
			t.Fatal(err)
		}
	})
	if err := w.shard.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	wantAttributes(t, w.shard, w.model)
}

// TestManyKeysAreCountedToo: more than a segment has columns for, and longer than its list holds.
func TestManyKeysAreCountedToo(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: looks a model of 9,000 keys up")
	}
	for name, key := range map[string]func(i int) string{
		"many": func(i int) string { return fmt.Sprintf("key %d", i) },
		"long": func(i int) string { return fmt.Sprintf("%d %s", i, strings.Repeat("long", 150)) },
	} {
		w := newWorld(t, 1, 1)
		w.options.MemtableBytesMax = 1 << 30
		w.mustOpen()
		if err := w.append(withKeys(4500, key)); err != nil {
			t.Fatal(err)
		}
		if err := w.shard.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		keys, _ := countSlowly(w.model)
		counter := engine.NewKeyCounter()
		if err := w.shard.Keys(context.Background(), counter); err != nil {
			t.Fatal(err)
		}
		for _, k := range counter.Keys().Keys {
			if id := (keyOf{k.Level, k.Key, k.Type}); keys[id] != k.Values || k.DistinctMin != 1 || k.DistinctMax != 1 {
				t.Errorf("%s: %.20q has %d values, %d to %d distinct", name, k.Key, k.Values, k.DistinctMin, k.DistinctMax)
			}
		}
		if n := len(counter.Keys().Keys); n != len(keys) {
			t.Errorf("%s: %d keys, want %d", name, n, len(keys))
		}
		_, values := countSlowly(w.model)
		wantValues(t, w.shard, key(7), values)
		wantValues(t, w.shard, key(4499), values)
	}
}

// withKeys is a request of one span for each key.
func withKeys(n int, key func(i int) string) []byte {
	field := func(dst []byte, number uint64, content []byte) []byte {
		return append(binary.AppendUvarint(binary.AppendUvarint(dst, number<<3|2), uint64(len(content))), content...)
	}
	var spans []byte
	for i := range n {
		id := [16]byte{14: byte(i >> 8), 15: byte(i), 0: 1}
		text := field(nil, 1, []byte("value"))
		attribute := field(field(nil, 1, []byte(key(i))), 2, text)
		spans = field(spans, 2, field(field(field(nil, 1, id[:]), 2, id[:8]), 9, attribute))
	}
	return field(nil, 1, field(nil, 2, spans))
}

// TestTooManyValuesAreCutAndSaid: those that are kept have their whole counts.
func TestTooManyValuesAreCutAndSaid(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: counts 100,001 values")
	}
	w := newWorld(t, 1, 1)
	w.options.MemtableBytesMax = 1 << 30
	w.mustOpen()
	const more = 100_001
	for first := 0; first < more; first += 20_000 {
		if err := w.append(withValues(first, min(20_000, more-first))); err != nil {
			t.Fatal(err)
		}
	}
	counter := engine.NewValueCounter("n")
	if err := w.shard.Values(context.Background(), counter); err != nil {
		t.Fatal(err)
	}
	told := counter.Values(3)
	if !told.Cut || told.Total != more || told.Distinct != more-1 || len(told.Values) != 3 {
		t.Errorf("cut %v, %d in total, %d distinct, %d told", told.Cut, told.Total, told.Distinct, len(told.Values))
	}
}

// withValues is a request of spans, each with another value of the key n.
func withValues(first, n int) []byte {
	field := func(dst []byte, number uint64, content []byte) []byte {
		return append(binary.AppendUvarint(binary.AppendUvarint(dst, number<<3|2), uint64(len(content))), content...)
	}
	var spans []byte
	for i := range n {
		id := binary.BigEndian.AppendUint64(make([]byte, 8), uint64(first+i+1))
		value := binary.AppendUvarint([]byte{3 << 3}, uint64(first+i)) // AnyValue.int_value
		attribute := field(field(nil, 1, []byte("n")), 2, value)
		spans = field(spans, 2, field(field(field(nil, 1, id), 2, id[8:]), 9, attribute))
	}
	return field(nil, 1, field(nil, 2, spans))
}
