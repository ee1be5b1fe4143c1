package span

import (
	"cmp"
	"fmt"
	"slices"
)

// PathQuery asks for the paths of calls that go through a service, or through one of its names.
type PathQuery struct {
	// StartMin and StartMax bound the start of the first span of the service on a path, inclusive,
	// in unix nanoseconds.
	StartMin, StartMax uint64
	// Service is what paths must go through, as a resource says it; "" is the service without a
	// name. Name, where set, is that of the span too.
	Service, Name string
	// Inner makes a hop of every span. Without it a span is one that is a root, is of another
	// service than the hop before it, or has kind server: the hops that Jaeger's page draws.
	Inner bool
}

// IsFocal reports whether a hop is one that paths must go through.
func (q *PathQuery) IsFocal(h Hop) bool {
	return h.Service == q.Service && (q.Name == "" || h.Name == q.Name)
}

// IsHop reports whether a span of a kind is a hop, where before is the last hop above it.
func (q *PathQuery) IsHop(before, service string, kind int32) bool {
	return q.Inner || before != service || kind == KindServer
}

// Limits of paths.
const (
	// PathHopsMax is how many hops of a path are told: more than a page can draw side by side.
	PathHopsMax = 128
	// PathNodesMax bounds the nodes of the tree that all paths of a question make, PathBytesMax
	// the text of their names: with examples and maps, 64 MiB at most. Beyond, it is ErrTooMuch.
	PathNodesMax = 1 << 16
	PathBytesMax = 16 << 20
	// PathExamplesMax is how many traces are named for a path: a page opens 20 at most.
	PathExamplesMax = 8
)

// Hop is a stop on a path: a service, and the name of the span that it was reached with.
type Hop struct{ Service, Name string }

func (h Hop) compare(other Hop) int {
	return cmp.Or(cmp.Compare(h.Service, other.Service), cmp.Compare(h.Name, other.Name))
}

// Path is a distinct sequence of hops from the root of a trace to a leaf.
type Path struct {
	Hops   []Hop
	IsCut  bool    // there are more hops than PathHopsMax
	Calls  uint64  // leaves that were reached on it
	Traces uint64  // in which it stands
	Newest []Found // of these, by the latest start of a focal span on it; at most PathExamplesMax
}

// PathPlace is a place in the tree of paths; the zero value is before the first hop.
type PathPlace struct {
	node  int32
	isCut bool
}

// Paths gathers paths as a tree, whose nodes are hops: a trace costs what its spans cost,
// however long its paths are. The zero value is not ready; see NewPaths.
type Paths struct {
	nodes []pathNode // nodes[0] is before the first hop
	at    map[pathKey]int32
	ends  map[PathPlace]*pathEnd
	bytes int
	// Deeper counts leaves whose first focal span has PathHopsMax hops or more above it: what
	// could be told of their paths would not show it, so they are in none.
	Deeper uint64
}

type pathNode struct {
	pathKey
	depth int32
}

type pathKey struct {
	before int32
	hop    Hop
}

// pathEnd is what was counted where a path ends.
type pathEnd struct {
	calls, traces uint64
	last          TraceID // that was counted
	newest        []Found
}

// NewPaths has no path.
func NewPaths() *Paths {
	return &Paths{nodes: make([]pathNode, 1), at: map[pathKey]int32{}, ends: map[PathPlace]*pathEnd{}}
}

// Next gives the place behind another. Behind PathHopsMax hops a path is cut.
func (p *Paths) Next(before PathPlace, hop Hop) (PathPlace, error) {
	if before.isCut || p.nodes[before.node].depth == PathHopsMax {
		return PathPlace{before.node, true}, nil
	}
	key := pathKey{before.node, hop}
	if node, ok := p.at[key]; ok {
		return PathPlace{node: node}, nil
	}
	p.bytes += len(hop.Service) + len(hop.Name)
	if len(p.nodes) > PathNodesMax || p.bytes > PathBytesMax {
		return PathPlace{}, fmt.Errorf("%w: the paths have more than %d hops that differ, or names of more than %d MiB: ask for one operation or a shorter range",
			ErrTooMuch, PathNodesMax, PathBytesMax>>20)
	}
	node := int32(len(p.nodes))
	p.nodes = append(p.nodes, pathNode{key, p.nodes[before.node].depth + 1})
	p.at[key] = node
	return PathPlace{node: node}, nil
}

