package enginetest

import (
	"slices"
	"strings"

	"github.com/stoadb/stoa/engine/span"
)

// Paths gives the distinct paths that a query asks for, keyed by PathText, and how many leaves
// have their focal hop too deep to be told. It writes out each way from a leaf to its root.
func (m *Model) Paths(q span.PathQuery) (paths map[string]span.Path, deeper uint64) {
	paths = make(map[string]span.Path)
	for id := range m.traces {
		rows := m.Trace(id)
		parents := make([]int32, len(rows))
		isParent := make([]bool, len(rows))
		for i := range rows {
			if parents[i] = parentOf(rows, i); parents[i] >= 0 {
				isParent[parents[i]] = true
			}
		}
		latest := make(map[string]uint64)
		for leaf := range rows {
			way := wayTo(leaf, parents)
			if isParent[leaf] || way == nil {
				continue
			}
			path, focal := hopsOf(q, rows, way)
			if focal < 0 {
				continue
			}
			start := rows[path[focal]].Start()
			if start < q.StartMin || start > q.StartMax {
				continue
			}
			if focal >= span.PathHopsMax {
				deeper++
				continue
			}
			p := span.Path{IsCut: len(path) > span.PathHopsMax}
			for _, row := range path[:min(len(path), span.PathHopsMax)] {
				p.Hops = append(p.Hops, span.Hop{Service: string(rows[row].Service()), Name: string(rows[row].Name())})
			}
			key := PathText(p)
			if known, ok := paths[key]; ok {
				p = known
			}
			p.Calls++
			if at, seen := latest[key]; !seen {
				p.Traces++
				latest[key] = start
			} else {
				latest[key] = max(at, start)
			}
			paths[key] = p
		}
		for key, start := range latest {
			p := paths[key]
			p.Newest = append(p.Newest, span.Found{TraceID: id, Start: start})
			paths[key] = p
		}
	}
	for key, p := range paths {
		slices.SortFunc(p.Newest, func(a, b span.Found) int {
			if a.Before(b) {
				return -1
			}
			return 1
		})
		p.Newest = p.Newest[:min(len(p.Newest), span.PathExamplesMax)]
		paths[key] = p
	}
	return paths, deeper
}

// PathText is a path's hops as one text.
func PathText(p span.Path) string {
	var text strings.Builder
	for _, hop := range p.Hops {
		text.WriteString(hop.Service + "\x00" + hop.Name + "\x01")
	}
	if p.IsCut {
		text.WriteString("cut")
	}
	return text.String()
}

// wayTo gives the rows from the root to a row; nil where the parents go round in a circle.
func wayTo(row int, parents []int32) (way []int) {
	for at := int32(row); at >= 0; at = parents[at] {
		if len(way) == len(parents) {
			return nil
		}
		way = append(way, int(at))
	}
	slices.Reverse(way)
	return way
}

// hopsOf gives those rows of a way that are hops, and which of these is the first focal one.
func hopsOf(q span.PathQuery, rows []span.Row, way []int) (hops []int, focal int) {
	focal = -1
	for _, row := range way {
		if !q.Inner && len(hops) > 0 && rows[row].Kind() != span.KindServer &&
			string(rows[row].Service()) == string(rows[hops[len(hops)-1]].Service()) {
			continue
		}
		hops = append(hops, row)
		if focal < 0 && string(rows[row].Service()) == q.Service && (q.Name == "" || string(rows[row].Name()) == q.Name) {
			focal = len(hops) - 1
		}
	}
	return hops, focal
}

// PathQuery gives a query that some spans of the model may answer.
func (g *Generator) PathQuery(m *Model) span.PathQuery {
	base := g.Query(m)
	q := span.PathQuery{StartMin: base.StartMin, StartMax: base.StartMax, Service: base.Service, Name: base.Name, Inner: g.rand.IntN(2) == 0}
	if services := m.Services(); q.Service == "" && len(services) > 0 && g.rand.IntN(4) > 0 {
		q.Service, q.Name = pick(g, services), ""
	}
	return q
}
