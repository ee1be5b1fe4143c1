// Package bench measures Stoa, and what can be measured beside it, as a sender and an
// asker see it. A Source gives spans, recorded or made (bench/workload), as often as they
// are needed; Loading sends them over any number of connections, as OTLP over gRPC or HTTP,
// so that other stores can be loaded too; Truth works out what the answers must be, Measuring
// asks a Class of questions over an API, gRPC or HTTP, and compares, Times keeps what single calls took, and Watch
// tells what the server's process used meanwhile. A Record holds what was measured, as
// JSON; reports and comparisons are made of it.
//
// Loading starts one goroutine for each connection, NewWatch one for sampling, Measuring
// one for each client; all end before their call, or Stop, returns. Connections have those of
// gRPC or net/http until they are closed.
package bench

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"
)

// Times is a list of durations of calls of one kind.
type Times []time.Duration

// Quantile gives the duration that the share q, in [0, 1], of all calls did not exceed:
// the smallest one of rank ceil(q*n). It is 0 where there were no calls.
func (t Times) Quantile(q float64) time.Duration {
	if len(t) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(t))
	rank := int(q * float64(len(sorted)))
	if float64(rank) < q*float64(len(sorted)) {
		rank++
	}
	return sorted[min(max(rank-1, 0), len(sorted)-1)]
}

// Loading says how requests are sent.
type Loading struct {
	// Target is HOST:PORT of OTLP over gRPC, or a URL of OTLP over HTTP such as
	// http://127.0.0.1:4318/v1/traces.
	Target      string
	Connections int
	// SpansASecond is the rate at which spans are sent, 0 as fast as they are acknowledged.
	SpansASecond float64
	// Patience is how long a request is sent again where the server does not say when to
	// come again: refused as unavailable, or not reached. 0 makes that an error at once.
	Patience time.Duration
	// Told, where not nil, hears of the spans accepted so far, Waiting of each refusal
	// before the wait that follows it. Both are called by many goroutines.
	Told    func(spans int64)
	Waiting func(refusal error)
}

// Loaded is what a load took.
type Loaded struct {
	Requests int
	Spans    int64 // sent, rejected ones too
	Bytes    int64 // of OTLP
	Rejected int64 // spans
	Retries  int   // requests that were sent again because the server asked for it
	Took     time.Duration
	// Exports are the times of single requests until they were acknowledged, waits for a
	// retry included. Where a rate is given they begin when the request was due, so that a
	// server that stalls is charged with all that it kept waiting.
	Exports Times
}

// Load sends every request to the server at address, over connections at once, as fast
// as they are acknowledged; a refusal that asks to come again is obeyed.
func Load(ctx context.Context, address string, connections int, requests iter.Seq2[[]byte, error]) (Loaded, error) {
	return Loading{Target: address, Connections: connections}.Send(ctx, requests)
}

// due is a request and when it was to be sent; a zero time is no time.
type due struct {
	request []byte
	spans   int
	at      time.Time
}

// Send sends every request.
func (l Loading) Send(ctx context.Context, requests iter.Seq2[[]byte, error]) (Loaded, error) {
	if l.Connections < 1 || l.Connections > connectionsMax {
		return Loaded{}, fmt.Errorf("%d connections: want 1 to %d", l.Connections, connectionsMax)
	}
	senders := make([]sender, l.Connections)
	for i := range senders {
		var err error
		if senders[i], err = newSender(l.Target); err != nil {
			return Loaded{}, err
		}
		defer func() { _ = senders[i].close() }() // nothing is in flight any more
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan due, l.Connections)
	s := sending{Loading: l}
	begin := time.Now()
	for _, to := range senders {
		s.group.Go(func() {
			if err := s.all(ctx, to, queue); err != nil {
				cancel(err)
			}
		})
	}
	if err := l.feed(ctx, requests, queue); err != nil {
		cancel(err)
	}
	close(queue)
	s.group.Wait()
	s.loaded.Took = time.Since(begin)
	return s.loaded, context.Cause(ctx)
}

// feed hands out the requests, each when it is due.
func (l Loading) feed(ctx context.Context, requests iter.Seq2[[]byte, error], queue chan<- due) error {
	begin, before := time.Now(), int64(0)
	for request, err := range requests {
		if err != nil {
			return err
		}
		next := due{request: request}
		if next.spans, err = CountSpans(request); err != nil {
			return err
		}
		if l.SpansASecond > 0 {
			next.at = begin.Add(time.Duration(float64(before) / l.SpansASecond * 1e9))
			before += int64(next.spans)
			select {
			case <-time.After(time.Until(next.at)):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		select {
		case queue <- next:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// sending is a load under way.
type sending struct {
	Loading
	group  sync.WaitGroup
	mu     sync.Mutex
	loaded Loaded
}

func (s *sending) all(ctx context.Context, to sender, queue <-chan due) error {
	for next := range queue {
		begin := next.at
		if begin.IsZero() {
			begin = time.Now()
		}
		rejected, retries, err := s.patiently(ctx, to, next.request)
		if err != nil {
			return fmt.Errorf("export of %d bytes: %w", len(next.request), err)
		}
		took := time.Since(begin)
		s.mu.Lock()
		l := &s.loaded
		l.Requests++
		l.Bytes += int64(len(next.request))
		l.Spans += int64(next.spans)
		l.Rejected += min(max(rejected, 0), int64(next.spans)) // whatever a server says
		l.Retries += retries
		l.Exports = append(l.Exports, took)
		spans := l.Spans - l.Rejected
		s.mu.Unlock()
		if s.Told != nil {
			s.Told(spans)
		}
	}
	return nil
}
