package api

import (
	"fmt"

	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/stoadb/stoa/api/pb/storagev2"
	"github.com/stoadb/stoa/api/wire"
	"github.com/stoadb/stoa/engine/span"
)

// traceReader is jaeger.storage.v2.TraceReader.
type traceReader struct {
	storagev2.UnimplementedTraceReaderServer
	server *Server
}

// tracesStream is what the stubs call a stream of traces.
type tracesStream = grpc.ServerStreamingServer[tracev1.TracesData]

// GetTraces sends the traces of the ids in the order asked, each id once; an unknown
// one is passed over. The times beside an id are hints that we do not need.
func (r traceReader) GetTraces(request *storagev2.GetTracesRequest, stream tracesStream) error {
	if len(request.GetQuery()) > tracesMax {
		return fmt.Errorf("%w: %d traces asked for, at most %d", span.ErrTooMuch, len(request.GetQuery()), tracesMax)
	}
	ids := make([]span.TraceID, 0, len(request.GetQuery()))
	seen := make(map[span.TraceID]bool, len(request.GetQuery()))
	for _, one := range request.GetQuery() {
		id, err := traceIDOf(one.GetTraceId())
		if err != nil {
			return err
		}
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return r.send(ids, storagev2.TraceReader_GetTraces_FullMethodName, stream)
}

// FindTraces sends the traces that a search finds, newest first.
func (r traceReader) FindTraces(request *storagev2.FindTracesRequest, stream tracesStream) error {
	if request.GetQuery().GetPagination() != nil {
		return status.Error(codes.InvalidArgument, "FindTraces has no pages: its answer has no field for a token")
	}
	found, err := r.find(stream.Context(), request.GetQuery())
	if err != nil {
		return err
	}
	ids := make([]span.TraceID, len(found))
	for i, one := range found {
		ids[i] = one.TraceID
	}
	return r.send(ids, storagev2.TraceReader_FindTraces_FullMethodName, stream)
}

// send sends whole traces one after another: the chunks of one are consecutive, since
// Jaeger takes a trace that comes back for another one. A chunk is a TracesData message
// already: it goes out as the bytes it is.
func (r traceReader) send(ids []span.TraceID, method string, stream tracesStream) error {
	ahead := r.server.newReadAhead(stream.Context(), method, ids)
	defer ahead.close()
	for range ids {
		err := ahead.next(func(message *wire.Message) error {
			if err := stream.SendMsg(message); err != nil {
				return err // the message is left to the collector: a send cut off may still read it
			}
			message.Free()
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// traceIDOf reads an id of 16 bytes, or of 8, which is padded on the left.
func traceIDOf(b []byte) (span.TraceID, error) {
	var id span.TraceID
	if len(b) != 16 && len(b) != 8 {
		return id, fmt.Errorf("%w: trace id of %d bytes, want 16 or 8", span.ErrInvalid, len(b))
	}
	copy(id[16-len(b):], b)
	return id, nil
}
