package bench

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/stoadb/stoa/engine/span"
)

// The classes in this file know the right answers, which are worked out when the class is
// made. A class goes round its questions, so that no two in a row are the same where it
// has more than one.

// TruthGet asks for whole traces by id; of an id that the truth does not have, the right
// answer is none. A server that gives none of the traces that are there, and does not say that
// it looked, does not serve the class: see servesTraces.
func TruthGet(name string, truth *Truth, ids []span.TraceID) (Class, error) {
	if len(ids) == 0 {
		return Class{}, fmt.Errorf("%s: no ids to ask for", name)
	}
	class := newClass(name, len(ids), func() (Ask, Check) {
		answer := chunks{read: truth.reading.read}
		return func(ctx context.Context, c Asker, i int) (int, error) {
				answer.reset()
				err := c.GetTraces(ctx, ids[i%len(ids):][:1], answer.add)
				return 0, err
			}, func(i int) (int, error) {
				var want []Trace
				if trace, ok := truth.Trace(ids[i%len(ids)]); ok {
					want = []Trace{trace}
				}
				wrong := answer.compare(want)
				return len(answer.traces), wrong
			}
	})
	there := truth.spread(thereMax)
	class.served = func(ctx context.Context, c Asker) error { return servesTraces(ctx, c, there) }
	return class, nil
}

// TruthFind asks searches for whole traces, streamed.
func TruthFind(name string, truth *Truth, queries []span.Query) (Class, error) {
	wants, err := truth.findAll(name, queries)
	if err != nil {
		return Class{}, err
	}
	return newClass(name, len(queries), func() (Ask, Check) {
		answer := chunks{read: truth.reading.read}
		return func(ctx context.Context, c Asker, i int) (int, error) {
				answer.reset()
				err := c.FindTraces(ctx, queries[i%len(queries)], answer.add)
				return 0, err
			}, func(i int) (int, error) {
				found := wants[i%len(wants)]
				want := make([]Trace, len(found))
				for j := range found {
					want[j], _ = truth.Trace(found[j].TraceID)
				}
				wrong := answer.compare(want)
				return len(answer.traces), wrong
			}
	}), nil
}

// TruthFindAny is TruthFind for servers that promise no order: an answer is right that has
// as many traces as there are, up to the limit, all of which match, each once and whole.
func TruthFindAny(name string, truth *Truth, queries []span.Query) (Class, error) {
	all := slices.Clone(queries)
	for i := range all {
		all[i].Limit = math.MaxInt
	}
	matches, err := truth.matches(name, all)
	if err != nil {
		return Class{}, err
	}
	return newClass(name, len(queries), func() (Ask, Check) {
		answer := chunks{read: truth.reading.read}
		return func(ctx context.Context, c Asker, i int) (int, error) {
				answer.reset()
				err := c.FindTraces(ctx, queries[i%len(queries)], answer.add)
				return 0, err
			}, func(i int) (int, error) {
				at := i % len(queries)
				wrong := answer.compareAny(truth, matches[at], queries[at].LimitOrDefault())
				return len(answer.traces), wrong
			}
	}), nil
}

// TruthSummaries asks the same searches for summaries.
func TruthSummaries(name string, truth *Truth, queries []span.Query) (Class, error) {
	wants, err := truth.findAll(name, queries)
	if err != nil {
		return Class{}, err
	}
	truth.group() // before several clients compare at once
	return newClass(name, len(queries), func() (Ask, Check) {
		var answer []span.Summary
		return func(ctx context.Context, c Asker, i int) (n int, err error) {
				answer, err = c.Summaries(ctx, queries[i%len(queries)])
				return len(answer), err
			}, func(i int) (int, error) {
				found := wants[i%len(wants)]
				if len(answer) != len(found) {
					return len(answer), fmt.Errorf("%d summaries, not %d", len(answer), len(found))
				}
				for j := range found {
					want := truth.Summary(found[j].TraceID)
					if got, want := spelled(answer[j]), spelled(want); got != want {
						return len(answer), fmt.Errorf("summary %d is %s, not %s", j, got, want)
					}
				}
				return len(answer), nil
			}
	}), nil
}

// spelled is a summary as text. Whether there is a root is not asked: the protocol tells
// of one only by its names.
func spelled(s span.Summary) string {
	s.HasRoot = false
	return fmt.Sprintf("%+v", s)
}

// TruthServices asks for the names of all services; the protocol knows no order of them.
func TruthServices(name string, truth *Truth) Class {
	want := truth.Services()
	first, last := truth.window()
	return newClass(name, 1, func() (Ask, Check) {
		var answer []string
		return func(ctx context.Context, c Asker, _ int) (n int, err error) {
				if names, ok := c.(NameAsker); ok {
					answer, err = names.ServiceNames(ctx, first, last)
				} else {
					answer, err = c.Services(ctx)
				}
				return len(answer), err
			}, func(int) (int, error) {
				return len(answer), differ(slices.Sorted(slices.Values(answer)), want)
			}
	})
}

// TruthOperations asks for the operations of each service in turn; the protocol knows no
// order of them.
func TruthOperations(name string, truth *Truth) Class {
	services := slices.DeleteFunc(truth.Services(), func(service string) bool { return service == "" })
	wants := make([][]span.Operation, len(services))
	for i, service := range services {
		wants[i] = truth.Operations(service)
	}
	return newClass(name, len(services), func() (Ask, Check) {
		var answer []span.Operation
		return func(ctx context.Context, c Asker, i int) (n int, err error) {
				answer, err = c.Operations(ctx, services[i%len(services)])
				return len(answer), err
			}, func(i int) (int, error) {
				got := slices.SortedFunc(slices.Values(answer), compareOperations)
				return len(answer), differ(got, wants[i%len(wants)])
			}
	})
}

