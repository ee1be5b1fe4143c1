package jaegerv1_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/api/pb/apiv2"
	"github.com/stoadb/stoa/api/pb/storagev1"
	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/internal/vfs"
	"github.com/stoadb/stoa/wal"
)

// serve serves a new store on a real socket and gives a connection to it.
func serve(t *testing.T) (*cluster.Store, *grpc.ClientConn) {
	t.Helper()
	store, err := cluster.Open(context.Background(), cluster.Options{FS: vfs.NewCrash(1), Shards: 3, ReserveBytes: -1, Log: wal.Options{FileBytes: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := api.NewServer(store, store, api.Options{})
	served := make(chan error, 1)
	go func() { served <- server.Serve(api.Listeners{Storage: listener}) }()
	connection, err := grpc.NewClient("passthrough:///"+listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		connection.Close()
		server.Stop(context.Background())
		if err := <-served; err != nil {
			t.Error(err)
		}
		if err := store.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return store, connection
}

// moved gives the span in a trace of its own.
func moved(s *apiv2.Span, trace uint64) *apiv2.Span {
	id := binary.BigEndian.AppendUint64(nil, trace)
	if len(s.GetTraceId()) == 16 {
		id = append([]byte{0, 0, 0, 0, 0, 0, 0, 5}, id...)
	}
	for _, ref := range s.GetReferences() {
		if bytes.Equal(ref.GetTraceId(), s.GetTraceId()) {
			ref.TraceId = id
		}
	}
	s.TraceId = id
	return s
}

// TestSpansOfVersion1ComeBackExactlyOverGRPC through a real store, out of memory and out
// of segments.
func TestSpansOfVersion1ComeBackExactlyOverGRPC(t *testing.T) {
	store, connection := serve(t)
	writer, reader := storagev1.NewSpanWriterPluginClient(connection), storagev1.NewSpanReaderPluginClient(connection)
	trace := uint64(0)
	rapid.Check(t, func(r *rapid.T) {
		trace++
		s := moved(anySpan(r), trace)
		if _, err := writer.WriteSpan(t.Context(), &storagev1.WriteSpanRequest{Span: s}); err != nil {
			r.Fatal(err)
		}
		if trace%7 == 0 {
			if err := store.Flush(t.Context()); err != nil {
				r.Fatal(err)
			}
		}
		want := normal(r, s)
		stream, err := reader.GetTrace(t.Context(), &storagev1.GetTraceRequest{TraceId: want.GetTraceId()})
		if err != nil {
			r.Fatal(err)
		}
		chunk, err := stream.Recv()
		if err != nil || len(chunk.GetSpans()) != 1 {
			r.Fatal(chunk, err)
		}
		wantSame(r, want, chunk.GetSpans()[0])
	})
}

// TestRealTracesAreTheAdaptersOverGRPC: written as OTLP, read as version 1, from a real
// store. The store orders a trace's spans by time, so that they are compared as sets.
func TestRealTracesAreTheAdaptersOverGRPC(t *testing.T) {
	store, connection := serve(t)
	want := map[string]map[string]int{}
	for _, request := range requestsOf(t, "zipkin-fixtures.otlp.zst") {
		if _, err := store.Write(t.Context(), request); err != nil {
			t.Fatal(err)
		}
		for _, s := range spansOf(t, request) {
			trace := string(s.GetTraceId())
			if want[trace] == nil {
				want[trace] = map[string]int{}
			}
			want[trace][content(t, s)] = 1 // a span that is there twice is one
		}
	}
	stream, err := storagev1.NewSpanReaderPluginClient(connection).FindTraces(t.Context(), &storagev1.FindTracesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for {
		chunk, err := stream.Recv()
		if err != nil {
			break
		}
		for _, s := range chunk.GetSpans() {
			spans := want[string(s.GetTraceId())]
			if spans[content(t, s)]--; spans[content(t, s)] == 0 {
				delete(spans, content(t, s))
			} else {
				t.Errorf("not the adapter's: %v", s)
			}
		}
	}
	for trace, spans := range want {
		if len(spans) > 0 {
			t.Errorf("%x lacks %d spans", trace, len(spans))
		}
	}
}

func content(t *testing.T, s *apiv2.Span) string {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
