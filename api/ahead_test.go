package api_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/engine/span"
)

// chunksOf are what a scripted store gives of a trace: any bytes pass.
func chunksOf(one span.TraceID) []string {
	chunks := []string{fmt.Sprintf("%v begins", one)}
	for i := range 2 + one[15]%4 {
		chunks = append(chunks, fmt.Sprintf("%v goes on %d", one, i))
	}
	return chunks
}

func yieldAll(one span.TraceID, yield func(span.Chunk) error) error {
	for _, chunk := range chunksOf(one) {
		if err := yield(span.Chunk{Bytes: []byte(chunk)}); err != nil {
			return err
		}
	}
	return nil
}

func sent(t *testing.T, server *running, ids []span.TraceID) (got []string, err error) {
	err = server.GetTraces(t.Context(), ids, func(chunk []byte) error {
		got = append(got, string(chunk))
		return nil
	})
	return got, err
}

// The first trace ends only when the one behind it was begun: traces are read ahead, and
// still come one after another in the order asked.
func TestTracesReadAheadComeInOrder(t *testing.T) {
	var ids []span.TraceID
	var want []string
	for i := range 40 {
		ids = append(ids, id(i+1))
		want = append(want, chunksOf(ids[i])...)
	}
	begun := make([]chan struct{}, len(ids)+2)
	for i := range begun {
		begun[i] = make(chan struct{})
	}
	server := start(t, &scripted{get: func(ctx context.Context, one span.TraceID, yield func(span.Chunk) error) error {
		i := int(one[15])
		close(begun[i])
		if i < len(ids) {
			select {
			case <-begun[i+1]:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return yieldAll(one, yield)
	}}, api.Options{})
	got, err := sent(t, server, ids)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, got %q", err, got)
	}
}

// A failure or a panic in a trace read ahead ends the answer where that trace stands, and what
// it took is given back: answers go on to be right, however many failed.
func TestWhatFailsAheadFailsInItsPlace(t *testing.T) {
	var ids []span.TraceID
	for i := range 9 {
		ids = append(ids, id(i+1))
	}
	begun := make(chan struct{})
	server := start(t, &scripted{get: func(ctx context.Context, one span.TraceID, yield func(span.Chunk) error) error {
		switch one[15] {
		case 6:
			return fmt.Errorf("%w: no such luck", span.ErrTooMuch)
		case 8:
			panic("eight")
		case 20:
			select {
			case <-begun:
			case <-ctx.Done():
				return ctx.Err()
			}
		case 21:
			close(begun)
		}
		return yieldAll(one, yield)
	}}, api.Options{WorkTimeMax: 20 * time.Second})
	for range 30 {
		for _, c := range []struct {
			ids   []span.TraceID
			whole int // traces in front of the failure
			code  codes.Code
		}{{ids, 5, codes.ResourceExhausted}, {ids[6:], 1, codes.Internal}, {ids[7:], 0, codes.Internal}, {ids[:5], 5, codes.OK}} {
			var want []string
			for _, one := range c.ids[:c.whole] {
				want = append(want, chunksOf(one)...)
			}
			got, err := sent(t, server, c.ids)
			if status.Code(err) != c.code || !slices.Equal(got, want) {
				t.Fatalf("%v, want %v; got %q, want %q", err, c.code, got, want)
			}
		}
	}
	if _, err := sent(t, server, []span.TraceID{id(20), id(21)}); err != nil {
		t.Errorf("nothing is read ahead any more: %v", err)
	}
}

// Many answers at once read ahead no more than the process has room for, and all come whole.
func TestReadingAheadIsBounded(t *testing.T) {
	const answers, ahead = 24, 8
	var ids []span.TraceID
	var want []string
	for i := range 7 {
		ids = append(ids, id(i+1))
		want = append(want, chunksOf(ids[i])...)
	}
	var running, most atomic.Int64
	var first sync.WaitGroup
	first.Add(answers)
	server := start(t, &scripted{get: func(_ context.Context, one span.TraceID, yield func(span.Chunk) error) error {
		now := running.Add(1)
		defer running.Add(-1)
		for seen := most.Load(); now > seen && !most.CompareAndSwap(seen, now); seen = most.Load() {
		}
		if one == ids[0] {
			first.Done()
			first.Wait()
		}
		return yieldAll(one, yield)
	}}, api.Options{})
	var clients sync.WaitGroup
	for range answers {
		clients.Go(func() {
			if got, err := sent(t, server, ids); err != nil || !slices.Equal(got, want) {
				t.Errorf("%v, got %q", err, got)
			}
		})
	}
	clients.Wait()
	if n := most.Load(); n <= answers || n > answers+ahead {
		t.Errorf("%d traces were read at once by %d answers", n, answers)
	}
}

// Who goes away in the middle of an answer leaves no reader behind.
func TestReadersAheadEndWithTheirAnswer(t *testing.T) {
	var ids []span.TraceID
	for i := range 9 {
		ids = append(ids, id(i+1))
	}
	var running atomic.Int64
	server := start(t, &scripted{get: func(ctx context.Context, one span.TraceID, yield func(span.Chunk) error) error {
		running.Add(1)
		defer running.Add(-1)
		for ctx.Err() == nil {
			if err := yieldAll(one, yield); err != nil {
				return err
			}
		}
		return ctx.Err()
	}}, api.Options{})
	gone := errors.New("gone")
	for range 20 {
		err := server.GetTraces(t.Context(), ids, func([]byte) error { return gone })
		if !errors.Is(err, gone) {
			t.Fatal(err)
		}
	}
	server.Stop(t.Context())
	if n := running.Load(); n != 0 {
		t.Errorf("%d readers are left", n)
	}
}
