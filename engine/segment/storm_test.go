package segment_test

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
)

// stormSpans is how many spans a storm has: few by default, 200,000 in the long run.
func stormSpans() int {
	if os.Getenv("STOA_TEST_SEEDS") != "" {
		return 200_000
	}
	return 12_000
}

// storms are loads that nobody can fold, beside an ordinary one: value gives attribute j of
// span i.
var storms = map[string]func(i, j int) (name, key, value string){
	"ordinary": func(i, j int) (string, string, string) {
		value := fmt.Sprint("value ", i*7919%(3+j))
		if j < 2 {
			value = fmt.Sprintf("order %08x", uint32(i*10+j)*2654435761)
		}
		return fmt.Sprint("GET /", i%9), fmt.Sprint("key ", j), value
	},
	"every key and value unique": func(i, j int) (string, string, string) {
		return "op", fmt.Sprintf("key %x", uint32(i*10+j)*2654435761), fmt.Sprintf("value %x", uint32(i*10+j)*40503)
	},
	"every value unique": func(i, j int) (string, string, string) {
		return "op", fmt.Sprint("key ", j), fmt.Sprintf("value %x", uint32(i*10+j)*2654435761)
	},
	"every name and value unique": func(i, j int) (string, string, string) {
		return fmt.Sprintf("GET /%x", uint32(i)*2654435761), fmt.Sprint("key ", j), fmt.Sprintf("value %x", uint32(i*10+j)*2654435761)
	},
}

// stormBatch makes spans [from, to), in order, ten to a trace, with ten attributes each.
func stormBatch(load func(i, j int) (name, key, value string), from, to int) *span.Batch {
	b := readable()
	*b = span.Batch{Text: b.Text, TextEnd: b.TextEnd, Resources: b.Resources[:1], ResourceAttrs: b.ResourceAttrs, Scopes: b.Scopes}
	n := to - from
	b.StatusMessages, b.TraceStates, b.Residues = make([]span.TextID, n), make([]span.TextID, n), make([]span.TextID, n)
	b.StatusPresent, b.StatusCodes, b.Kinds = make([]bool, n), make([]int32, n), make([]int32, n)
	b.Flags, b.DroppedAttrs, b.DroppedEvents, b.DroppedLinks = make([]uint32, n), make([]uint32, n), make([]uint32, n), make([]uint32, n)
	b.ResourceIDs, b.ScopeIDs, b.EventEnds, b.LinkEnds = make([]uint32, n), make([]uint32, n), make([]uint32, n), make([]uint32, n)
	texts, ids := span.NewInterner(b), new(span.AttrInterner)
	for i := from; i < to; i++ {
		t := i / 10
		b.TraceIDs = append(b.TraceIDs, span.TraceID{0: byte(t * 37), 12: byte(t >> 16), 13: byte(t >> 8), 14: byte(t), 15: 1})
		b.SpanIDs = append(b.SpanIDs, span.SpanID{0: byte(i * 31), 5: byte(i >> 16), 6: byte(i >> 8), 7: byte(i)})
		b.ParentIDs = append(b.ParentIDs, span.SpanID{})
		start := 1_700_000_000_000_000_000 + uint64(i)*1000
		b.Starts, b.Ends = append(b.Starts, start), append(b.Ends, start+uint64(i*7919%100_000))
		for j := range 10 {
			name, key, value := load(i, j)
			if j == 0 {
				b.Names = append(b.Names, texts.Intern([]byte(name)))
			}
			b.AttrIDs = append(b.AttrIDs, ids.ID(b, span.Attr{Key: texts.Intern([]byte(key)), Type: span.StringValue, Value: uint64(texts.Intern([]byte(value)))}))
		}
		b.AttrEnds = append(b.AttrEnds, uint32(len(b.AttrIDs)))
	}
	return b
}

const stormBatchRows = 1000

