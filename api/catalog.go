package api

import (
	"cmp"
	"context"
	"slices"

	"github.com/stoadb/stoa/api/pb/storagev2"
	"github.com/stoadb/stoa/api/wire"
)

// GetServices lists the services that retention still holds, "" among them where a
// resource has no name.
func (r traceReader) GetServices(ctx context.Context, _ *storagev2.GetServicesRequest) (*storagev2.GetServicesResponse, error) {
	names, err := r.server.services(ctx)
	if err != nil {
		return nil, err
	}
	answer := &storagev2.GetServicesResponse{Services: names}
	return answer, checkAnswer(answer, "services")
}

// GetOperations lists the distinct (name, kind) of a service, of all for "". An empty
// kind asks for every kind, a kind unknown to OTLP for none.
func (r traceReader) GetOperations(ctx context.Context, request *storagev2.GetOperationsRequest) (*storagev2.GetOperationsResponse, error) {
	operations, err := r.server.operations(ctx, request.GetService(), request.GetSpanKind())
	if err != nil {
		return nil, err
	}
	answer := &storagev2.GetOperationsResponse{Operations: make([]*storagev2.Operation, len(operations))}
	for i, o := range operations {
		answer.Operations[i] = &storagev2.Operation{Name: o.name, SpanKind: o.kind}
	}
	return answer, checkAnswer(answer, "operations")
}

// services gives the names of services as they are answered.
func (s *Server) services(ctx context.Context) ([]string, error) {
	services, err := s.store.Services(ctx)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(services))
	for i, service := range services {
		names[i] = wire.Text(service)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// operation is a span's name and kind as they are answered.
type operation struct{ name, kind string }

func (s *Server) operations(ctx context.Context, service, kind string) ([]operation, error) {
	stored, err := s.store.Operations(ctx, service)
	if err != nil {
		return nil, err
	}
	answered := make([]operation, 0, len(stored))
	wantedKind, isKnown := wire.KindNumber(kind)
	for _, o := range stored {
		if kind == "" || isKnown && o.Kind == wantedKind {
			answered = append(answered, operation{wire.Text(o.Name), wire.KindName(o.Kind)})
		}
	}
	slices.SortFunc(answered, func(a, b operation) int { return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.kind, b.kind)) })
	return slices.Compact(answered), nil
}
