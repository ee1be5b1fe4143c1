package engine

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/index"
)

// listedNames are the services and operations of a version's segments, sorted. Segments never
// change, so they are worked out once, by the first who asks; not kept where a catalog has given
// up, or where they are many.
type listedNames struct {
	kept       bool
	services   []string
	operations []span.Operation
}

func (v *version) listed(ctx context.Context) (*listedNames, error) {
	if known := v.names.Load(); known != nil {
		return known, nil
	}
	l, operations := new(listedNames), 0
	catalogs := make([]*index.Catalog, len(v.segments))
	for i, s := range v.segments {
		err := ctx.Err()
		if err != nil {
			return nil, err
		}
		if catalogs[i], err = s.Catalog(); err != nil {
			return nil, err
		}
		operations += catalogs[i].Size()
		if !catalogs[i].Complete() || operations > operationsListedMax {
			v.names.Store(l)
			return l, nil
		}
	}
	l.kept = true
	services, all := make(map[string]bool), make(map[span.Operation]bool)
	for _, c := range catalogs {
		addAll(services, c.Services())
		addAll(all, c.Operations(""))
	}
	l.services, l.operations = slices.Sorted(maps.Keys(services)), slices.SortedFunc(maps.Keys(all), compareOperations)
	v.names.Store(l)
	return l, nil
}

// of gives the operations of a service, of all for "".
func (l *listedNames) of(service string) []span.Operation {
	if service == "" {
		return l.operations
	}
	begin, _ := slices.BinarySearchFunc(l.operations, service, func(o span.Operation, service string) int { return cmp.Compare(o.Service, service) })
	end := begin
	for end < len(l.operations) && l.operations[end].Service == service {
		end++
	}
	return l.operations[begin:end]
}

func compareOperations(a, b span.Operation) int {
	return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind))
}

// Services gives the distinct service names of what is live, sorted. Where a segment has
// too many operations for a catalog, its resources say it: each of them has rows.
func (s *Shard) Services(ctx context.Context) ([]string, error) {
	v, err := s.view()
	if err != nil {
		return nil, err
	}
	defer v.close()
	listed, err := v.version.listed(ctx)
	if err != nil {
		return nil, err
	}
	if listed.kept && len(v.tables) == 0 {
		return slices.Clone(listed.services), nil
	}
	services := make(map[string]bool)
	for _, t := range v.tables {
		if names, complete := t.services(t.count); complete {
			addAll(services, names)
			continue
		}
		for i := range t.count {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			eachOperation(t.at(i).batch, func(service string, _ batchOperation, _ uint64) { services[service] = true })
		}
	}
	if listed.kept {
		addAll(services, listed.services)
		return slices.Sorted(maps.Keys(services)), nil
	}
	for _, l := range v.segments {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		catalog, err := l.Catalog()
		if err != nil {
			return nil, err
		}
		if catalog.Complete() {
			addAll(services, catalog.Services())
			continue
		}
		opened, err := l.Segment()
		if err != nil {
			return nil, err
		}
		b := opened.Resources()
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
	listed, err := v.version.listed(ctx)
	if err != nil {
		return nil, err
	}
	if listed.kept && len(v.tables) == 0 {
		return slices.Clone(listed.of(service)), nil
	}
	all := make(map[span.Operation]bool)
	for _, t := range v.tables {
		if operations, complete := t.operations(t.count, service); complete {
			addAll(all, operations)
			continue
		}
		for i := range t.count {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			addOperations(all, t.at(i).batch, service)
		}
	}
	if listed.kept {
		addAll(all, listed.of(service))
		return slices.SortedFunc(maps.Keys(all), compareOperations), nil
	}
	for _, l := range v.segments {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		catalog, err := l.Catalog()
		if err == nil && catalog.Complete() {
			addAll(all, catalog.Operations(service))
		} else if err == nil {
			err = addOperationsOf(ctx, all, l, service)
		}
		if err != nil {
			return nil, err
		}
	}
	return slices.SortedFunc(maps.Keys(all), compareOperations), nil
}

// addOperationsOf adds those of a segment's rows.
func addOperationsOf(ctx context.Context, all map[span.Operation]bool, l *liveSegment, service string) error {
	opened, err := l.Segment()
	if err != nil {
		return err
	}
	for group := range opened.Groups() {
		if err := ctx.Err(); err != nil {
			return err
		}
		batch, err := opened.ReadGroup(group, segment.Projection{Names: true, Identity: true})
		if err != nil {
			return err
		}
		addOperations(all, batch, service)
	}
	return nil
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
