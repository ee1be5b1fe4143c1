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
	services, err := r.server.store.Services(ctx)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(services))
	for i, service := range services {
		names[i] = wire.Text(service)
	}
	slices.Sort(names)
	answer := &storagev2.GetServicesResponse{Services: slices.Compact(names)}
	return answer, checkAnswer(answer, "services")
}

// GetOperations lists the distinct (name, kind) of a service, of all for "". An empty
// kind asks for every kind, a kind unknown to OTLP for none.
func (r traceReader) GetOperations(ctx context.Context, request *storagev2.GetOperationsRequest) (*storagev2.GetOperationsResponse, error) {
	operations, err := r.server.store.Operations(ctx, request.GetService())
	if err != nil {
		return nil, err
	}
	type pair struct{ name, kind string }
	pairs := make([]pair, 0, len(operations))
	wantedKind, isKnown := wire.KindNumber(request.GetSpanKind())
	for _, operation := range operations {
		if request.GetSpanKind() == "" || isKnown && operation.Kind == wantedKind {
			pairs = append(pairs, pair{wire.Text(operation.Name), wire.KindName(operation.Kind)})
		}
	}
	slices.SortFunc(pairs, func(a, b pair) int { return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.kind, b.kind)) })
	pairs = slices.Compact(pairs)
	answer := &storagev2.GetOperationsResponse{Operations: make([]*storagev2.Operation, len(pairs))}
	for i, p := range pairs {
		answer.Operations[i] = &storagev2.Operation{Name: p.name, SpanKind: p.kind}
	}
	return answer, checkAnswer(answer, "operations")
}