// TruthOperationNames asks for the distinct span names of each service in turn, without
// their kinds, of servers that can be asked so: see NameAsker.
func TruthOperationNames(name string, truth *Truth) Class {
	services := slices.DeleteFunc(truth.Services(), func(service string) bool { return service == "" })
	wants := make([][]string, len(services))
	for i, service := range services {
		for _, operation := range truth.Operations(service) {
			wants[i] = append(wants[i], operation.Name)
		}
		wants[i] = slices.Compact(wants[i]) // sorted by name
	}
	first, last := truth.window()
	return newClass(name, len(services), func() (Ask, Check) {
		var answer []string
		return func(ctx context.Context, c Asker, i int) (n int, err error) {
				names, ok := c.(NameAsker)
				if !ok {
					return 0, fmt.Errorf("%w: names without kinds", ErrNotServed)
				}
				answer, err = names.OperationNames(ctx, services[i%len(services)], first, last)
				return len(answer), err
			}, func(i int) (int, error) {
				return len(answer), differ(slices.Sorted(slices.Values(answer)), wants[i%len(wants)])
			}
	})
}

// TruthGraph asks for the service graph of all time; the protocol knows no order of its
// edges, and leaves open whether a service calls itself.
func TruthGraph(name string, truth *Truth) Class {
	want := truth.Edges()
	first, last := truth.window()
	return newClass(name, 1, func() (Ask, Check) {
		var answer []span.Edge
		return func(ctx context.Context, c Asker, _ int) (n int, err error) {
				answer, err = c.Dependencies(ctx, first, last)
				return len(answer), err
			}, func(int) (int, error) {
				got := slices.SortedFunc(slices.Values(answer), compareEdges)
				got = slices.DeleteFunc(got, func(e span.Edge) bool { return e.Parent == e.Child })
				return len(answer), differ(got, want)
			}
	})
}

// differ tells the first place at which two lists are not the same.
func differ[T comparable](got, want []T) error {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Errorf("number %d of %d is %v, not %v of %d", i, len(got), got[i], want[i], len(want))
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("%d, not %d", len(got), len(want))
	}
	return nil
}

// findAll answers queries. A class of searches of which one has no answer would measure
// less than its name says, so it is refused.
func (t *Truth) findAll(name string, queries []span.Query) ([][]span.Found, error) {
	if len(queries) == 0 {
		return nil, fmt.Errorf("%s: no searches to ask", name)
	}
	wants := make([][]span.Found, len(queries))
	for i, q := range queries {
		found, err := t.Find(q)
		if err == nil && len(found) == 0 {
			err = fmt.Errorf("no trace answers %+v", q)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		wants[i] = found
	}
	return wants, nil
}

// chunks keeps an answer of spans as bytes: a copy is all that is done to them while the
// clock runs. Its memory serves the next answer.
type chunks struct {
	read   func(traces []Trace, chunk []byte) ([]Trace, error)
	bytes  []byte
	ends   []int
	traces []Trace
}

func (c *chunks) reset() { c.bytes, c.ends = c.bytes[:0], c.ends[:0] }

func (c *chunks) add(chunk []byte) error {
	c.bytes = append(c.bytes, chunk...)
	c.ends = append(c.ends, len(c.bytes))
	return nil
}

// decode reads the answer.
func (c *chunks) decode() error {
	c.traces = c.traces[:0]
	begin := 0
	var err error
	for _, end := range c.ends {
		if c.traces, err = c.read(c.traces, c.bytes[begin:end]); err != nil {
			return err
		}
		begin = end
	}
	return nil
}

// compareAny tells why the answer is not limit of the matches, or all where there are
// fewer.
func (c *chunks) compareAny(truth *Truth, matches map[span.TraceID]bool, limit int) error {
	if err := c.decode(); err != nil {
		return err
	}
	if want := min(limit, len(matches)); len(c.traces) != want {
		return fmt.Errorf("%d traces, not %d", len(c.traces), want)
	}
	seen := make(map[span.TraceID]bool, len(c.traces))
	for _, got := range c.traces {
		want, _ := truth.Trace(got.ID)
		switch {
		case !matches[got.ID]:
			return fmt.Errorf("trace %v does not match", got.ID)
		case seen[got.ID]:
			return fmt.Errorf("trace %v comes twice", got.ID)
		case got != want:
			return fmt.Errorf("trace %v has %d spans, not the %d that were sent", got.ID, got.Spans, want.Spans)
		}
		seen[got.ID] = true
	}
	return nil
}

// compare tells how the answer differs from the traces that are right, in their order.
func (c *chunks) compare(want []Trace) error {
	if err := c.decode(); err != nil {
		return err
	}
	if len(c.traces) != len(want) {
		return fmt.Errorf("%d traces, not %d", len(c.traces), len(want))
	}
	for i, got := range c.traces {
		switch {
		case got.ID != want[i].ID:
			return fmt.Errorf("trace %d is %v, not %v", i, got.ID, want[i].ID)
		case got.Spans != want[i].Spans:
			return fmt.Errorf("trace %v has %d spans, not %d", got.ID, got.Spans, want[i].Spans)
		case got.Sum != want[i].Sum:
			return fmt.Errorf("trace %v has other spans than were sent", got.ID)
		}
	}
	return nil
}
