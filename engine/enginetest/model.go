// Package enginetest has what tests of the engine and of the rooms above it compare with:
// Model, a slow store in memory that answers every question by looking at every span, and
// Generator, which makes random spans and questions from a seed.
//
// A test sends the same requests to Model.Add and to the store under test, in any split,
// order and number of copies, and compares the answers. The model is written without the
// engine's shortcuts: it keeps each distinct span once, matches by building every text
// that a tag could equal, and resolves parents by searching. It starts no goroutines.
package enginetest

import (
	"slices"
	"strings"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// Model is the slow truth. It serves one goroutine at a time.
type Model struct {
	traces map[span.TraceID]map[string]span.Row // by content
	pairs  map[span.Row]map[span.Tag]bool       // what pairsOf said
}

// NewModel is empty.
func NewModel() *Model {
	return &Model{traces: make(map[span.TraceID]map[string]span.Row), pairs: make(map[span.Row]map[span.Tag]bool)}
}

// Add takes an OTLP request; it gives the batch it walked, or why it could not.
func (m *Model) Add(payload []byte) (*span.Batch, error) {
	b, _, err := otlp.Walk(payload)
	if err != nil {
		return nil, err
	}
	m.AddBatch(b)
	return b, nil
}

// AddBatch takes the rows of a batch.
func (m *Model) AddBatch(b *span.Batch) {
	for pos := range b.Len() {
		row := span.Row{Batch: b, Pos: pos}
		trace := m.traces[row.TraceID()]
		if trace == nil {
			trace = make(map[string]span.Row)
			m.traces[row.TraceID()] = trace
		}
		content := string(span.AppendContent(nil, row))
		if _, ok := trace[content]; !ok {
			trace[content] = row
		}
	}
}

// Clone gives a model that goes on from here on its own.
func (m *Model) Clone() *Model {
	c := NewModel()
	for id, trace := range m.traces {
		rows := make(map[string]span.Row, len(trace))
		for content, row := range trace {
			rows[content] = row
		}
		c.traces[id] = rows
	}
	return c
}

// TraceIDs gives the ids of all traces, sorted.
func (m *Model) TraceIDs() []span.TraceID {
	ids := make([]span.TraceID, 0, len(m.traces))
	for id := range m.traces {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, span.TraceID.Compare)
	return ids
}

// Spans is the number of distinct spans.
func (m *Model) Spans() int {
	n := 0
	for _, trace := range m.traces {
		n += len(trace)
	}
	return n
}

// Trace gives the trace's distinct rows in the order of span.Compare.
func (m *Model) Trace(id span.TraceID) []span.Row {
	rows := make([]span.Row, 0, len(m.traces[id]))
	for _, row := range m.traces[id] {
		rows = append(rows, row)
	}
	slices.SortFunc(rows, span.Compare)
	return rows
}

// Get gives what the store's Get streams: the messages of the trace's encoded form.
func (m *Model) Get(id span.TraceID) ([][]byte, error) {
	var chunks [][]byte
	e := otlp.NewEncoder(func(chunk []byte) error {
		chunks = append(chunks, slices.Clone(chunk))
		return nil
	})
	for _, row := range m.Trace(id) {
		if err := e.Add(row); err != nil {
			return nil, err
		}
	}
	return chunks, e.Flush()
}

// Matching gives every distinct span on which everything asked holds.
func (m *Model) Matching(q span.Query) []span.Row {
	var rows []span.Row
	for _, trace := range m.traces {
		for _, row := range trace {
			if m.matches(q, row) {
				rows = append(rows, row)
			}
		}
	}
	return rows
}

// Find gives the traces that match, in the order of answers, at most q.Limit.
func (m *Model) Find(q span.Query) []span.Found {
	latest := make(map[span.TraceID]uint64)
	for _, row := range m.Matching(q) {
		latest[row.TraceID()] = max(latest[row.TraceID()], row.Start())
	}
	found := make([]span.Found, 0, len(latest))
	for id, start := range latest {
		if f := (span.Found{TraceID: id, Start: start}); q.After == nil || q.After.Before(f) {
			found = append(found, f)
		}
	}
	slices.SortFunc(found, func(a, b span.Found) int {
		switch {
		case a.Before(b):
			return -1
		case b.Before(a):
			return 1
		}
		return 0
	})
	return found[:min(q.Limit, len(found))]
}

// Summary tells of one trace, which must be there.
func (m *Model) Summary(id span.TraceID) span.Summary {
	rows := m.Trace(id)
	sum := span.Summary{TraceID: id, Start: rows[0].Start(), Spans: len(rows)}
	for i, row := range rows {
		sum.End = max(sum.End, row.End())
		parent := parentOf(rows, i)
		if parent == span.Orphan {
			sum.Orphans++
		}
		if parent == span.NoParent && !sum.HasRoot {
			sum.HasRoot, sum.RootService, sum.RootName = true, string(row.Service()), string(row.Name())
		}
		failed := 0
		if row.StatusCode() == span.StatusError {
			failed = 1
		}
		sum.Errors += failed
		at, ok := slices.BinarySearchFunc(sum.Services, string(row.Service()), func(c span.ServiceCount, service string) int {
			return strings.Compare(c.Service, service)
		})
		if !ok {
			sum.Services = slices.Insert(sum.Services, at, span.ServiceCount{Service: string(row.Service())})
		}
		sum.Services[at].Spans++
		sum.Services[at].Errors += failed
	}
	return sum
}

// Edges counts the calls whose callee starts in the range, by (caller, callee).
func (m *Model) Edges(startMin, startMax uint64) map[[2]string]uint64 {
	calls := make(map[[2]string]uint64)
	for edge, rated := range m.EdgesRated(startMin, startMax) {
		calls[edge] = rated.Spans
	}
	return calls
}

// EdgesRated tells of them how many failed and how long each took.
func (m *Model) EdgesRated(startMin, startMax uint64) map[[2]string]Rated {
	calls := make(map[[2]string]Rated)
	for id := range m.traces {
		rows := m.Trace(id)
		for i, row := range rows {
			parent := parentOf(rows, i)
			if parent >= 0 && row.Start() >= startMin && row.Start() <= startMax {
				edge := [2]string{string(rows[parent].Service()), string(row.Service())}
				rated := calls[edge]
				rated.add(row)
				calls[edge] = rated
			}
		}
	}
	return calls
}

// Services gives the distinct service names, sorted.
func (m *Model) Services() []string {
	seen := make(map[string]bool)
	for _, trace := range m.traces {
		for _, row := range trace {
			seen[string(row.Service())] = true
		}
	}
	list := make([]string, 0, len(seen))
	for service := range seen {
		list = append(list, service)
	}
	slices.Sort(list)
	return list
}

// Operations gives the distinct operations of a service, all for "", in no order.
func (m *Model) Operations(service string) map[span.Operation]bool {
	seen := make(map[span.Operation]bool)
	for _, trace := range m.traces {
		for _, row := range trace {
			if service == "" || string(row.Service()) == service {
				seen[span.Operation{Service: string(row.Service()), Name: string(row.Name()), Kind: row.Kind()}] = true
			}
		}
	}
	return seen
}

// parentOf finds the parent of row i by searching, as span.ResolveParents says.
func parentOf(rows []span.Row, i int) int32 {
	find := func(id span.SpanID, kind int32) int32 {
		for j, row := range rows {
			if row.SpanID() == id && (kind < 0 || row.Kind() == kind) {
				return int32(j)
			}
		}
		return -1
	}
	if rows[i].Kind() == span.KindServer {
		if client := find(rows[i].SpanID(), span.KindClient); client >= 0 {
			return client
		}
	}
	id := rows[i].ParentID()
	if id.IsZero() {
		return span.NoParent
	}
	parent := find(id, span.KindServer)
	if parent < 0 {
		parent = find(id, -1)
	}
	if parent < 0 || parent == int32(i) {
		return span.Orphan
	}
	return parent
}
