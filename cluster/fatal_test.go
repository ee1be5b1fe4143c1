package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/invariant"
	"github.com/stoadb/stoa/internal/vfs"
)

// lines is a log that may be written and read at once.
type lines struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

// wantFatal looks whether the store asks for its end, as it does where a round panicked: with the
// panic, which the log has with its stack, once; and whether it is not ready and takes nothing.
func wantFatal(t *testing.T, s *cluster.Store, log *lines, where string) {
	t.Helper()
	select {
	case err := <-s.Fatal():
		if !errors.Is(err, span.ErrUnavailable) || !strings.Contains(err.Error(), "wrong code") {
			t.Errorf("Fatal says %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("a panic ended the rounds, and nobody asks for a new start")
	}
	if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "wrong code") {
		t.Errorf("after the panic Ready says %v", err)
	}
	if _, err := s.Write(t.Context(), enginetest.Numbered(1000)); !errors.Is(err, span.ErrUnavailable) {
		t.Errorf("after the panic a write was answered %v", err)
	}
	if n := strings.Count(log.String(), "panic in a round"); n != 1 || !strings.Contains(log.String(), where) {
		t.Errorf("the log tells of %d panics:\n%s", n, log)
	}
}

// brokenShard is a shard whose Apply is wrong code, and Behind what is asked for.
type brokenShard struct {
	cluster.Applier
	behind bool
}

func (brokenShard) Apply(uint64, *engine.Entry) (engine.Applied, error) {
	invariant.Check(false, "wrong code")
	return engine.Applied{}, nil
}

func (s brokenShard) Behind(int64, int, int64) bool { return s.behind }

// A panic in a round, whoever's, is the end of the store as a failed log is: it says so at once, though nobody
// writes, reads go on, and a new start replays the log.
func TestAPanicInARoundAsksForANewStart(t *testing.T) {
	request := enginetest.Numbered(7)
	send := func(s *cluster.Store) error {
		_, err := s.Write(context.Background(), request)
		return err
	}
	for name, c := range map[string]struct {
		behind, quiet bool
		round         func(t *testing.T, s *cluster.Store, beats chan time.Time)
	}{
		"of a leader": {round: func(t *testing.T, s *cluster.Store, _ chan time.Time) {
			wantCaught(t, "brokenShard.Apply", func() { _ = send(s) })
		}},
		"in a shard that is held": {behind: true, round: func(t *testing.T, s *cluster.Store, _ chan time.Time) {
			if err := send(s); !errors.Is(err, span.ErrUnavailable) {
				t.Errorf("who waited was answered %v", err)
			}
		}},
		"of a tick": {quiet: true, round: func(_ *testing.T, _ *cluster.Store, beats chan time.Time) {
			beats <- time.Now().Add(time.Hour) // the memtable is old
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var log lines
			beats := make(chan time.Time)
			o := small(vfs.NewCrash(1))
			o.Shards, o.Heartbeat, o.Logger = 1, beats, slog.New(slog.NewTextHandler(&log, nil))
			s := open(t, o)
			g, m := enginetest.NewGenerator(5, 9), enginetest.NewModel()
			first := enginetest.Payload(g.Spans(30))
			add(t, m, first)
			write(t, s, first)
			if err := s.Ready(); err != nil {
				t.Fatal(err)
			}
			cluster.SetApplier(s, 0, func(shard cluster.Applier) cluster.Applier { return brokenShard{shard, c.behind} })
			c.round(t, s, beats)
			wantFatal(t, s, &log, "brokenShard.Apply")
			sameAnswers(t, s, m, g, 5)
			if err := s.Close(context.Background()); !errors.Is(err, span.ErrUnavailable) {
				t.Errorf("Close says %v", err)
			}
			if !c.quiet {
				add(t, m, request) // its entry is in the log
			}
			s = open(t, o)
			sameAnswers(t, s, m, g, 5)
			write(t, s, request) // sent again it is there once
			if c.quiet {
				add(t, m, request)
			}
			sameAnswers(t, s, m, g, 5)
		})
	}
}

func add(t *testing.T, m *enginetest.Model, request []byte) {
	t.Helper()
	if _, err := m.Add(request); err != nil {
		t.Fatal(err)
	}
}

// What an entry left in memory when its second part panicked never becomes a segment, whoever asks for
// a flush: the next start has the whole entry from the log.
func TestHalfAnEntryIsNotFlushed(t *testing.T) {
	for name, after := range map[string]func(*cluster.Store) error{
		"flushing": func(s *cluster.Store) error { return s.Flush(context.Background()) },
		"settling": func(s *cluster.Store) error { return s.Settle(context.Background()) },
		"closing":  func(s *cluster.Store) error { return s.Close(context.Background()) },
		"a flush of the shard itself": func(s *cluster.Store) error {
			return cluster.FlushShard(context.Background(), s, 0)
		},
	} {
		for _, alone := range []bool{false, true} {
			if alone && name == "a flush of the shard itself" {
				continue // is wrong code in a memtable of which no entry is whole
			}
			t.Run(fmt.Sprintf("%s, alone in its memtable %t", name, alone), func(t *testing.T) { halfAnEntry(t, alone, after) })
		}
	}
}

// halfAnEntry writes two requests, and two in one entry of which the second panics. The first two fill
// a memtable where the entry shall be alone in its own.
func halfAnEntry(t *testing.T, alone bool, after func(*cluster.Store) error) {
	g, m := enginetest.NewGenerator(5, 9), enginetest.NewModel()
	var requests [][]byte
	for range 4 {
		requests = append(requests, enginetest.Payload(g.Spans(30)))
		add(t, m, requests[len(requests)-1])
	}
	o := small(vfs.NewCrash(1))
	o.Shards, o.MemtableBytesMax = 1, 1<<20
	if alone {
		o.MemtableBytesMax = int64(len(requests[0]) + len(requests[1])/2)
	}
	held, release := make(chan struct{}), make(chan struct{})
	checked := 0
	o.CheckPart = func(*span.Batch) error {
		checked++
		if checked == 2 {
			close(held)
			<-release
		}
		invariant.Check(checked != 4, "wrong code")
		return nil
	}
	s := open(t, o)
	write(t, s, requests[0])
	var all sync.WaitGroup
	send := func(request []byte) {
		all.Go(func() { invariant.Caught(func() { _, _ = s.Write(context.Background(), request) }) })
	}
	send(requests[1])
	<-held
	send(requests[2])
	send(requests[3])
	waitUntil(t, "two parts wait for one entry", func() bool { return s.Stats().Groups[0].Parts == 4 })
	close(release)
	all.Wait()
	<-s.Fatal()
	if rows := s.Stats().Shards[0].MemtableRows; alone != (rows == 0) {
		t.Errorf("%d rows stand beside the half entry", rows)
	}
	if err := after(s); !errors.Is(err, span.ErrUnavailable) {
		t.Errorf("after the panic: %v", err)
	}
	o.CheckPart, o.FS = nil, o.FS.(*vfs.Crash).KillCopy()
	sameAnswers(t, open(t, o), m, g, 5)
}
