package api

import (
	"context"
	"slices"

	"github.com/stoadb/stoa/api/pb/storagev2"
)

// capabilities is jaeger.storage.v2.Capabilities. It says exactly what the conformance
// tests hold us to; queryOf, filterOf and spanQueryOf refuse the rest.
type capabilities struct {
	storagev2.UnimplementedCapabilitiesServer
}

// GetCapabilities answers the same for the life of the process.
func (capabilities) GetCapabilities(context.Context, *storagev2.GetCapabilitiesRequest) (*storagev2.GetCapabilitiesResponse, error) {
	return &storagev2.GetCapabilitiesResponse{Search: &storagev2.SearchCapabilities{
		WithoutServiceName:  true,
		SameSpanConjunction: true,
		Paginated:           true,
		SpanSearch:          true,
		SpanSorting:         true,
		Filter:              &storagev2.FilterCapabilities{Levels: filterLevels(), Operators: slices.Clone(filterOperators)},
	}}, nil
}
