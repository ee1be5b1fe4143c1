package engine

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// Services gives the distinct service names of what is live, sorted. Where a segment has
// too many operations for a catalog, its resources say it: each of them has rows.
func (s *Shard) Services() ([]string, error) {
	v, err := s.view()
	if err != nil {
		return nil, err
	}
	defer v.close()
	services := make(map[string]bool)
	for _, t := range v.tables {
		if names, complete := t.services(t.count); complete {
			addAll(services, names)
			continue
		}
		for i := range t.count {
			eachOperation(t.at(i).batch, func(service string, _ batchOperation, _ uint64) { services[service] = true })
		}
	}
	for _, l := range v.segments {
		if l.Catalog().Complete() {
			addAll(services, l.Catalog().Services())
			continue
		}
		b := l.Resources()
		for i := range b.Resources {
			services[b.String(b.Resources[i].Service)] = true
		}
	}
	return slices.Sorted(maps.Keys(services)), nil
}

// Operations gives the distinct operations of a service, of every service for "", sorted
// by service, name and kind. Where a source has too many for a catalog, its rows say it.
func (s *Shard) Operations(ctx context.Context, service string) ([]span.Operation, error) {
	v, err := s.view()
	if err != nil {
		return nil, err
	}
	defer v.close()
	all := make(map[span.Operation]bool)
	for _, t := range v.tables {
		if operations, complete := t.operations(t.count, service); complete {
			addAll(all, operations)
			continue
		}
		for i := range t.count {
			addOperations(all, t.at(i).batch, service)
		}
	}
	for _, l := range v.segments {
		if l.Catalog().Complete() {
			addAll(all, l.Catalog().Operations(service))
			continue
		}
		for group := range l.Groups() {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			batch, err := l.ReadGroup(group, segment.Projection{Names: true, Identity: true})
			if err != nil {
				return nil, err
			}
			addOperations(all, batch, service)
		}
	}
	return slices.SortedFunc(maps.Keys(all), func(a, b span.Operation) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind))
	}), nil
}

// addOperations adds those of a batch's rows, all of them for service "".
func addOperations(all map[span.Operation]bool, b *span.Batch, service string) {
	eachOperation(b, func(name string, o batchOperation, _ uint64) {
		if service == "" || name == service {
			all[span.Operation{Service: name, Name: b.String(o.name), Kind: o.kind}] = true
		}
	})
}

// batchOperation is an operation as a batch's numbers say it; texts may repeat.
type batchOperation struct {
	resource uint32
	name     span.TextID
	kind     int32
}

// eachOperation visits the operations of a batch with their service and number of spans.
func eachOperation(b *span.Batch, visit func(service string, o batchOperation, spans uint64)) {
	counts := make(map[batchOperation]uint64)
	for row := range b.TraceIDs {
		counts[batchOperation{b.ResourceIDs[row], b.Names[row], b.Kinds[row]}]++
	}
	for o, spans := range counts {
		visit(b.String(b.Resources[o.resource].Service), o, spans)
	}
}

func addAll[T comparable](set map[T]bool, list []T) {
	for _, item := range list {
		set[item] = true
	}
}