// writeStorm writes spans of a load as a flush does, and tells the heap at times.
func writeStorm(t testing.TB, fs vfs.FS, load func(i, j int) (name, key, value string), spans int, heap func()) segment.Info {
	t.Helper()
	w, err := segment.NewWriter(fs, "s", meta())
	if err != nil {
		t.Fatal(err)
	}
	var rehearsal []span.Row
	for from := 0; from < spans; from += stormBatchRows {
		b := stormBatch(load, from, from+100)
		for pos := range min(100, segment.RehearsalRowsMax*stormBatchRows/spans) {
			rehearsal = append(rehearsal, span.Row{Batch: b, Pos: pos})
		}
	}
	w.Rehearse(rehearsal, spans)
	rehearsal = nil
	for from := 0; from < spans; from += stormBatchRows {
		b := stormBatch(load, from, from+stormBatchRows)
		for pos := 0; pos < b.Len(); pos += 10 {
			rows := make([]span.Row, 10)
			for k := range rows {
				rows[k] = span.Row{Batch: b, Pos: pos + k}
			}
			if err := w.Add(b.TraceIDs[pos], rows); err != nil {
				t.Fatal(err)
			}
		}
		if from%(stormBatchRows*10) == 0 {
			heap()
		}
	}
	heap()
	info, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// stormHeapMax is what a writer may hold of any load: source batches of 32,768 rows, a row
// group, templates with 8 MiB of texts, counters of 4,096 columns. Ordinary spans take an
// eighth of it.
const stormHeapMax = 96 << 20

// Loads that nothing can be folded of cost neither memory without bound nor an index that is
// larger than what it saves, and come back exactly.
func TestAStormOfAttributesIsBorne(t *testing.T) {
	for name, load := range storms {
		t.Run(name, func(t *testing.T) {
			fs := onDisk(t)
			before, most := liveHeap(), uint64(0)
			info := writeStorm(t, fs, load, stormSpans(), func() { most = max(most, liveHeap()) })
			if most > before+stormHeapMax {
				t.Errorf("the writer holds %d MiB", (most-before)>>20)
			}
			s := open(t, fs, "s")
			defer s.Close()
			analysis, err := s.Analyze()
			if err != nil {
				t.Fatal(err)
			}
			indexBytes := analysis.IndexBytes
			t.Logf("%d spans, %.1f B/span, index %.1f %%, the writer held up to %d MiB", info.Rows,
				float64(info.Bytes)/float64(info.Rows), 100*float64(indexBytes)/float64(info.Bytes), (max(most, before)-before)>>20)
			if info.Bytes > 1<<19 && indexBytes*10 > info.Bytes {
				t.Errorf("an index of %d bytes in a file of %d", indexBytes, info.Bytes)
			}
			at := 0
			for i := range s.Groups() {
				b, err := s.ReadGroup(i, segment.Projection{All: true})
				if err != nil {
					t.Fatal(err)
				}
				want := stormBatch(load, at, at+b.Len())
				for pos := range b.Len() {
					if !bytes.Equal(span.AppendContent(nil, span.Row{Batch: b, Pos: pos}), span.AppendContent(nil, span.Row{Batch: want, Pos: pos})) {
						t.Fatalf("span %d comes back as another", at+pos)
					}
				}
				at += b.Len()
			}
			if at != stormSpans() {
				t.Fatalf("%d spans of %d", at, stormSpans())
			}
			if err := segment.Verify(fs, "s"); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkWriteStorm compares what a span of each load costs to write.
func BenchmarkWriteStorm(b *testing.B) {
	for name, load := range storms {
		b.Run(name, func(b *testing.B) {
			const spans = 40_000
			var batches []*span.Batch
			for from := 0; from < spans; from += stormBatchRows {
				batches = append(batches, stormBatch(load, from, from+stormBatchRows))
			}
			traces := inOrder(batches...)
			fs := onDisk(b)
			for b.Loop() {
				var rehearsal []span.Row
				for i := range segment.RehearsalRowsMax {
					n := i * spans / segment.RehearsalRowsMax
					rehearsal = append(rehearsal, span.Row{Batch: batches[n/stormBatchRows], Pos: n % stormBatchRows})
				}
				w, err := segment.NewWriter(fs, "s", meta())
				if err != nil {
					b.Fatal(err)
				}
				w.Rehearse(rehearsal, spans)
				for _, trace := range traces {
					if err := w.Add(trace.id, trace.rows); err != nil {
						b.Fatal(err)
					}
				}
				if _, err := w.Finish(); err != nil {
					b.Fatal(err)
				}
				if err := fs.Remove("s"); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*spans), "ns/span")
		})
	}
}

// Senders that list the same attributes in any order make templates that are found at once:
// each order has a hash of its own, and no look-up walks over all others.
func TestEveryOrderOfAttributesHasAHashOfItsOwn(t *testing.T) {
	if told, all := segment.PermutationsTold(7); told != all || all != 5040 {
		t.Errorf("%d of %d orders are told apart", told, all)
	}
}

// A merge of large rows does not hold all of its inputs: what the writer remembers of batches
// is bounded by their bytes, whatever their rows.
func TestTheWriterRemembersBatchesUpToSomeBytes(t *testing.T) {
	w, err := segment.NewWriter(onDisk(t), "s", meta())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	var largest, sum int
	text := strings.Repeat("a megabyte of text ", 1<<20/19)
	for i := range 80 {
		o := newOdd(uint64(i))
		b := o.batch(1)
		b.Names[0] = b.AddText([]byte(text))
		b.TraceIDs[0], b.Starts[0] = span.TraceID{1, byte(i)}, uint64(i+1)
		largest = max(largest, b.MemoryBytes())
		sum += b.MemoryBytes()
		if err := w.Add(b.TraceIDs[0], []span.Row{{Batch: b}}); err != nil {
			t.Fatal(err)
		}
		if remembered, most := w.SourceBytes(); remembered > most+largest {
			t.Fatalf("%d bytes of batches are remembered, at most %d and the last one", remembered, most)
		}
	}
	if _, most := w.SourceBytes(); sum < 2*most {
		t.Fatalf("%d bytes of batches show nothing of a bound of %d", sum, most)
	}
}

// TestAKeyKeepsItsColumnInAStorm: once thousands of other keys have come, too.
func TestAKeyKeepsItsColumnInAStorm(t *testing.T) {
	storm := func(i, j int) (name, key, value string) {
		if j == 0 {
			return "op", "kept", fmt.Sprintf("value %x", uint32(i)*2654435761)
		}
		return storms["every key and value unique"](i, j)
	}
	fs := vfs.NewCrash(1)
	info := writeStorm(t, fs, storm, 12_000, func() {})
	s, err := segment.Open(fs, "s")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	a, err := s.Analyze()
	if err != nil {
		t.Fatal(err)
	}
	groups := 0
	for _, p := range a.Parts {
		if p.What == "span map keys" { // each row group has keys without a column
			groups = p.Pages
		}
	}
	for _, p := range a.Parts {
		if strings.Contains(p.What, "kept") {
			if p.Values != uint64(info.Rows) || p.Pages != groups {
				t.Errorf("%d values in %d pages, want %d in %d: %+v", p.Values, p.Pages, info.Rows, groups, p)
			}
			return
		}
	}
	t.Errorf("no column of the key: %+v", a.Parts[:min(20, len(a.Parts))])
}
