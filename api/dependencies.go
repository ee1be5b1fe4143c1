package api

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/stoadb/stoa/api/pb/storagev2"
	"github.com/stoadb/stoa/api/wire"
	"github.com/stoadb/stoa/engine/span"
)

// dependencyReader is jaeger.storage.v2.DependencyReader.
type dependencyReader struct {
	storagev2.UnimplementedDependencyReaderServer
	server *Server
}

// dependencySource says where edges come from; Jaeger's stores write the same word.
const dependencySource = "jaeger"

// GetDependencies gives the calls between services whose callee starts in the range,
// both ends included. Calls within a service are left out unless Options.SelfCalls.
func (r dependencyReader) GetDependencies(ctx context.Context, request *storagev2.GetDependenciesRequest) (*storagev2.GetDependenciesResponse, error) {
	edges, err := r.server.edges(ctx, request.GetStartTime(), request.GetEndTime())
	if err != nil {
		return nil, err
	}
	answer := &storagev2.GetDependenciesResponse{Dependencies: make([]*storagev2.Dependency, len(edges))}
	for i, edge := range edges {
		answer.Dependencies[i] = &storagev2.Dependency{Parent: edge.Parent, Child: edge.Child, CallCount: edge.Calls, Source: dependencySource}
	}
	return answer, checkAnswer(answer, "dependencies")
}

// edges gives the calls of a range as they are answered, with valid names.
func (s *Server) edges(ctx context.Context, start, end *timestamppb.Timestamp) ([]span.Edge, error) {
	from, until, err := rangeOf("start_time", start, "end_time", end)
	if err != nil || from > until {
		return nil, err
	}
	edges, err := s.store.Edges(ctx, from, until)
	if err != nil {
		return nil, err
	}
	// Two names may become one when they are made valid UTF-8: their calls add up.
	type ends struct{ parent, child string }
	places := make(map[ends]int, len(edges))
	answered := make([]span.Edge, 0, len(edges))
	for _, edge := range edges {
		if isSelfCall(edge) && !s.options.SelfCalls {
			continue
		}
		names := ends{wire.Text(edge.Parent), wire.Text(edge.Child)}
		place, isKnown := places[names]
		if !isKnown {
			place = len(answered)
			places[names] = place
			answered = append(answered, span.Edge{Parent: names.parent, Child: names.child})
		}
		answered[place].Calls += edge.Calls
	}
	return answered, nil
}

func isSelfCall(edge span.Edge) bool { return edge.Parent == edge.Child }
