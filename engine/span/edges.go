package span

import (
	"cmp"
	"slices"
	"strings"
)

// EdgeQuery asks which service called which.
type EdgeQuery struct {
	// StartMin and StartMax bound the start of the callee's span, inclusive, in unix
	// nanoseconds.
	StartMin, StartMax uint64
	// Scan reads every row in the range and no cells. It is slow, and what cells are compared
	// with.
	Scan bool
}

// Edge is a caller and a callee of the service graph. A call is a span whose parent is known;
// it has the services of both, which may be one.
type Edge struct {
	Parent, Child string
	Calls         uint64
}

// EdgeRate tells besides what became of the calls.
type EdgeRate struct {
	Edge
	Errors    uint64    // calls whose span has status Error
	Durations Durations // of the spans
}

// Edges gathers edges. The zero value is not ready; see NewEdges.
type Edges struct {
	edges map[edgeKey]*EdgeRate
}

type edgeKey struct{ parent, child string }

// NewEdges has no edge.
func NewEdges() *Edges { return &Edges{map[edgeKey]*EdgeRate{}} }

// Of gives the edge between two services, a new one where there was none.
func (e *Edges) Of(parent, child string) *EdgeRate {
	key := edgeKey{parent, child}
	edge := e.edges[key]
	if edge == nil {
		edge = &EdgeRate{Edge: Edge{Parent: parent, Child: child}}
		e.edges[key] = edge
	}
	return edge
}

// Add adds what was counted of one edge, which is not to be used any more.
func (e *Edges) Add(more *EdgeRate) {
	key := edgeKey{more.Parent, more.Child}
	edge := e.edges[key]
	if edge == nil {
		e.edges[key] = more
		return
	}
	edge.Calls += more.Calls
	edge.Errors += more.Errors
	edge.Durations.AddAll(&more.Durations)
}

// AddAll adds what another counted, which is not to be used any more.
func (e *Edges) AddAll(other *Edges) {
	for _, more := range other.edges {
		e.Add(more)
	}
}

// Sorted gives the edges with calls by parent, then child.
func (e *Edges) Sorted() []*EdgeRate {
	list := make([]*EdgeRate, 0, len(e.edges))
	for _, edge := range e.edges {
		if edge.Calls > 0 {
			list = append(list, edge)
		}
	}
	slices.SortFunc(list, func(a, b *EdgeRate) int {
		return cmp.Or(strings.Compare(a.Parent, b.Parent), strings.Compare(a.Child, b.Child))
	})
	return list
}
