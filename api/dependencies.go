package api

import (
	"context"

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
	from, until, err := rangeOf("start_time", request.GetStartTime(), "end_time", request.GetEndTime())
	if err != nil {
		return nil, err
	}
	answer := &storagev2.GetDependenciesResponse{}
	if from > until {
		return answer, nil
	}
	edges, err := r.server.store.Edges(ctx, from, until)
	if err != nil {
		return nil, err
	}
	// Two names may become one when they are made valid UTF-8: their calls add up.
	type ends struct{ parent, child string }
	byEnds := make(map[ends]*storagev2.Dependency, len(edges))
	for _, edge := range edges {
		if isSelfCall(edge) && !r.server.options.SelfCalls {
			continue
		}
		names := ends{wire.Text(edge.Parent), wire.Text(edge.Child)}
		dependency := byEnds[names]
		if dependency == nil {
			dependency = &storagev2.Dependency{Parent: names.parent, Child: names.child, Source: dependencySource}
			byEnds[names] = dependency
			answer.Dependencies = append(answer.Dependencies, dependency)
		}
		dependency.CallCount += edge.Calls
	}
	return answer, checkAnswer(answer, "dependencies")
}

func isSelfCall(edge span.Edge) bool { return edge.Parent == edge.Child }
