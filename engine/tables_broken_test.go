package engine_test

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/stoadb/stoa/compaction"
	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
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
		"services":   func(ctx context.Context, s *engine.Shard) error { _, err := s.Services(ctx); return err },
		"keys":       func(ctx context.Context, s *engine.Shard) error { return s.Keys(ctx, engine.NewKeyCounter()) },
		"values":     func(ctx context.Context, s *engine.Shard) error { return s.Values(ctx, engine.NewValueCounter("a")) },
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

// TestOtherWindowsAreMergedBesideADamagedSegment, whether the merge is the first to find the damage or not, and whether
// it is in a table or in rows; who asks is told of it. The merge that meets it in rows is the only one that fails.
func TestOtherWindowsAreMergedBesideADamagedSegment(t *testing.T) {
	ctx := context.Background()
	merges := map[string]func(s *engine.Shard) error{
		"settle":  func(s *engine.Shard) error { return s.Settle(ctx) },
		"compact": func(s *engine.Shard) error { return s.Compact(ctx) },
	}
	for name, merge := range merges {
		for _, c := range []struct {
			what          string
			damaged       func(t *testing.T, w *world, name string) (mend func(), damage string)
			known         bool
			failures      int
			untilRestored bool // what was mended is merged again after a start
		}{
			{"tables", damagedTable, false, 0, false},
			{"tables, known before", damagedTable, true, 0, false},
			{"rows", damagedRows, false, 1, true},
			{"rows, tables were read", damagedRows, true, 1, true},
		} {
			var lines strings.Builder
			w := twoWindows(t)
			old := segmentNames(t, w)
			mend, damage := c.damaged(t, w, old[0])
			w.options.Log = slog.New(slog.NewTextHandler(&lines, nil))
			w.mustOpen()
			if c.known {
				w.shard.ReadTables(ctx, func() {})
			}
			before := w.shard.Stats()
			for range 2 {
				if err := merge(w.shard); !errors.Is(err, codec.ErrCorrupt) || !strings.Contains(err.Error(), damage) {
					t.Errorf("%s, %s: %v, want %s", name, c.what, err, damage)
				}
			}
			after := w.shard.Stats()
			if after.Merges == 0 || after.MergeFailures != c.failures || after.Segments >= before.Segments || after.Damaged != 1 {
				t.Errorf("%s, %s: %d segments, then %d, %d damaged; %d merges, %d failed", name, c.what, before.Segments, after.Segments, after.Damaged, after.Merges, after.MergeFailures)
			}
			if err := w.shard.Ready(); err == nil || !strings.Contains(err.Error(), damage) {
				t.Errorf("%s, %s: ready: %v, want %s", name, c.what, err, damage)
			}
			if told := strings.Count(lines.String(), "leaves out"); c.failures > 0 && told != 1 {
				t.Errorf("%s, %s: the log tells %d times", name, c.what, told)
			}
			if names := segmentNames(t, w); !slices.Contains(names, old[0]) {
				t.Errorf("%s, %s: the damaged segment is gone", name, c.what)
			}
			mend()
			if w.check(2); c.untilRestored {
				_ = w.shard.Close()
				w.mustOpen()
			}
			if err := merge(w.shard); err != nil || w.shard.Ready() != nil {
				t.Errorf("%s, %s, mended: %v, ready: %v", name, c.what, err, w.shard.Ready())
			}
			w.check(2)
			_ = w.shard.Close()
		}
	}
}

// TestOtherWindowsAreMergedWhereTheDiskHasNoRoomForOne, and who asks is told of it.
func TestOtherWindowsAreMergedWhereTheDiskHasNoRoomForOne(t *testing.T) {
	w := twoWindows(t)
	full, refused := errors.New("the disk is full"), int64(0)
	w.options.RoomFor = func(bytes int64) error {
		if refused == 0 {
			refused = bytes // the first that is asked for, and no other
		}
		if bytes == refused {
			return full
		}
		return nil
	}
	w.mustOpen()
	before := w.shard.Stats()
	if err := w.shard.Compact(t.Context()); !errors.Is(err, full) {
		t.Errorf("a merge without room: %v", err)
	}
	after := w.shard.Stats()
	if after.Merges != 1 || after.MergeFailures != 0 || after.Segments >= before.Segments || w.shard.Ready() != nil {
		t.Errorf("%d segments, then %d, after %d merges, %d failed; ready: %v", before.Segments, after.Segments, after.Merges, after.MergeFailures, w.shard.Ready())
	}
	refused = -1
	if err := w.shard.Compact(t.Context()); err != nil || w.shard.Stats().Segments >= after.Segments {
		t.Errorf("with room: %v, %d segments, then %d", err, after.Segments, w.shard.Stats().Segments)
	}
	w.check(2)
	_ = w.shard.Close()
}

