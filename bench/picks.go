package bench

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/stoadb/stoa/engine/span"
)

// Picks chooses questions by a seed: the same table and seed, the same questions.
type Picks struct {
	truth  *Truth
	random *rand.Rand
}

// NewPicks begins to choose.
func NewPicks(truth *Truth, seed uint64) *Picks {
	return &Picks{truth, rand.New(rand.NewPCG(seed, 0))}
}

// IDs gives n ids of traces, each as likely.
func (p *Picks) IDs(n int) []span.TraceID {
	ids := make([]span.TraceID, n)
	for i := range ids {
		ids[i] = p.truth.traces[p.random.IntN(len(p.truth.traces))].id
	}
	return ids
}

// Absent gives n ids that no trace has.
func (p *Picks) Absent(n int) []span.TraceID {
	ids := make([]span.TraceID, 0, n)
	for len(ids) < n {
		var id span.TraceID
		for i := range id {
			id[i] = byte(p.random.Uint32())
		}
		if _, taken := p.truth.Trace(id); !taken {
			ids = append(ids, id)
		}
	}
	return ids
}

// Windows gives n searches for service and operation of some span, each as likely, in a
// window of the given length around its start.
func (p *Picks) Windows(n int, length time.Duration, limit int) []span.Query {
	t := p.truth
	queries := make([]span.Query, 0, n)
	for len(queries) < n {
		row := p.random.IntN(len(t.starts))
		q := span.Query{Service: t.texts[t.services[row]], Name: t.texts[t.names[row]], Limit: limit}
		if q.Service == "" {
			continue // that would ask for any service
		}
		q.StartMin = t.starts[row] - min(t.starts[row], p.random.Uint64N(uint64(length)))
		q.StartMax = q.StartMin + uint64(length)
		queries = append(queries, q)
	}
	return queries
}

// Failures gives n searches for the failed spans of a service in a window of the given
// length around one of them; tag is what the truth knows them by. It gives fewer where
// few spans failed.
func (p *Picks) Failures(n int, tag span.Tag, length time.Duration, limit int) []span.Query {
	var queries []span.Query
	for _, row := range p.holding(tag, n) {
		q := span.Query{Service: p.truth.texts[p.truth.services[row]], Tags: []span.Tag{tag}, Limit: limit}
		q.StartMin = p.truth.starts[row] - min(p.truth.starts[row], p.random.Uint64N(uint64(length)))
		q.StartMax = q.StartMin + uint64(length)
		queries = append(queries, q)
	}
	return queries
}

// Narrow gives up to n searches for service, operation, tag and at least half the
// duration of some span that holds the tag.
func (p *Picks) Narrow(n int, tag span.Tag, limit int) []span.Query {
	var queries []span.Query
	t := p.truth
	for _, row := range p.holding(tag, n) {
		queries = append(queries, span.Query{
			StartMax: math.MaxUint64, Service: t.texts[t.services[row]], Name: t.texts[t.names[row]], Tags: []span.Tag{tag},
			DurationMin: max(1, t.duration(int(row))/2), Limit: limit,
		})
	}
	return queries
}

// Owned gives one search over all time for each tag that holds somewhere, of a service
// where it does.
func (p *Picks) Owned(tags []span.Tag, limit int) []span.Query {
	var queries []span.Query
	for i := range tags {
		for _, row := range p.holding(tags[i], 1) {
			queries = append(queries, span.Query{
				StartMax: math.MaxUint64, Service: p.truth.texts[p.truth.services[row]], Tags: tags[i : i+1], Limit: limit,
			})
		}
	}
	return queries
}

// holding chooses up to n rows of a service that hold a tag.
func (p *Picks) holding(tag span.Tag, n int) []uint32 {
	t := p.truth
	bit := slices.Index(t.tags, tag)
	if bit < 0 {
		return nil
	}
	var rows []uint32
	for row, holds := range t.holds {
		if holds>>bit&1 != 0 && t.texts[t.services[row]] != "" {
			rows = append(rows, uint32(row))
		}
	}
	p.random.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	return rows[:min(n, len(rows))]
}

// Slow gives one search for each of the n services with the most spans: those that last at
// least as long as all but the share of rarest ones.
func (p *Picks) Slow(n int, rarest float64, limit int) []span.Query {
	counts := make(map[string]int)
	for _, service := range p.truth.services {
		counts[p.truth.texts[service]]++
	}
	delete(counts, "")
	services := p.truth.Services()
	services = slices.DeleteFunc(services, func(service string) bool { return counts[service] == 0 })
	slices.SortStableFunc(services, func(a, b string) int { return counts[b] - counts[a] })
	var queries []span.Query
	for _, service := range services[:min(n, len(services))] {
		queries = append(queries, span.Query{
			StartMax: math.MaxUint64, Service: service, Limit: limit,
			DurationMin: max(1, p.truth.DurationQuantile(service, 1-rarest)),
		})
	}
	return queries
}

// Tagged gives one search over all time for each of tags, of the service, or of any for "".
func Tagged(service string, tags []span.Tag, limit int) []span.Query {
	queries := make([]span.Query, len(tags))
	for i := range tags {
		queries[i] = span.Query{StartMax: math.MaxUint64, Service: service, Tags: tags[i : i+1], Limit: limit}
	}
	return queries
}
