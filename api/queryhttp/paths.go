package queryhttp

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/stoadb/stoa/api/wire"
	"github.com/stoadb/stoa/engine/span"
)

// Paths are what an answer about paths says: what Jaeger's page draws a deep graph of (dependencies,
// with path and attributes), and beside it how often each path was gone and whether all is told.
type Paths struct {
	Dependencies []Path `json:"dependencies"`
	Paths        int    `json:"paths"`  // distinct ones; there may be more than are told
	Deeper       uint64 `json:"deeper"` // calls too deep to be among the paths
	IsCut        bool   `json:"isCut"`  // there are more paths, or deeper ones
}

// Path is a way of calls, with its traces as examples: attributes of key exemplar_trace_id,
// newest first.
type Path struct {
	Path       []PathEntry     `json:"path"`
	Attributes []PathAttribute `json:"attributes"`
	Calls      uint64          `json:"calls"`  // leaves that were reached on it
	Traces     uint64          `json:"traces"` // in which it stands
	IsCut      bool            `json:"isCut"`  // it has more hops
}

// PathEntry is one hop.
type PathEntry struct {
	Service   string `json:"service"`
	Operation string `json:"operation"`
}

// PathAttribute is something told of a path.
type PathAttribute struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

const exampleKey = "exemplar_trace_id"

// paths gives the paths through a service, or one of its operations: from a root of a trace to a
// leaf, those with the most calls first, as many as pathsBytesMax holds.
func (h *handler) paths(r *http.Request) (any, error) {
	p := h.parameters(r)
	q := span.PathQuery{Service: p.required("service"), Name: p.text("operation"), Inner: p.bool("inner")}
	limit := p.number("limit", pathsDefault, 1, pathsMax)
	q.StartMin, q.StartMax = p.pathRange()
	if p.err != nil {
		return nil, p.err
	}
	paths, err := h.store.Paths(r.Context(), q)
	if err != nil {
		return nil, err
	}
	answer := Paths{Dependencies: []Path{}, Paths: paths.Len(), Deeper: paths.Deeper}
	room := pathsBytesMax
	for _, path := range paths.First(int(limit)) {
		one := Path{Path: make([]PathEntry, len(path.Hops)), Attributes: make([]PathAttribute, len(path.Newest)), Calls: path.Calls, Traces: path.Traces, IsCut: path.IsCut}
		for i, hop := range path.Hops {
			one.Path[i] = PathEntry{wire.Text(hop.Service), wire.Text(hop.Name)}
		}
		for i, found := range path.Newest {
			one.Attributes[i] = PathAttribute{exampleKey, found.TraceID.String()}
		}
		text, err := json.Marshal(one)
		if err != nil {
			return nil, err
		}
		if room -= len(text); room < 0 {
			break
		}
		answer.Dependencies = append(answer.Dependencies, one)
	}
	answer.IsCut = answer.Paths > len(answer.Dependencies) || answer.Deeper > 0
	return answer, nil
}

// pathRange reads the range of paths: from and to in nanoseconds, or start and end in microseconds
// as for searches, where 0 is as if it were missing (Jaeger's page sends it); else endTs and
// lookback as for dependencies.
func (p *parameters) pathRange() (startMin, startMax uint64) {
	const microsecondsMax = timeMillisecondsMax * 1000
	end, lookback := p.until(), p.milliseconds("lookback", dependenciesLookback, 0)
	if micros := p.number("end", 0, 0, microsecondsMax); micros > 0 {
		end = uint64(micros) * uint64(time.Microsecond)
	}
	start := before(end, lookback)
	if micros := p.number("start", 0, 0, microsecondsMax); micros > 0 {
		start = uint64(micros) * uint64(time.Microsecond)
	}
	return p.nanoseconds("from", start), p.nanoseconds("to", end)
}
