package api_test

import (
	"context"
	"testing"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// BenchmarkExport is what gRPC and this package cost for a request, without a store.
func BenchmarkExport(b *testing.B) {
	server := start(b, &scripted{write: func(context.Context, []byte) (otlp.Counts, error) { return otlp.Counts{}, nil }}, api.Options{})
	request := requestOf(b, trace(id(1), "s", 4096))
	b.SetBytes(int64(len(request)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := server.Export(b.Context(), request); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGetTraces is what they cost for a chunk of an answer.
func BenchmarkGetTraces(b *testing.B) {
	chunk := requestOf(b, trace(id(1), "s", 4096))
	server := start(b, &scripted{get: func(_ context.Context, _ span.TraceID, yield func(span.Chunk) error) error {
		return yield(span.Chunk{Bytes: chunk})
	}}, api.Options{})
	b.SetBytes(int64(len(chunk)))
	b.ReportAllocs()
	for b.Loop() {
		if err := server.GetTraces(b.Context(), []span.TraceID{id(1)}, func([]byte) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
