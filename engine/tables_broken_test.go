package engine_test

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/span"
)

// onBrokenDisk opens the world's shard on a disk that may fail.
func onBrokenDisk(t *testing.T, w *world) (*brokenFS, *engine.Shard) {
	t.Helper()
	fs := &brokenFS{FS: w.disk, panicAt: -1}
	o := w.options
	o.FS = fs
	s, err := engine.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return fs, s
}

// TestACancelledQuestionReadsNoMoreTables than those of the segment at which it is, nor does a merge.
func TestACancelledQuestionReadsNoMoreTables(t *testing.T) {
	w := inSegments(t, 60, 5)
	scan := span.AllTime()
	scan.Scan = true
	nothing := func(span.Row) error { return nil }
	for name, ask := range map[string]func(ctx context.Context, s *engine.Shard) error{
		"edges": func(ctx context.Context, s *engine.Shard) error {
			return s.Edges(ctx, span.EdgeQuery{StartMax: math.MaxUint64}, span.NewEdges())
		},
		"rates": func(ctx context.Context, s *engine.Shard) error {
			return s.Rates(ctx, w.gen.RateQuery(w.model), span.NewRates())
		},
		"paths": func(ctx context.Context, s *engine.Shard) error {
			return s.Paths(ctx, w.gen.PathQuery(w.model), span.NewPaths())
		},
		"spans":      func(ctx context.Context, s *engine.Shard) error { return s.Spans(ctx, span.AllTime(), nothing) },
		"scan":       func(ctx context.Context, s *engine.Shard) error { return s.Spans(ctx, scan, nothing) },
		"find":       func(ctx context.Context, s *engine.Shard) error { _, err := s.Find(ctx, span.AllTime()); return err },
		"find, scan": func(ctx context.Context, s *engine.Shard) error { _, err := s.Find(ctx, scan); return err },
		"operations": func(ctx context.Context, s *engine.Shard) error { _, err := s.Operations(ctx, ""); return err },
		"compact":    func(ctx context.Context, s *engine.Shard) error { return s.Compact(ctx) },
	} {
		fs, s := onBrokenDisk(t, w)
		ctx, cancel := context.WithCancel(context.Background())
		touched := map[string]bool{}
		fs.before = func(name string, _ int64) error {
			cancel()
			touched[name] = true
			return nil
		}
		if err := ask(ctx, s); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, cancelled: %v", name, err)
		}
		if len(touched) != 1 {
			t.Errorf("%s, cancelled while the first segment is read: %d of %d were read", name, len(touched), s.Stats().Segments)
		}
		_ = s.Close()
		cancel()
	}
}
