package cluster_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/wal"
)

// fakeLog is a log stream in memory whose appends wait at gate, where there is one.
type fakeLog struct {
	gate chan error // an append takes one; its error is the append's

	mu      sync.Mutex
	entries []wal.Entry
	appends int
	commit  uint64
	waiting atomic.Int64
}

func (l *fakeLog) Last() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return uint64(len(l.entries))
}

func (l *fakeLog) Append(entries ...wal.Entry) error {
	if l.gate != nil {
		l.waiting.Add(1)
		err := <-l.gate
		l.waiting.Add(-1)
		if err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range entries {
		if e.Seq != uint64(len(l.entries))+1 {
			return fmt.Errorf("Seq %d after %d entries", e.Seq, len(l.entries))
		}
		l.entries = append(l.entries, e)
	}
	l.appends++
	return nil
}

func (l *fakeLog) SetCommit(seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.commit = seq
}

// fakeShard notes what is applied; a part counts once.
type fakeShard struct {
	log *fakeLog

	mu      sync.Mutex
	applied []codec.Hash
	seen    map[codec.Hash]bool
	last    uint64
	ticks   int
	failure error
}

func newFakeShard(log *fakeLog) *fakeShard {
	return &fakeShard{log: log, seen: make(map[codec.Hash]bool)}
}

func (s *fakeShard) Apply(seq uint64, e *engine.Entry) (engine.Applied, error) {
	durable := s.log.Last()
	s.mu.Lock()
	defer s.mu.Unlock()
	if seq != s.last+1 || seq > durable {
		s.failure = fmt.Errorf("applied Seq %d after %d, the log ends at %d", seq, s.last, durable)
	}
	s.last = seq
	if len(e.Parts) == 0 {
		s.ticks++
	}
	for _, p := range e.Parts {
		s.applied = append(s.applied, p.Hash)
		s.seen[p.Hash] = true
	}
	return engine.Applied{}, nil
}

func (s *fakeShard) Seen(hash codec.Hash, _ int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[hash]
}

func (s *fakeShard) Flush(context.Context) error { return nil }

func (s *fakeShard) Flushed() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

func (s *fakeShard) hashes() []codec.Hash {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]codec.Hash(nil), s.applied...)
}

// partOf makes a part that n names, of some size. Its payload is no OTLP: nothing here
// walks it.
func partOf(n uint64, bytes int) engine.Part {
	payload := binary.BigEndian.AppendUint64(make([]byte, 0, max(bytes, 8)), n)
	payload = payload[:max(bytes, 8)]
	return engine.Part{Hash: codec.HashBytes(payload), Payload: payload}
}

func at0() time.Time { return time.Unix(0, 0) }

// TestEveryAcceptedPartIsInTheLogOnce sends parts of all sizes from several senders,
// copies among them, and looks at the log: each part once, applied in the log's order,
// entries of at most 256 KiB unless one part is larger.
func TestEveryAcceptedPartIsInTheLogOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := &fakeLog{}
		shard := newFakeShard(log)
		group := cluster.NewDirect(log, shard, at0)
		senders := rapid.SliceOfN(rapid.SliceOfN(rapid.Uint64Range(0, 30), 1, 8), 1, 6).Draw(t, "senders")
		sizes := rapid.SliceOfN(rapid.SampledFrom([]int{8, 100, 70_000, 200_000, 256 << 10, 300_000}), 31, 31).Draw(t, "sizes")
		var all sync.WaitGroup
		want := make(map[codec.Hash]bool)
		for _, sender := range senders {
			var parts []engine.Part
			for _, n := range sender {
				p := partOf(n, sizes[n])
				want[p.Hash] = true
				parts = append(parts, p)
			}
			all.Go(func() {
				for range 2 { // each sends twice
					if err := group.Propose(context.Background(), parts); err != nil {
						t.Errorf("Propose: %v", err)
					}
				}
			})
		}
		all.Wait()
		group.Close()
		checkLog(t, log, shard, want)
	})
}

func checkLog(t *rapid.T, log *fakeLog, shard *fakeShard, want map[codec.Hash]bool) {
	if shard.failure != nil {
		t.Fatal(shard.failure)
	}
	var inLog []codec.Hash
	for _, record := range log.entries {
		e, err := engine.DecodeEntry(record.Payload)
		if err != nil {
			t.Fatal(err)
		}
		bytes := 0
		for _, p := range e.Parts {
			inLog = append(inLog, p.Hash)
			bytes += len(p.Payload)
		}
		if bytes > 256<<10 && len(e.Parts) > 1 {
			t.Errorf("an entry of %d bytes in %d parts", bytes, len(e.Parts))
		}
	}
	applied := shard.hashes()
	if len(inLog) != len(want) || len(applied) != len(want) {
		t.Fatalf("%d parts in the log, %d applied, %d sent", len(inLog), len(applied), len(want))
	}
	for i, hash := range inLog {
		if applied[i] != hash || !want[hash] {
			t.Fatalf("part %d: %v in the log, %v applied", i, hash, applied[i])
		}
	}
	if log.commit != log.Last() {
		t.Errorf("commit index %d, last entry %d", log.commit, log.Last())
	}
}

// waitUntil waits for a condition that other goroutines bring about.
func waitUntil(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came to be that %s", what)
		}
	}
}

