package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/stoadb/stoa/bench/workload"
)

// ingestSpans is how many spans are made for a load beside questions; copies follow.
const ingestSpans = 100_000

// ingestPrefix is of services that no question asks for.
const ingestPrefix = "ingest-"

// changedByIngest are classes whose answer is not the same while other services' spans
// arrive.
var changedByIngest = []string{"services", "graph"}

// AskDuringIngest asks the classes while spans of other services arrive, so that the right
// answers stay what they are; classes of which that is not true are left out. The load
// begins before the first question and ends after the last.
func (m *Mix) AskDuringIngest(ctx context.Context, run MixRun, load Loading) ([]QueryRecord, error) {
	c, err := workload.Preset("shop")
	if err != nil {
		return nil, err
	}
	c.Spans, c.Seed, c.Prefix = ingestSpans, mixSeed, ingestPrefix
	source := FromWorkload(c)
	if held, err := source.Hold(); err != nil || !held {
		return nil, errors.Join(errNotHeld, err)
	}
	source.Amplified(Amplification{Times: math.MaxInt32, Seed: mixSeed, Gap: 10 * time.Minute})
	still := &Mix{Classes: slices.DeleteFunc(slices.Clone(m.Classes), func(c Class) bool { return slices.Contains(changedByIngest, c.Name) })}

	loading, stop := context.WithCancel(ctx)
	defer stop()
	var sent atomic.Int64
	load.Told = func(spans int64) { sent.Store(spans) }
	ended := make(chan error, 1)
	go func() {
		_, err := load.Send(loading, source.Requests())
		ended <- err
	}()
	asking, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	finished := make(chan struct{})
	go func() { // questions beside a load that has failed would say nothing
		select {
		case err := <-ended:
			cancel(fmt.Errorf("the load beside the questions: %w", err))
			ended <- err
		case <-finished:
		}
	}()
	begin := time.Now()
	records, err := still.Ask(asking, run)
	rate := float64(sent.Load()) / time.Since(begin).Seconds()
	m.Notes = slices.Concat(m.Notes, still.Notes)
	close(finished)
	stop()
	if loadErr := <-ended; err == nil && !errors.Is(loadErr, context.Canceled) {
		err = loadErr
	}
	for i := range records {
		records[i].IngestSpansASecond = rate
	}
	return records, err
}
