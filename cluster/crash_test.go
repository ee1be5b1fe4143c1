package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
)

// modelOf holds the spans of requests.
func modelOf(t testing.TB, requests [][]byte) *enginetest.Model {
	t.Helper()
	m := enginetest.NewModel()
	for _, request := range requests {
		if _, err := m.Add(request); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// holdsBetween checks that the store holds all of acked and nothing beyond sent.
func holdsBetween(t testing.TB, s *cluster.Store, acked, sent *enginetest.Model) {
	t.Helper()
	for _, id := range sent.TraceIDs() {
		got, all := traceOf(t, s, id), modelTraceOf(t, sent, id)
		for _, content := range modelTraceOf(t, acked, id) {
			if !slices.Contains(got, content) {
				t.Fatalf("trace %v lost an acknowledged span", id)
			}
		}
		for i, content := range got {
			if !slices.Contains(all, content) {
				t.Fatalf("trace %v holds a span that nobody sent", id)
			}
			if slices.Contains(got[i+1:], content) {
				t.Fatalf("trace %v holds a span twice", id)
			}
		}
	}
}

// senders sends requests, each one to five times and at once, until the store is gone.
// What was acknowledged stands in acked.
type senders struct {
	mu    sync.Mutex
	acked [][]byte
	all   sync.WaitGroup
}

func (l *senders) send(s *cluster.Store, request []byte, copies int) {
	for range copies {
		l.all.Go(func() {
			if _, err := s.Write(context.Background(), request); err == nil {
				l.mu.Lock()
				l.acked = append(l.acked, request)
				l.mu.Unlock()
			}
		})
	}
}

func (l *senders) snapshot() [][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.acked)
}

// seeds gives how many seeds the test below runs: STOA_TEST_SEEDS for the long run.
func seeds(t *testing.T) uint64 {
	t.Helper()
	if n, err := strconv.ParseUint(os.Getenv("STOA_TEST_SEEDS"), 10, 32); err == nil && n > 0 {
		return n
	}
	if testing.Short() {
		return 3
	}
	return 12
}

// TestNoAcknowledgedSpanIsLostByKillOrPowerCut lets senders, copies of their requests
// in flight, flushes and ticks run, stops the world at some moment, looks at what a
// SIGKILL or a power cut leaves, and goes on from there. In the end everything is sent
// again and every answer is the model's.
func TestNoAcknowledgedSpanIsLostByKillOrPowerCut(t *testing.T) {
	for seed := range seeds(t) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 2))
			g := enginetest.NewGenerator(seed, 40)
			disk := vfs.NewCrash(seed)
			var sent, acked [][]byte
			for range 5 {
				beats := make(chan time.Time)
				o := small(disk)
				o.Heartbeat, o.LogBytesMax = beats, 200<<10
				s := open(t, o)
				holdsBetween(t, s, modelOf(t, acked), modelOf(t, sent))
				var l senders
				for range 30 + random.IntN(40) {
					request := enginetest.Payload(g.Spans(1 + random.IntN(30)))
					sent = append(sent, request)
					l.send(s, request, 1+random.IntN(5))
					switch random.IntN(12) {
					case 0:
						beats <- time.Now().Add(time.Minute)
					case 1:
						l.all.Go(func() { _ = s.Flush(context.Background()) })
					case 2:
						l.all.Go(func() { _ = s.Compact(context.Background()) })
					case 3:
						l.all.Wait()
					}
				}
				acked = append(acked, l.snapshot()...)
				next := disk.KillCopy()
				if random.IntN(2) == 0 {
					next = disk.Crash()
				}
				l.all.Wait()
				_ = s.Close(context.Background()) // ends the goroutines of the dead
				disk = next
			}
			s := open(t, small(disk))
			for _, request := range sent {
				write(t, s, request)
			}
			sameAnswers(t, s, modelOf(t, sent), g, 20)
			shut(t, s)
			if _, err := cluster.Verify(disk, func(damage error) { t.Errorf("verify: %v", damage) }); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestPowerCutAtEveryCall stops the machine at every call that a short life makes of
// the file system, and starts again on what is left. After a kill there is a second
// life, on names and bytes that may not be durable, and a power cut ends that one. With a
// sync interval the unsynced end of the log may be lost, but what was flushed stays and
// no start is refused: segments never go further than the log.
func TestPowerCutAtEveryCall(t *testing.T) {
	t.Run("sync always", func(t *testing.T) { powerCutAtEveryCall(t, 0) })
	t.Run("sync interval", func(t *testing.T) { powerCutAtEveryCall(t, time.Minute) })
}