// twoWindows is a closed world of some segments in each of two windows.
func twoWindows(t *testing.T) *world {
	t.Helper()
	w := inSegments(t, 63, 2)
	_, requests := smallWorld(t, 64)
	w.received += 6 * segment.WindowNanos
	w.mustOpen()
	for i, r := range requests {
		if err := w.append(r); err != nil {
			t.Fatal(err)
		}
		if i*6/len(requests) < (i+1)*6/len(requests) {
			if err := w.shard.Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = w.shard.Close()
	return w
}

// damagedRows flips a bit of a page of the first row group, which nothing but a read of rows looks at. It gives how
// errors of the file begin.
func damagedRows(t *testing.T, w *world, name string) (mend func(), damage string) {
	t.Helper()
	file := worldDir + "/" + name
	for bit := int64(3); bit < 1<<12; bit += 31 {
		w.disk.FlipBit(file, bit)
		if s, err := segment.Open(w.disk, file); err == nil {
			_, err = s.ReadGroup(0, segment.Projection{All: true})
			s.Close()
			if errors.Is(err, codec.ErrCorrupt) {
				return func() { w.disk.FlipBit(file, bit) }, name + ": offset "
			}
		}
		w.disk.FlipBit(file, bit)
	}
	t.Fatal("there is no such bit")
	return nil, ""
}

// TestAFailureOfAMomentIsForgotten, at whichever read of the background it is: what may pass is told so and tried again,
// alone. Damage is not.
func TestAFailureOfAMomentIsForgotten(t *testing.T) {
	w := inSegments(t, 61, 4)
	reads := int32(0)
	for fail := int32(1); ; fail++ {
		fs, s := onBrokenDisk(t, w)
		n, touched := int32(0), map[string]bool{}
		fs.before = func(name string, _ int64) error {
			touched[name] = true
			if n++; n == fail {
				return syscall.EIO
			}
			return nil
		}
		ctx, pause := context.Background(), func() {}
		if again := s.ReadTables(ctx, pause); again != (n >= fail) || again != errors.Is(s.Ready(), syscall.EIO) {
			t.Fatalf("read %d of %d fails: may pass %v, ready: %v", fail, n, again, s.Ready())
		}
		if reads = n; reads < fail {
			_ = s.Close()
			break
		}
		clear(touched)
		if s.ReadTablesAgain(ctx, pause) || s.Ready() != nil || len(touched) != 1 {
			t.Fatalf("read %d of %d failed: %d segments tried again, ready: %v", fail, reads, len(touched), s.Ready())
		}
		if n = 0; s.ReadTablesAgain(ctx, pause) || n > 0 {
			t.Fatalf("nothing failed, %d reads", n)
		}
		_ = s.Close()
	}
	if reads < 16 {
		t.Errorf("%d reads of 4 segments", reads)
	}
	mend, _ := damagedTable(t, w, segmentNames(t, w)[0])
	_, s := onBrokenDisk(t, w)
	if s.ReadTables(context.Background(), func() {}) || s.Ready() == nil {
		t.Errorf("damage: it may pass, or is not told: %v", s.Ready())
	}
	mend()
	_ = s.Close()
}

// TestWhatADiskGivesAgainIsMerged without being asked for.
func TestWhatADiskGivesAgainIsMerged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inSegments(t, 65, 4)
		begin := make(chan struct{})
		w.options.ManualCompaction, w.options.Background = false, func() { <-begin }
		w.options.Compaction = compaction.Policy{MergeMin: 4, MergeMax: 4, RowsMax: 1 << 20, BytesMax: 1 << 30}
		fs, s := onBrokenDisk(t, w)
		failing := segmentNames(t, w)[1]
		var fails atomic.Bool
		fs.before = func(name string, _ int64) error {
			if fails.Load() && strings.HasSuffix(name, failing) {
				return syscall.EIO
			}
			return nil
		}
		fails.Store(true)
		close(begin)
		synctest.Wait()
		if stats := s.Stats(); stats.Merges != 0 || !errors.Is(s.Ready(), syscall.EIO) {
			t.Errorf("%d merges of segments of which one cannot be read, ready: %v", stats.Merges, s.Ready())
		}
		fails.Store(false)
		if s.ReadTablesAgain(context.Background(), func() {}) {
			t.Error("nothing fails any more")
		}
		synctest.Wait()
		if stats := s.Stats(); stats.Merges != 1 || stats.Segments != 1 || s.Ready() != nil {
			t.Errorf("%d merges, %d segments, ready: %v", stats.Merges, stats.Segments, s.Ready())
		}
		_ = s.Close()
	})
}

// TestAPanicInTheBackgroundIsTold as damage is, of the one segment, and ends nothing; it is not tried again.
func TestAPanicInTheBackgroundIsTold(t *testing.T) {
	w := inSegments(t, 66, 4)
	var logged strings.Builder
	w.options.Log = slog.New(slog.NewTextHandler(&logged, nil))
	fs, s := onBrokenDisk(t, w)
	fs.panicAt = fs.reads.Load() + 3
	if s.ReadTables(context.Background(), func() {}) {
		t.Error("a panic may pass")
	}
	names := segmentNames(t, w)
	newest := names[len(names)-1]
	if err := s.Ready(); err == nil || !strings.HasSuffix(err.Error(), newest+": panic: boom") {
		t.Errorf("ready: %v", err)
	}
	if text := logged.String(); !strings.Contains(text, newest) || !strings.Contains(text, "ReadAt") {
		t.Errorf("the log has no stack: %s", text)
	}
	if damaged := s.Stats().Damaged; damaged != 1 {
		t.Errorf("%d segments are told, want 1", damaged)
	}
	if _, err := s.Find(context.Background(), span.AllTime()); err != nil { // reads it anew
		t.Error(err)
	}
	_ = s.Close()
	if n := fs.open.Load(); n != 0 {
		t.Errorf("%d files are open after all", n)
	}
}
