package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// apply applies one entry at the world's next Seq, without the model.
func (w *world) apply(payloads ...[]byte) engine.Applied {
	w.t.Helper()
	e := &engine.Entry{Received: w.received}
	for _, p := range payloads {
		part := partOf(p)
		part.Batch = nil
		e.Parts = append(e.Parts, part)
	}
	w.seq++
	w.mu.Lock()
	w.log[w.seq] = e.AppendBinary(nil)
	w.mu.Unlock()
	did, err := w.shard.Apply(w.seq, e)
	if err != nil {
		w.t.Fatal(err)
	}
	return did
}

// TestAPartIsAppliedOnce within ten minutes of entry time and the last 16,384 parts, also
// across a restart; a copy after that is still one span to every reader.
func TestAPartIsAppliedOnce(t *testing.T) {
	w := newWorld(t, 1, 3)
	w.mustOpen()
	payload := enginetest.Payload(w.gen.Spans(5))
	hash := partOf(payload).Hash
	if _, err := w.model.Add(payload); err != nil {
		t.Fatal(err)
	}
	if w.shard.Seen(hash, w.received) {
		t.Fatal("seen before it came")
	}
	if did := w.apply(payload, payload); did.Parts != 1 || did.Copies != 1 {
		t.Fatalf("twice in one entry: %+v", did)
	}
	w.received += int64(9 * time.Minute)
	for how := range 3 {
		if !w.shard.Seen(hash, w.received) {
			t.Fatal("forgotten within ten minutes")
		}
		if did := w.apply(payload); did.Copies != 1 {
			t.Fatalf("nine minutes later: %+v", did)
		}
		if how == 1 {
			if err := w.shard.Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.restart(how); err != nil {
			t.Fatal(err)
		}
	}
	w.received += int64(2 * time.Minute)
	if w.shard.Seen(hash, w.received) {
		t.Fatal("an idle shard knows the part for ever")
	}
	if did := w.apply(payload); did.Parts != 1 {
		t.Fatalf("eleven minutes later: %+v", did)
	}
	w.check(5)
	if err := w.shard.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.check(5)
	if err := w.shard.Compact(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.check(5)
	if rows := w.shard.Stats().SegmentRows; int(rows) != w.model.Spans() {
		t.Fatalf("%d rows after the merge, %d spans", rows, w.model.Spans())
	}
}

// TestTheWindowHoldsTheLastParts: the 16,385th part pushes the first one out.
func TestTheWindowHoldsTheLastParts(t *testing.T) {
	w := newWorld(t, 1, 2)
	w.options.MemtableBytesMax = 1 << 30
	w.mustOpen()
	part := func(i int) []byte { return enginetest.Numbered(i) }
	for i := range 16_384 {
		if did := w.apply(part(i)); did.Parts != 1 {
			t.Fatalf("part %d: %+v", i, did)
		}
	}
	first := partOf(part(0)).Hash
	if !w.shard.Seen(first, w.received) {
		t.Fatal("the first part is forgotten too early")
	}
	w.apply(part(16_384))
	if w.shard.Seen(first, w.received) || !w.shard.Seen(partOf(part(1)).Hash, w.received) {
		t.Fatal("the window does not hold the last 16,384 parts")
	}
}

// TestApplyIsIdempotent: an entry at or below Applied changes nothing.
func TestApplyIsIdempotent(t *testing.T) {
	w, requests := smallWorld(t, 4)
	w.mustOpen()
	for _, r := range requests {
		if err := w.append(r); err != nil {
			t.Fatal(err)
		}
	}
	w.waitForFlushes() // they take rows out of memory while this test counts them
	rows := w.shard.Stats().MemtableRows
	for seq := range w.seq + 1 {
		did, err := w.shard.Apply(seq, &engine.Entry{Received: w.received, Parts: []engine.Part{partOf(enginetest.Numbered(1))}})
		if err != nil || did != (engine.Applied{}) {
			t.Fatalf("entry %d again: %+v, %v", seq, did, err)
		}
	}
	if got := w.shard.Stats().MemtableRows; got != rows {
		t.Fatalf("%d rows became %d", rows, got)
	}
	w.check(3)
}

// TestSealsAreAFunctionOfTheEntries: two shards that apply the same entries, one with
// restarts, have byte-equal segments.
func TestSealsAreAFunctionOfTheEntries(t *testing.T) {
	contents := func(restarts bool) map[string]string {
		w := newWorld(t, 9, 6)
		w.mustOpen()
		for i, r := range w.deliveries(w.gen.Spans(300)) {
			w.received += int64(i%5) * int64(time.Second)
			if i == 40 {
				w.received += int64(time.Hour)
			}
			w.apply(r)
			if restarts && i%17 == 0 {
				// The file numbers count on only where segments were written.
				if err := w.restart(1); err != nil {
					t.Fatal(err)
				}
			}
		}
		w.received += int64(time.Minute)
		w.apply() // a tick seals what is left
		for w.shard.Stats().MemtableRows > 0 {
			if err := w.shard.Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		files := make(map[string]string)
		names, err := w.disk.List(worldDir)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, ".seg") {
				content, err := vfs.ReadFile(w.disk, worldDir+"/"+name, 1<<30)
				if err != nil {
					t.Fatal(err)
				}
				files[fmt.Sprintf("%x", codec.HashBytes(content))] = name
			}
		}
		return files
	}
	straight, restarted := contents(false), contents(true)
	if len(straight) < 5 {
		t.Fatalf("only %d segments", len(straight))
	}
	for hash, name := range straight {
		if _, ok := restarted[hash]; !ok {
			t.Fatalf("segment %s has no twin", name)
		}
	}
	if len(straight) != len(restarted) {
		t.Fatalf("%d segments, %d with restarts", len(straight), len(restarted))
	}
}

// TestAPoisonedPartIsSetAside: what Apply refuses stands in quarantine once, is counted,
// harms nothing else, and the shard opens again.
func TestAPoisonedPartIsSetAside(t *testing.T) {
	for failAt := range 19 {
		t.Run(fmt.Sprintf("disk fails at call %d", failAt), func(t *testing.T) {
			w, requests := smallWorld(t, 5)
			poison, garbage := enginetest.Numbered(666), []byte{0xff, 0xff}
			w.options.CheckPart = func(b *span.Batch) error {
				if b.Len() == 1 && strings.Contains(string(b.Text), "span 666") {
					return errors.New("injected")
				}
				return nil
			}
			w.mustOpen()
			for i, r := range requests {
				if i == 3 {
					if failAt > 0 {
						w.disk.FailAt(failAt, errors.New("injected: disk"))
					}
					if did := w.apply(poison, garbage); did.Quarantined != 2 || did.Parts != 0 {
						t.Fatalf("poison: %+v", did)
					}
				}
				if err := w.append(r); err != nil {
					t.Fatal(err)
				}
			}
			for how := range 4 {
				if got := w.shard.Quarantined(); got != 2 {
					t.Fatalf("%d in quarantine, want 2", got)
				}
				if w.shard.Ready() == nil {
					t.Fatal("ready in spite of a quarantine")
				}
				w.check(2)
				if how == 1 { // the first may meet the injected error
					if w.shard.Flush(context.Background()) != nil {
						if err := w.shard.Flush(context.Background()); err != nil {
							t.Fatal(err)
						}
					}
					for range 8 { // the log may be gone: the files must outlive a cut
						for suffix, p := range map[string][]byte{".otlp": poison, ".form": garbage} {
							name := worldDir + "/quarantine/" + codec.HashBytes(p).String() + suffix
							if kept, err := vfs.ReadFile(w.disk.Crash(), name, 1<<20); err != nil || !bytes.Equal(kept, p) {
								t.Fatalf("not kept whole: %v", err)
							}
						}
					}
				}
				if err := w.restart((how + 1) % 3); err != nil { // a cut right after the flush
					t.Fatal(err)
				}
			}
			if err := w.shard.Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestALogMayDropWhatIsFlushed: Flushed moves over ticks and foreign records too.
func TestALogMayDropWhatIsFlushed(t *testing.T) {
	w := newWorld(t, 6, 2)
	w.mustOpen()
	w.apply(enginetest.Numbered(1))
	w.apply()
	w.seq++
	if _, err := w.shard.Apply(w.seq, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.shard.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := w.shard.Flushed(); got != w.seq {
		t.Fatalf("flushed through %d, applied %d", got, w.seq)
	}
	if err := w.restart(2); err != nil {
		t.Fatal(err)
	}
	if got := w.shard.Flushed(); got != w.seq {
		t.Fatalf("flushed through %d after a restart, want %d", got, w.seq)
	}
}

// TestAClosedShardAnswersSo and lets go of everything.
func TestAClosedShardAnswersSo(t *testing.T) {
	w, requests := smallWorld(t, 7)
	w.mustOpen()
	for _, r := range requests {
		if err := w.append(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.shard.Close(); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	_, err := w.shard.Find(ctx, span.AllTime())
	errorIs(t, err, engine.ErrClosed)
	errorIs(t, w.shard.Flush(ctx), engine.ErrClosed)
	errorIs(t, w.shard.Compact(ctx), engine.ErrClosed)
	errorIs(t, w.shard.Settle(ctx), engine.ErrClosed)
	_, err = w.shard.Apply(w.seq+1, &engine.Entry{})
	errorIs(t, err, engine.ErrClosed)
	if err := w.shard.Close(); err != nil {
		t.Fatal(err)
	}
	w.mustOpen()
	w.check(3)
}

// TestAFullDiskLosesNothing: the shard says why it cannot flush, takes what the log holds
// all the same, answers rightly, and is well again without a restart once there is room.
func TestAFullDiskLosesNothing(t *testing.T) {
	w, requests := smallWorld(t, 12)
	w.options.MemtableBytesMax = 16_000 // several seals wait at once
	w.mustOpen()
	w.disk.SetFree(100)
	for _, r := range requests {
		if err := w.append(r); err != nil {
			t.Fatal(err)
		}
	}
	err := w.shard.Flush(context.Background())
	errorIs(t, err, syscall.ENOSPC)
	errorIs(t, w.shard.Err(), syscall.ENOSPC)
	errorIs(t, w.shard.Ready(), syscall.ENOSPC)
	if st := w.shard.Stats(); st.Frozen < 2 || w.shard.Flushed() != 0 {
		t.Fatalf("%d memtables wait, flushed through %d", st.Frozen, w.shard.Flushed())
	}
	w.check(5)
	w.disk.SetFree(-1)
	if err := w.shard.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := w.shard.Ready(); err != nil || w.shard.Flushed() != w.seq {
		t.Fatalf("flushed through %d of %d: %v", w.shard.Flushed(), w.seq, err)
	}
	w.check(5)
	if err := w.restart(2); err != nil {
		t.Fatal(err)
	}
	w.check(5)
	noStrays(t, w)
}
