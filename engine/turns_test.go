package engine_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/segment"
)

// mergingShards are two of one gate: a merge of the first one pauses for the first time, and the second
// one is filled before. The merge goes on when told; end lets it end.
func mergingShards(t *testing.T, o engine.Options, fill func(s *engine.Shard)) (shards [2]*engine.Shard, paused, goOn chan struct{}, end func()) {
	shards, all, goOn := pausingShards(t, o)
	filled := make(chan struct{})
	go func() { // no flush waits
		for {
			select {
			case goOn <- struct{}{}:
			case <-filled:
				return
			}
		}
	}()
	fillSegments(t, shards[0], 2, 6*engine.StretchRows)
	fill(shards[1])
	close(filled)
	synctest.Wait()
	for len(all[0]) > 0 {
		<-all[0]
	}
	t.Cleanup(func() {
		for _, s := range shards {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	merged := make(chan error, 1)
	go func() { merged <- shards[0].Compact(context.Background()) }()
	synctest.Wait()
	if len(all[0]) != 1 {
		t.Fatalf("a merge paused %d times, want 1", len(all[0]))
	}
	return shards, all[0], goOn, func() {
		close(goOn)
		if err := <-merged; err != nil {
			t.Error(err)
		}
	}
}

// asked is what Settle and Compact answer, as far as they have.
func asked(ctx context.Context, s *engine.Shard) (settled, compacted chan error) {
	settled, compacted = make(chan error, 1), make(chan error, 1)
	go func() { settled <- s.Settle(ctx) }()
	synctest.Wait()
	go func() { compacted <- s.Compact(ctx) }()
	synctest.Wait()
	return settled, compacted
}

// Who has nothing to merge waits for no merge of another shard, and that one pauses as ever, though each of
// 25 windows has a segment that met no merge yet.
func TestWhoHasNothingToMergeWaitsForNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shards, paused, goOn, end := mergingShards(t, engine.Options{}, func(s *engine.Shard) {
			for window := range int64(25) {
				fillSegment(t, s, 10, window*segment.WindowNanos)
			}
		})
		settled, compacted := asked(context.Background(), shards[1])
		for name, done := range map[string]chan error{"settle": settled, "compact": compacted} {
			select {
			case err := <-done:
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
			default:
				t.Errorf("%s waits for another shard's merge", name)
				defer func() { <-done }()
			}
		}
		goOn <- struct{}{}
		synctest.Wait()
		if got := len(paused); got != 2 {
			t.Errorf("the merge paused %d times, want 2", got)
		}
		end()
	})
}

// What there was to merge may be gone when a merge has its place.
func TestWhatToMergeIsChosenAnewAfterWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shards, _, _, end := mergingShards(t, engine.Options{Compaction: fewMerge}, func(s *engine.Shard) { fillSegments(t, s, 3, 10) })
		settled, compacted := asked(context.Background(), shards[1])
		if len(settled)+len(compacted) > 0 {
			t.Error("a merge did not wait for its place")
		}
		end()
		if err := <-settled; err != nil {
			t.Error(err)
		}
		if err := <-compacted; err != nil {
			t.Error(err)
		}
		if stats := shards[1].Stats(); stats.Merges != 1 || stats.MergeFailures != 0 {
			t.Errorf("%+v, want 1 merge", stats)
		}
	})
}

// A merge of the own shard that is under way is waited for by who has nothing more to merge.
func TestAMergeUnderWayIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shards, _, _, end := mergingShards(t, engine.Options{Compaction: fewMerge}, func(*engine.Shard) {})
		settled, compacted := asked(context.Background(), shards[0])
		if len(settled)+len(compacted) > 0 {
			t.Error("a merge that is under way is not waited for")
		}
		end()
		if err := <-settled; err != nil {
			t.Error(err)
		}
		if err := <-compacted; err != nil {
			t.Error(err)
		}
		if stats := shards[0].Stats(); stats.Merges != 1 || stats.Segments != 1 {
			t.Errorf("%+v, want 1 merge", stats)
		}
	})
}

// Compact unites a window's segments though the policy's merge, which had its place before, put some of
// them together with one that was flushed after the call. What was flushed after it alone stays.
func TestCompactTakesWhatWasMergedWithLaterRows(t *testing.T) {
	for name, c := range map[string]struct {
		settles bool
		want    []int
	}{"merged": {true, []int{4200 + 10 + 11 + 12 + 13}}, "alone": {false, []int{13, 4200 + 10 + 11 + 12}}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				shards, _, _, end := mergingShards(t, engine.Options{Compaction: fewMerge}, func(s *engine.Shard) {
					for _, rows := range []int{4200, 10, 11, 12} {
						fillSegment(t, s, rows, 1)
					}
				})
				settled, compacted := make(chan error, 1), make(chan error, 1)
				if c.settles {
					go func() { settled <- shards[1].Settle(context.Background()) }()
					synctest.Wait()
				} else {
					settled <- nil
				}
				go func() { compacted <- shards[1].Compact(context.Background()) }()
				synctest.Wait()
				fillSegment(t, shards[1], 13, 1)
				end()
				if err := <-settled; err != nil {
					t.Error(err)
				}
				if err := <-compacted; err != nil {
					t.Error(err)
				}
				infos, err := shards[1].Infos()
				if err != nil {
					t.Fatal(err)
				}
				var rows []int
				for _, info := range infos {
					rows = append(rows, info.Rows)
				}
				if slices.Sort(rows); !slices.Equal(rows, c.want) {
					t.Errorf("segments of %v rows, want %v", rows, c.want)
				}
			})
		})
	}
}

// Who waits for a merge's place, or merges, has ErrClosed where the shard is closed or merging stopped
// meanwhile, and the context's error where that ended.
func TestMergesOfAClosedShardAreErrClosed(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(s *engine.Shard, cancel func())
		want error
	}{
		"closed":  {func(s *engine.Shard, _ func()) { _ = s.Close() }, engine.ErrClosed},
		"stopped": {func(s *engine.Shard, _ func()) { s.StopMerging() }, engine.ErrClosed},
		"context": {func(_ *engine.Shard, cancel func()) { cancel() }, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				shards, _, goOn := pausingShards(t, engine.Options{Compaction: fewMerge})
				go func() {
					for range 12 {
						goOn <- struct{}{}
					}
				}()
				fillSegments(t, shards[0], 2, 6*engine.StretchRows)
				fillSegments(t, shards[1], 3, 10)
				synctest.Wait()
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				merging := make(chan error, 1)
				go func() { merging <- shards[0].Compact(ctx) }()
				synctest.Wait() // it pauses
				settled, compacted := asked(ctx, shards[1])
				c.end(shards[1], cancel)
				errorIs(t, <-settled, c.want)
				errorIs(t, <-compacted, c.want)
				ended := make(chan struct{})
				go func() { c.end(shards[0], cancel); close(ended) }() // Close waits for who merges
				synctest.Wait()
				close(goOn)
				errorIs(t, <-merging, c.want)
				<-ended
				for _, s := range shards {
					errorIs(t, s.Compact(ctx), c.want)
					if err := s.Close(); err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
}
