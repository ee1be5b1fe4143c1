package api

import (
	"context"
	"encoding/json"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/stoadb/stoa/api/wire"
	"github.com/stoadb/stoa/engine/span"
)

// explaining readies a query to be explained where the request's header asks for it; told,
// called when the store has answered, puts the explanation into the call's trailer.
func (s *Server) explaining(ctx context.Context, q *span.Query) (told func()) {
	incoming, _ := metadata.FromIncomingContext(ctx)
	if asked := incoming.Get(wire.ExplainHeader); len(asked) == 0 || asked[0] != "1" {
		return func() {}
	}
	q.Explain = new(span.Explain)
	begin := s.options.Now()
	return func() {
		explained := q.Explain.Explained()
		explained.Milliseconds = float64(s.options.Now().Sub(begin).Round(time.Microsecond)) / float64(time.Millisecond)
		document, err := json.Marshal(explained)
		if err == nil {
			err = grpc.SetTrailer(ctx, metadata.Pairs(wire.ExplainHeader, string(document)))
		}
		if err != nil { // the answer itself is whole
			s.options.Log.Warn("a search is not explained", "error", err)
		}
	}
}
