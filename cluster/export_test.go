package cluster

import (
	"context"
	"testing"
	"time"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
	"github.com/stoadb/stoa/internal/invariant"
)

// In all tests of this package nothing is left of a form whose memory was given back: who still
// looks at it sees no form.
func init() {
	freeForm = func(p *engine.Part) {
		for i := range p.Form {
			p.Form[i] = 0xa5
		}
		p.FreeForm()
	}
}

// Held tells whether what is durable of a shard waits for a flush before it is applied.
func Held(s *Store, shard int) bool {
	s.groups.mu.Lock()
	defer s.groups.mu.Unlock()
	return s.groups.members[shard].held
}

// SetApplier puts another in the place of what applies a shard's entries. Nothing is under way.
func SetApplier(s *Store, shard int, wrap func(Applier) Applier) {
	m := s.groups.members[shard]
	m.shard = wrap(m.shard)
}

// FlushShard flushes a shard as one does who began before a round panicked.
func FlushShard(ctx context.Context, s *Store, shard int) error { return s.shards[shard].Flush(ctx) }

// SetProcessors makes turns and rounds those of a machine with n processors until the test ends.
func SetProcessors(t *testing.T, n int) {
	before := processors
	processors = n
	t.Cleanup(func() { processors = before })
}

// SetRestsLate has rests end so much late until the test ends, as timers do.
func SetRestsLate(t *testing.T, late time.Duration) {
	restTimer = func(d time.Duration) *time.Timer { return time.NewTimer(d + late) }
	t.Cleanup(func() { restTimer = time.NewTimer })
}

// PanicInWalks has each walk of a request panic until restore is called.
func PanicInWalks() (restore func()) {
	cutRequest = func([]byte, int, func(span.TraceID) int) ([]otlp.Part, otlp.Counts, error) {
		invariant.Check(false, "wrong code in a walk")
		return nil, otlp.Counts{}, nil
	}
	return func() { cutRequest = otlp.Cut }
}

// TakeTurn takes a turn to walk a request beside questions, which may be nil, when there is one.
func TakeTurn(ctx context.Context, s *Shared, questions *Questions) (leave func(), err error) {
	return s.writers.take(ctx, questions)
}

// TakeTurns takes all turns of requests to be walked, until leave is called.
func TakeTurns(s *Shared) (leave func()) {
	var each []func()
	for range s.writers.n {
		one, err := s.writers.take(context.Background(), nil)
		if err != nil {
			panic(err)
		}
		each = append(each, one)
	}
	return func() {
		for _, one := range each {
			one()
		}
	}
}