func powerCutAtEveryCall(t *testing.T, syncInterval time.Duration) {
	g := enginetest.NewGenerator(9, 12)
	var requests [][]byte
	for range 6 {
		requests = append(requests, enginetest.Payload(g.Spans(15)))
	}
	options := func(disk *vfs.Crash) cluster.Options {
		o := small(disk)
		o.Log.SyncInterval = syncInterval
		return o
	}
	whole := vfs.NewCrash(1)
	if promised := shortLife(options(whole), requests); len(promised) != len(requests) {
		t.Fatalf("%d of %d requests are durable without any fault", len(promised), len(requests))
	}
	calls, sent := whole.Calls(), modelOf(t, requests)
	step := 1
	if testing.Short() {
		step = 11
	}
	for k := 1; k <= calls; k += step {
		disk := vfs.NewCrash(uint64(k))
		disk.StopAt(k)
		promised := shortLife(options(disk), requests)
		startOn := func(left *vfs.Crash, what string) *cluster.Store {
			s, err := cluster.Open(context.Background(), options(left))
			if err != nil {
				t.Fatalf("stopped at call %d of %d, %s: the next start fails: %v", k, calls, what, err)
			}
			holdsBetween(t, s, modelOf(t, promised), sent)
			return s
		}
		shut(t, startOn(disk.Crash(), "power cut"))
		killed := disk.KillCopy()
		s := startOn(killed, "kill")
		write(t, s, requests[0])
		if syncInterval == 0 {
			promised = append(promised, requests[0])
		}
		left := killed.Crash()
		shut(t, s)
		shut(t, startOn(left, "kill, second life, power cut"))
	}
}

// shortLife writes the requests, flushes, merges and closes, and returns which of them
// must outlive a power cut: those acknowledged, or, where an answer comes before the sync,
// those that were flushed.
func shortLife(o cluster.Options, requests [][]byte) (promised [][]byte) {
	s, err := cluster.Open(context.Background(), o)
	if err != nil {
		return nil
	}
	var acked [][]byte
	flush := func() {
		if count := len(acked); s.Flush(context.Background()) == nil {
			promised = acked[:count]
		}
	}
	for i, request := range requests {
		if _, err := s.Write(context.Background(), request); err == nil {
			acked = append(acked, request)
		}
		if i == 3 {
			flush()
		}
		if i == 4 {
			_ = s.Imports().SetRecords([16]byte{1}, uint64(i))
		}
	}
	flush()
	_ = s.Compact(context.Background())
	_ = s.Close(context.Background())
	if o.Log.SyncInterval == 0 {
		return acked
	}
	return promised
}

// TestErrorAtEveryCallLosesNothing makes one call fail and nothing else.
func TestErrorAtEveryCallLosesNothing(t *testing.T) {
	g := enginetest.NewGenerator(10, 12)
	requests := [][]byte{enginetest.Payload(g.Spans(25)), enginetest.Payload(g.Spans(25)), enginetest.Payload(g.Spans(25))}
	sent := modelOf(t, requests)
	failure := errors.New("input/output error")
	calls := 0
	step := 1
	if testing.Short() {
		step = 7
	}
	for k := 0; k <= calls; k += step {
		disk := vfs.NewCrash(uint64(k))
		if k > 0 {
			disk.FailAt(k, failure)
		}
		var acked [][]byte
		s, err := cluster.Open(context.Background(), small(disk))
		if err == nil {
			for _, request := range requests {
				if _, err := s.Write(context.Background(), request); err == nil {
					acked = append(acked, request)
				} else if !errors.Is(err, span.ErrUnavailable) {
					t.Fatalf("call %d failed: the write was answered %v", k, err)
				}
				_ = s.Flush(context.Background())
			}
			for disk.Calls() <= k { // a failure still to come would only hit the reads below
				_, _ = disk.List(".")
			}
			holdsBetween(t, s, modelOf(t, acked), sent)
			_ = s.Close(context.Background())
		}
		if k == 0 {
			calls = disk.Calls()
		}
		s, err = cluster.Open(context.Background(), small(disk.Crash()))
		if err != nil {
			t.Fatalf("call %d of %d failed: the next start fails: %v", k, calls, err)
		}
		holdsBetween(t, s, modelOf(t, acked), sent)
		shut(t, s)
	}
}
