package engine

import (
	"context"
	"log/slog"
	"testing"

	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
)

// flushedSpans is a shard whose random spans stand in segments, and their model.
func flushedSpans(t testing.TB, seed uint64, spans int) (*Shard, *enginetest.Generator, *enginetest.Model) {
	t.Helper()
	shard, err := Open(Options{FS: vfs.NewCrash(seed), Dir: "shard", Log: slog.New(slog.DiscardHandler), ManualCompaction: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = shard.Close() })
	gen, model := enginetest.NewGenerator(seed, 7), enginetest.NewModel()
	payload := enginetest.Payload(gen.Spans(spans))
	batch, err := model.Add(payload)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := shard.Apply(1, &Entry{Parts: []Part{NewPart(batch, len(payload))}}); err != nil {
		t.Fatal(err)
	}
	if err := shard.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	return shard, gen, model
}

// groups calls visit with every row group of the shard.
func groups(t testing.TB, shard *Shard, visit func(l *segment.Segment, group int)) {
	t.Helper()
	v, err := shard.view()
	if err != nil {
		t.Fatal(err)
	}
	defer v.close()
	opened, err := openAll(context.Background(), v.segments)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range opened {
		for g := range l.Groups() {
			visit(l, g)
		}
	}
}

// TestAFilterReadsNoMoreThanItNeeds: on a batch with the columns that it names, and no
// others, a filter says what it says on the whole one.
func TestAFilterReadsNoMoreThanItNeeds(t *testing.T) {
	for seed := range uint64(6) {
		shard, gen, model := flushedSpans(t, seed, 60)
		for range 200 {
			f, err := compileFilter(gen.Filter(model))
			if err != nil {
				t.Fatal(err)
			}
			groups(t, shard, func(l *segment.Segment, g int) {
				p := f.needs().columns(segment.Projection{Keys: make(map[string]bool)})
				narrow, err := l.ReadGroup(g, p)
				if err != nil {
					t.Fatal(err)
				}
				whole, err := l.ReadGroup(g, segment.Projection{All: true})
				if err != nil {
					t.Fatal(err)
				}
				onNarrow, onWhole := f.run(&effort{ctx: context.Background()}), f.run(&effort{ctx: context.Background()})
				onNarrow.bind(narrow)
				onWhole.bind(whole)
				for pos := range whole.Len() {
					if onNarrow.holds(pos) != onWhole.holds(pos) {
						t.Fatalf("seed %d: %v on row %d of a batch with %+v", seed, f.source, pos, p)
					}
				}
			})
		}
	}
}

// TestWhatHoldsOfAResourceIsAskedOnce, not for each of its rows.
func TestWhatHoldsOfAResourceIsAskedOnce(t *testing.T) {
	asked := 0
	part := &testLeaf{source: source{level: span.ResourceLevel, field: span.ResourceService}, test: counts{&asked}}
	f := &compiledFilter{}
	f.root = f.remembered(allOf{anyOf{part, part}, truth(true)})
	var payload []byte
	for i := range 50 {
		payload = append(payload, enginetest.Numbered(i)...) // requests join by concatenation
	}
	batch, err := enginetest.NewModel().Add(payload)
	if err != nil {
		t.Fatal(err)
	}
	run := f.run(&effort{ctx: context.Background()})
	for range 2 {
		run.bind(batch)
		for pos := range batch.Len() {
			if run.holds(pos) {
				t.Fatal("a test that passes nothing holds")
			}
		}
	}
	if want := 2 * 2 * len(batch.Resources); asked != want || batch.Len() != 50 {
		t.Errorf("asked %d times, want %d: %d resources, twice each in the filter, in two batches", asked, want, len(batch.Resources))
	}
}

// counts passes nothing and counts.
type counts struct{ asked *int }

func (c counts) passes(*filterRun, *filterValue) bool {
	*c.asked++
	return false
}

func (counts) cost() int { return 1 }
