package cluster_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
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
	queued  uint64
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

func (l *fakeLog) Queue(entries ...wal.Entry) (cluster.Pending, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range entries {
		if l.queued++; e.Seq != l.queued {
			return nil, fmt.Errorf("Seq %d, wanted %d", e.Seq, l.queued)
		}
	}
	entries = slices.Clone(entries)
	for i := range entries {
		entries[i].Payload = bytes.Clone(entries[i].Payload) // as Appender says
	}
	return &fakePending{l, entries}, nil
}

type fakePending struct {
	log     *fakeLog
	entries []wal.Entry
}

func (p *fakePending) Wait() error {
	l := p.log
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
	l.entries = append(l.entries, p.entries...)
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

	behind atomic.Bool   // what Behind says
	gate   chan struct{} // where there is one an Apply takes one
	inside atomic.Int64  // how many wait for it
}

func newFakeShard(log *fakeLog) *fakeShard {
	return &fakeShard{log: log, seen: make(map[codec.Hash]bool)}
}

func (s *fakeShard) Apply(seq uint64, e *engine.Entry) (engine.Applied, error) {
	if s.gate != nil {
		s.inside.Add(1)
		<-s.gate
		s.inside.Add(-1)
	}
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

func (s *fakeShard) Behind(int64, int, int64) bool { return s.behind.Load() }

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

// partOf makes a part that n names, of some size. Its form is none: nothing here
// reads it.
func partOf(n uint64, bytes int) engine.Part {
	form := binary.BigEndian.AppendUint64(make([]byte, 0, max(bytes, 8)), n)
	form = form[:max(bytes, 8)]
	return engine.Part{Hash: codec.HashBytes(form), Bytes: len(form), Form: form}
}

func at0() time.Time { return time.Unix(0, 0) }

// newDirect makes the groups of some shards in memory.
func newDirect(shards ...*fakeShard) *cluster.Direct { return newDirectBeside(nil, shards...) }

// newDirectBeside makes them beside questions.
func newDirectBeside(questions *cluster.Questions, shards ...*fakeShard) *cluster.Direct {
	var members []cluster.DirectShard
	for _, s := range shards {
		members = append(members, cluster.DirectShard{Log: s.log, Shard: s})
	}
	return cluster.NewDirect(at0, questions, members...)
}

// propose sends parts to the first shard.
func propose(group *cluster.Direct, parts ...engine.Part) error {
	return group.Propose(context.Background(), [][]engine.Part{parts})
}

// TestEveryAcceptedPartIsInTheLogOnce sends parts of all sizes to all shards from several
// senders, copies among them, and looks at the logs: each part once, applied in the log's
// order, entries of at most 2 MiB unless one part is larger.
func TestEveryAcceptedPartIsInTheLogOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var shards []*fakeShard
		var want []map[codec.Hash]bool
		for range rapid.IntRange(1, 3).Draw(t, "shards") {
			shards = append(shards, newFakeShard(&fakeLog{}))
			want = append(want, make(map[codec.Hash]bool))
		}
		group := newDirect(shards...)
		senders := rapid.SliceOfN(rapid.SliceOfN(rapid.Uint64Range(0, 30), 1, 8), 1, 6).Draw(t, "senders")
		sizes := rapid.SliceOfN(rapid.SampledFrom([]int{8, 100, 70_000, 800_000, 2 << 20, 2_400_000}), 31, 31).Draw(t, "sizes")
		var all sync.WaitGroup
		for _, sender := range senders {
			parts := make([][]engine.Part, len(shards))
			for _, n := range sender {
				p, shard := partOf(n, sizes[n]), n%uint64(len(shards))
				want[shard][p.Hash] = true
				parts[shard] = append(parts[shard], p)
			}
			all.Go(func() {
				for range 2 { // each sends twice
					err := group.Propose(context.Background(), parts)
					for errors.Is(err, span.ErrUnavailable) { // so much waits for the log that it takes no more
						time.Sleep(time.Millisecond)
						err = group.Propose(context.Background(), parts)
					}
					if err != nil {
						t.Errorf("Propose: %v", err)
					}
				}
			})
		}
		all.Wait()
		group.Close()
		for i, shard := range shards {
			checkLog(t, shard.log, shard, want[i])
		}
	})
}

func checkLog(t rapid.TB, log *fakeLog, shard *fakeShard, want map[codec.Hash]bool) {
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
			bytes += p.Bytes
		}
		if bytes > 2<<20 && len(e.Parts) > 1 {
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
		group := newDirect(shard)
		const copies = 5
		answers := make(chan error, copies)
		for range copies {
			go func() { answers <- propose(group, partOf(1, 100)) }()
		}
		waitUntil(t, "all copies are in flight", func() bool { return group.Stats(0).Parts == copies && log.waiting.Load() == 1 })
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
	group := newDirect(newFakeShard(log))
	var all sync.WaitGroup
	send := func(n uint64) {
		all.Go(func() {
			if err := propose(group, partOf(n, 1000)); err != nil {
				t.Errorf("part %d: %v", n, err)
			}
		})
	}
	send(0)
	waitUntil(t, "the first append is in flight", func() bool { return log.waiting.Load() == 1 })
	for n := range uint64(100) {
		send(n + 1)
	}
	waitUntil(t, "the others queue", func() bool { return group.Stats(0).Parts == 101 })
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
	group := newDirect(shard)
	log.gate <- errors.New("EIO")
	if err := propose(group, partOf(1, 10)); !errors.Is(err, span.ErrUnavailable) {
		t.Errorf("the failed append was answered %v", err)
	}
	// Nothing comes after, even though the log would take it again.
	log.gate <- nil
	if err := propose(group, partOf(2, 10)); !errors.Is(err, span.ErrUnavailable) {
		t.Errorf("after the failure: %v", err)
	}
	group.Close()
	if len(shard.hashes()) != 0 || len(log.entries) != 0 {
		t.Errorf("%d parts applied, %d entries in the log", len(shard.hashes()), len(log.entries))
	}
}

func TestCloseDecidesWhatWasAccepted(t *testing.T) {
	log := &fakeLog{gate: make(chan error)}
	shard := newFakeShard(log)
	group := newDirect(shard)
	answers := make(chan error, 2)
	for n := range uint64(2) {
		go func() { answers <- propose(group, partOf(n, 10)) }()
		waitUntil(t, "it is in flight or queued", func() bool { return group.Stats(0).Parts == n+1 && log.waiting.Load() == 1 })
	}
	closed := make(chan struct{})
	go func() {
		group.Close()
		close(closed)
	}()
	waitUntil(t, "new parts are refused", func() bool {
		return errors.Is(propose(group), span.ErrUnavailable)
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
	group := newDirect(shard)
	if err := group.Tick(0); err != nil {
		t.Fatal(err)
	}
	group.Close()
	if len(log.entries) != 1 || shard.ticks != 1 {
		t.Errorf("%d entries, %d ticks applied", len(log.entries), shard.ticks)
	}
}