func TestCopyInFlightSharesTheOutcome(t *testing.T) {
	for _, outcome := range []error{nil, errors.New("disk on fire")} {
		log := &fakeLog{gate: make(chan error)}
		shard := newFakeShard(log)
		group := cluster.NewDirect(log, shard, at0)
		const copies = 5
		answers := make(chan error, copies)
		for range copies {
			go func() { answers <- group.Propose(context.Background(), []engine.Part{partOf(1, 100)}) }()
		}
		waitUntil(t, "all copies are in flight", func() bool { return group.Stats().Parts == copies && log.waiting.Load() == 1 })
		select {
		case err := <-answers:
			t.Fatalf("answered %v while the original was in flight", err)
		default:
		}
		log.gate <- outcome
		for range copies {
			err := <-answers
			if outcome == nil && err != nil || outcome != nil && !(errors.Is(err, span.ErrUnavailable) && errors.Is(err, outcome)) {
				t.Errorf("outcome %v: a copy was answered %v", outcome, err)
			}
		}
		close(log.gate)
		group.Close()
		if want := 1; outcome == nil && len(shard.hashes()) != want {
			t.Errorf("applied %d parts", len(shard.hashes()))
		}
	}
}

// TestWhatQueuesMeanwhileSharesAnAppend is the coalescer's reason to be.
func TestWhatQueuesMeanwhileSharesAnAppend(t *testing.T) {
	log := &fakeLog{gate: make(chan error)}
	group := cluster.NewDirect(log, newFakeShard(log), at0)
	var all sync.WaitGroup
	send := func(n uint64) {
		all.Go(func() {
			if err := group.Propose(context.Background(), []engine.Part{partOf(n, 1000)}); err != nil {
				t.Errorf("part %d: %v", n, err)
			}
		})
	}
	send(0)
	waitUntil(t, "the first append is in flight", func() bool { return log.waiting.Load() == 1 })
	for n := range uint64(100) {
		send(n + 1)
	}
	waitUntil(t, "the others queue", func() bool { return group.Stats().Parts == 101 })
	log.gate <- nil
	log.gate <- nil
	all.Wait()
	group.Close()
	if log.appends != 2 || len(log.entries) != 2 {
		t.Errorf("%d appends, %d entries for a part alone and 100 that waited", log.appends, len(log.entries))
	}
}

func TestFailedAppendEndsTheGroup(t *testing.T) {
	log := &fakeLog{gate: make(chan error, 1)}
	shard := newFakeShard(log)
	group := cluster.NewDirect(log, shard, at0)
	log.gate <- errors.New("EIO")
	if err := group.Propose(context.Background(), []engine.Part{partOf(1, 10)}); !errors.Is(err, span.ErrUnavailable) {
		t.Errorf("the failed append was answered %v", err)
	}
	// Nothing comes after, even though the log would take it again.
	log.gate <- nil
	if err := group.Propose(context.Background(), []engine.Part{partOf(2, 10)}); !errors.Is(err, span.ErrUnavailable) {
		t.Errorf("after the failure: %v", err)
	}
	group.Close()
	if len(shard.hashes()) != 0 || len(log.entries) != 0 {
		t.Errorf("%d parts applied, %d entries in the log", len(shard.hashes()), len(log.entries))
	}
}

func TestCallerThatGivesUpHarmsNothing(t *testing.T) {
	log := &fakeLog{gate: make(chan error)}
	shard := newFakeShard(log)
	group := cluster.NewDirect(log, shard, at0)
	ctx, cancel := context.WithCancel(context.Background())
	answer := make(chan error, 1)
	go func() { answer <- group.Propose(ctx, []engine.Part{partOf(1, 10)}) }()
	waitUntil(t, "the append is in flight", func() bool { return log.waiting.Load() == 1 })
	cancel()
	if err := <-answer; !errors.Is(err, context.Canceled) {
		t.Errorf("answered %v", err)
	}
	go func() { answer <- group.Propose(context.Background(), []engine.Part{partOf(1, 10), partOf(2, 10)}) }()
	waitUntil(t, "the second request is in flight", func() bool { return group.Stats().Parts == 3 })
	log.gate <- nil
	log.gate <- nil
	if err := <-answer; err != nil {
		t.Error(err)
	}
	group.Close()
	if got := shard.hashes(); len(got) != 2 {
		t.Errorf("%d parts applied", len(got))
	}
}

func TestCloseDecidesWhatWasAccepted(t *testing.T) {
	log := &fakeLog{gate: make(chan error)}
	shard := newFakeShard(log)
	group := cluster.NewDirect(log, shard, at0)
	answers := make(chan error, 2)
	for n := range uint64(2) {
		go func() { answers <- group.Propose(context.Background(), []engine.Part{partOf(n, 10)}) }()
		waitUntil(t, "it is in flight or queued", func() bool { return group.Stats().Parts == n+1 && log.waiting.Load() == 1 })
	}
	closed := make(chan struct{})
	go func() {
		group.Close()
		close(closed)
	}()
	waitUntil(t, "new parts are refused", func() bool {
		return errors.Is(group.Propose(context.Background(), nil), span.ErrUnavailable)
	})
	close(log.gate)
	for range 2 {
		if err := <-answers; err != nil {
			t.Errorf("an accepted part was answered %v", err)
		}
	}
	<-closed
	if len(shard.hashes()) != 2 {
		t.Errorf("%d parts applied", len(shard.hashes()))
	}
}

func TestTickIsAnEntryWithoutParts(t *testing.T) {
	log := &fakeLog{}
	shard := newFakeShard(log)
	group := cluster.NewDirect(log, shard, at0)
	if err := group.Tick(); err != nil {
		t.Fatal(err)
	}
	group.Close()
	if len(log.entries) != 1 || shard.ticks != 1 {
		t.Errorf("%d entries, %d ticks applied", len(log.entries), shard.ticks)
	}
}