// Count counts one leaf that was reached on the path to a place, in a trace; its Start is that
// of the path's first focal span. Leaves of one trace are counted one after another.
func (p *Paths) Count(place PathPlace, in Found) {
	end := p.ends[place]
	if end == nil {
		end = &pathEnd{}
		p.ends[place] = end
	}
	if end.traces == 0 || end.last != in.TraceID {
		end.traces++
		end.last = in.TraceID
	}
	end.calls++
	end.remember(in)
}

// remember keeps the newest traces. One that was forgotten comes back when it turns out newer,
// so what is kept does not depend on the order of calls.
func (e *pathEnd) remember(in Found) {
	if len(e.newest) == PathExamplesMax && !in.Before(e.newest[PathExamplesMax-1]) {
		return
	}
	known := slices.IndexFunc(e.newest, func(f Found) bool { return f.TraceID == in.TraceID })
	switch {
	case known < 0:
		e.newest = append(e.newest, in)
	case in.Before(e.newest[known]):
		e.newest[known] = in
	default:
		return
	}
	slices.SortFunc(e.newest, func(a, b Found) int {
		if a.Before(b) {
			return -1
		}
		return 1
	})
	e.newest = e.newest[:min(len(e.newest), PathExamplesMax)]
}

// AddAll adds what another counted, of other traces.
func (p *Paths) AddAll(other *Paths) error {
	places := make([]PathPlace, len(other.nodes))
	for i, node := range other.nodes[1:] { // each stands behind the one before it
		place, err := p.Next(places[node.before], node.hop)
		if err != nil {
			return err
		}
		places[i+1] = place
	}
	p.Deeper += other.Deeper
	for place, more := range other.ends {
		here := PathPlace{places[place.node].node, place.isCut}
		end := p.ends[here]
		if end == nil {
			end = &pathEnd{}
			p.ends[here] = end
		}
		end.calls += more.calls
		end.traces += more.traces
		for _, found := range more.newest {
			end.remember(found)
		}
	}
	return nil
}

// Len is the number of distinct paths.
func (p *Paths) Len() int { return len(p.ends) }

// First gives the n paths with the most calls, of equal ones those whose hops are first by name.
func (p *Paths) First(n int) []Path {
	places := make([]PathPlace, 0, len(p.ends))
	for place := range p.ends {
		places = append(places, place)
	}
	var hops [2][]Hop // those of all at once would be many times what the tree takes
	slices.SortFunc(places, func(a, b PathPlace) int {
		if order := cmp.Compare(p.ends[b].calls, p.ends[a].calls); order != 0 {
			return order
		}
		hops[0], hops[1] = p.appendHops(hops[0][:0], a), p.appendHops(hops[1][:0], b)
		return cmp.Or(slices.CompareFunc(hops[0], hops[1], Hop.compare), cmp.Compare(cut(a), cut(b)))
	})
	list := make([]Path, min(n, len(places)))
	for i := range list {
		place, end := places[i], p.ends[places[i]]
		list[i] = Path{Hops: p.appendHops(nil, place), IsCut: place.isCut, Calls: end.calls, Traces: end.traces, Newest: end.newest}
	}
	return list
}

// appendHops appends the hops of a path, the root's first.
func (p *Paths) appendHops(dst []Hop, place PathPlace) []Hop {
	begin, n := len(dst), int(p.nodes[place.node].depth)
	dst = slices.Grow(dst, n)[:begin+n]
	for node := place.node; node > 0; node = p.nodes[node].before {
		dst[begin+int(p.nodes[node].depth)-1] = p.nodes[node].hop
	}
	return dst
}

func cut(place PathPlace) int {
	if place.isCut {
		return 1
	}
	return 0
}
