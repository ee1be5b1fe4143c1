package queryhttp

import (
	"net/http"
	"slices"

	"github.com/stoadb/stoa/api/wire"
)

// services gives the names of services.
func (h *handler) services(r *http.Request) (any, error) {
	names, err := h.store.Services(r.Context())
	if err != nil {
		return nil, err
	}
	return listingOf(valid(names)), nil
}

// valid makes names valid UTF-8; those that become equal are one. They stay sorted as bytes.
func valid(names []string) []string {
	list := make([]string, 0, len(names))
	for _, name := range names {
		list = append(list, wire.Text(name))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func listingOf[T any](list []T) listing { return listing{Data: list, Total: len(list)} }

// operationNames gives the distinct names of a service's spans, of all kinds.
func (h *handler) operationNames(r *http.Request) (any, error) {
	operations, err := h.store.Operations(r.Context(), r.PathValue("service"))
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(operations))
	for _, o := range operations {
		names = append(names, o.Name)
	}
	return listingOf(valid(names)), nil
}

// operation is a name of spans as Jaeger tells it.
type operation struct {
	Name     string `json:"name"`
	SpanKind string `json:"spanKind"`
}

// operations gives the names and kinds of a service's spans.
func (h *handler) operations(r *http.Request) (any, error) {
	p := h.parameters(r)
	service, kind := p.required("service"), p.text("spanKind")
	if p.err != nil {
		return nil, p.err
	}
	all, err := h.store.Operations(r.Context(), service)
	if err != nil {
		return nil, err
	}
	list := make([]operation, 0, len(all))
	seen := map[operation]bool{}
	for _, o := range all {
		one := operation{wire.Text(o.Name), wire.KindName(o.Kind)}
		if o.Service != service || kind != "" && kind != one.SpanKind || seen[one] {
			continue
		}
		seen[one] = true
		list = append(list, one)
	}
	return listingOf(list), nil
}

// dependency is an edge of the service graph as Jaeger tells it.
type dependency struct {
	Parent    string `json:"parent"`
	Child     string `json:"child"`
	CallCount uint64 `json:"callCount"`
}

// dependencies gives the calls between services whose callee starts in the range; with the
// parameter service those that it makes or takes.
func (h *handler) dependencies(r *http.Request) (any, error) {
	p := h.parameters(r)
	end, lookback, service := p.until(), p.milliseconds("lookback", dependenciesLookback, 0), p.text("service")
	if p.err != nil {
		return nil, p.err
	}
	edges, err := h.store.Edges(r.Context(), before(end, lookback), end)
	if err != nil {
		return nil, err
	}
	type ends struct{ parent, child string }
	places := map[ends]int{}
	list := make([]dependency, 0, len(edges))
	for _, edge := range edges {
		names := ends{wire.Text(edge.Parent), wire.Text(edge.Child)}
		if edge.Parent == edge.Child || service != "" && names.parent != service && names.child != service {
			continue
		}
		place, isKnown := places[names]
		if !isKnown {
			place = len(list)
			places[names] = place
			list = append(list, dependency{Parent: names.parent, Child: names.child})
		}
		list[place].CallCount += edge.Calls
	}
	return listing{Data: list}, nil // Jaeger leaves the total at 0
}
