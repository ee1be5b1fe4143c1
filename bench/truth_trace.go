package bench

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/stoadb/stoa/engine/span"
)

// Trace is what can be compared of one trace as a whole: how many spans, and a number
// for which spans they are (ids, parent, times and name), whatever their order.
type Trace struct {
	ID    span.TraceID
	Spans int
	Sum   uint64
}

// Trace gives the trace of an id.
func (t *Truth) Trace(id span.TraceID) (Trace, bool) {
	at, ok := t.byTrace[id]
	if !ok {
		return Trace{}, false
	}
	return Trace{id, int(t.traces[at].spans), t.traces[at].sum}, true
}

// AppendTraces adds a chunk of an answer, a TracesData message, to the traces that came
// before it; a chunk of the trace that came last goes on with that one.
func AppendTraces(traces []Trace, chunk []byte) ([]Trace, error) {
	err := eachSpan(chunk, func(message []byte) error {
		var traceID, spanID, parentID, name []byte
		var start, end uint64
		err := eachField(message, func(f field) error {
			switch {
			case f.is(1, bytesWire):
				traceID = f.value
			case f.is(2, bytesWire):
				spanID = f.value
			case f.is(4, bytesWire):
				parentID = f.value
			case f.is(5, bytesWire):
				name = f.value
			case f.is(7, fixed64Wire):
				start = binary.LittleEndian.Uint64(f.value)
			case f.is(8, fixed64Wire):
				end = binary.LittleEndian.Uint64(f.value)
			}
			return nil
		})
		var id span.TraceID
		copy(id[len(id)-min(len(traceID), len(id)):], traceID)
		if len(traces) == 0 || traces[len(traces)-1].ID != id {
			traces = append(traces, Trace{ID: id})
		}
		last := &traces[len(traces)-1]
		last.Spans++
		last.Sum += spanHash(traceID, spanID, parentID, start, end, name)
		return err
	})
	return traces, err
}

// group puts all rows in order of their traces, once all are there.
func (t *Truth) group() {
	if len(t.order) == len(t.starts) {
		return
	}
	t.rowEnds = make([]uint32, len(t.traces))
	end := uint32(0)
	for i := range t.traces {
		t.rowEnds[i] = end // its begin; each row placed moves it on to its end
		end += t.traces[i].spans
	}
	t.order = make([]uint32, len(t.starts))
	for row, trace := range t.traceOf {
		t.order[t.rowEnds[trace]] = uint32(row)
		t.rowEnds[trace]++
	}
}

// rows gives the rows of a trace.
func (t *Truth) rows(trace uint32) []uint32 {
	t.group()
	end := t.rowEnds[trace]
	return t.order[end-t.traces[trace].spans : end]
}

// Edges gives the service graph of all time, sorted: a call for each span whose parent
// stands in the same trace and belongs to another service. Where Zipkin's shared ids give
// one id to a CLIENT and a SERVER half, the SERVER half was called by the CLIENT half, and
// children of the id by the SERVER half. Traces with copies of a span are not counted
// rightly: the server keeps one of them, this table all.
func (t *Truth) Edges() []span.Edge {
	calls := make(map[span.Edge]uint64)
	for trace := range t.traces {
		t.addEdges(calls, t.ordered(uint32(trace)))
	}
	edges := make([]span.Edge, 0, len(calls))
	for edge, n := range calls {
		edge.Calls = n
		edges = append(edges, edge)
	}
	slices.SortFunc(edges, compareEdges)
	return edges
}

func compareEdges(a, b span.Edge) int {
	return cmp.Or(strings.Compare(a.Parent, b.Parent), strings.Compare(a.Child, b.Child), cmp.Compare(a.Calls, b.Calls))
}

// addEdges counts the calls of one trace, whose rows are ordered.
func (t *Truth) addEdges(calls map[span.Edge]uint64, rows []uint32) {
	clients, callees := make(map[uint64]uint32), make(map[uint64]uint32)
	for _, row := range rows {
		id := t.spanIDs[row]
		if _, known := clients[id]; !known && t.kinds[row] == span.KindClient {
			clients[id] = row
		}
		before, known := callees[id]
		if !known || t.kinds[row] == span.KindServer && t.kinds[before] != span.KindServer {
			callees[id] = row
		}
	}
	for _, row := range rows {
		caller, known := clients[t.spanIDs[row]]
		if t.kinds[row] != span.KindServer || !known {
			caller, known = callees[t.parents[row]]
			known = known && t.parents[row] != 0 && caller != row
		}
		if known && t.services[caller] != t.services[row] {
			calls[span.Edge{Parent: t.texts[t.services[caller]], Child: t.texts[t.services[row]]}]++
		}
	}
}

// ordered gives the rows of a trace by start, id and kind.
func (t *Truth) ordered(trace uint32) []uint32 {
	rows := slices.Clone(t.rows(trace))
	slices.SortFunc(rows, func(a, b uint32) int {
		return cmp.Or(cmp.Compare(t.starts[a], t.starts[b]), cmp.Compare(t.spanIDs[a], t.spanIDs[b]), cmp.Compare(t.kinds[a], t.kinds[b]))
	})
	return rows
}

// Summary gives the summary of a trace that the truth has.
//
// Where Zipkin's shared ids give one id to a CLIENT and a SERVER half, the SERVER half
// hangs under the CLIENT half, whatever parent it names.
func (t *Truth) Summary(id span.TraceID) span.Summary {
	rows := t.ordered(t.byTrace[id])
	holders := make(map[uint64]int) // spans with this id
	clients := make(map[uint64]bool)
	for _, row := range rows {
		holders[t.spanIDs[row]]++
		if t.kinds[row] == span.KindClient {
			clients[t.spanIDs[row]] = true
		}
	}
	sum := span.Summary{TraceID: id, Start: t.starts[rows[0]], Spans: len(rows)}
	counts := make(map[string]span.ServiceCount)
	for _, row := range rows {
		sum.End = max(sum.End, t.ends[row])
		service, parent := t.texts[t.services[row]], t.parents[row]
		shared := t.kinds[row] == span.KindServer && clients[t.spanIDs[row]]
		switch {
		case shared:
		case parent == 0:
			if !sum.HasRoot {
				sum.HasRoot, sum.RootService, sum.RootName = true, service, t.texts[t.names[row]]
			}
		case holders[parent] == 0 || parent == t.spanIDs[row] && holders[parent] == 1:
			sum.Orphans++
		}
		count := counts[service]
		count.Service = service
		count.Spans++
		if t.failed[row] {
			count.Errors++
			sum.Errors++
		}
		counts[service] = count
	}
	for _, count := range counts {
		sum.Services = append(sum.Services, count)
	}
	slices.SortFunc(sum.Services, func(a, b span.ServiceCount) int { return strings.Compare(a.Service, b.Service) })
	return sum
}
