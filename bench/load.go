// Package bench measures Stoa on recorded traces, as a sender and an asker see it:
// Requests reads recordings, Amplify makes as many of them as a measurement needs, Load
// sends them over any number of connections, Truth works out what the answers must be,
// Measure asks a Class of questions and compares, Times keeps what single calls took, and
// Watch tells what the server's process used meanwhile. The figures in
// docs/performance.md come from its benchmarks, which run the real binary.
//
// Load starts one goroutine for each connection, NewWatch one for sampling; both end
// before their call, or Stop, returns.
package bench

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/stoadb/stoa/api/client"
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

// Loaded is what a load took.
type Loaded struct {
	Requests int
	Bytes    int64 // of OTLP
	Rejected int64 // spans
	Took     time.Duration
	Exports  Times // of single requests, until they were durable
}

// Load sends every request to the server at address, over connections at once, as fast
// as they are acknowledged; a refusal that asks to come again is obeyed.
func Load(ctx context.Context, address string, connections int, requests iter.Seq2[[]byte, error]) (Loaded, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan []byte, connections)
	var (
		mu     sync.Mutex
		loaded Loaded
		group  sync.WaitGroup
	)
	begin := time.Now()
	for range connections {
		group.Go(func() {
			if err := sendAll(ctx, address, queue, &mu, &loaded); err != nil {
				cancel(err)
			}
		})
	}
	for request, err := range requests {
		if err != nil {
			cancel(err)
			break
		}
		select {
		case queue <- request:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(queue)
	group.Wait()
	loaded.Took = time.Since(begin)
	return loaded, context.Cause(ctx)
}

func sendAll(ctx context.Context, address string, queue <-chan []byte, mu *sync.Mutex, loaded *Loaded) error {
	c, err := client.Dial(ctx, address)
	if err != nil {
		return err
	}
	for request := range queue {
		begin := time.Now()
		rejected, err := c.ExportPatiently(ctx, request, nil)
		if err != nil {
			_ = c.Close() // the first error is the one to tell
			return fmt.Errorf("export of %d bytes: %w", len(request), err)
		}
		mu.Lock()
		loaded.Requests++
		loaded.Bytes += int64(len(request))
		loaded.Rejected += rejected.Spans
		loaded.Exports = append(loaded.Exports, time.Since(begin))
		mu.Unlock()
	}
	return c.Close()
}
