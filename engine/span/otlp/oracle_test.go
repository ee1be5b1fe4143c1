package otlp_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
	"github.com/stoadb/stoa/internal/codec"
)

// truth is the multiset, per trace, of (resource, schema URL, scope, schema URL, span),
// each as one canonical encoding, sorted.
type truth map[string][]string

func (t truth) sort() truth {
	for _, spans := range t {
		slices.Sort(spans)
	}
	return t
}

// truthOf is what proto.Unmarshal makes of OTLP bytes, less what the promises drop.
func truthOf(t testing.TB, raw []byte) truth {
	t.Helper()
	var data tracev1.TracesData
	if err := proto.Unmarshal(raw, &data); err != nil {
		t.Fatalf("proto.Unmarshal: %v", err)
	}
	out := truth{}
	for _, rs := range data.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				id, ok := keptID(s.TraceId, s.SpanId)
				if !ok {
					continue
				}
				s.TraceId = []byte(id)
				one, err := proto.MarshalOptions{Deterministic: true}.Marshal(&tracev1.ResourceSpans{
					Resource: rs.Resource, SchemaUrl: rs.SchemaUrl,
					ScopeSpans: []*tracev1.ScopeSpans{{Scope: ss.Scope, SchemaUrl: ss.SchemaUrl, Spans: []*tracev1.Span{s}}},
				})
				if err != nil {
					t.Fatalf("proto.Marshal: %v", err)
				}
				out[id] = append(out[id], string(one))
			}
		}
	}
	return out.sort()
}

// keptID gives the trace id in 16 bytes, and whether a span with such ids is kept.
func keptID(traceID, spanID []byte) (string, bool) {
	if len(traceID) == 8 {
		traceID = append(make([]byte, 8), traceID...)
	}
	ok := len(traceID) == 16 && len(spanID) == 8 && !allZero(traceID) && !allZero(spanID)
	return string(traceID), ok
}

func allZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

// placeBy spreads traces over shards by their last byte.
func placeBy(shards int) func(span.TraceID) int {
	return func(id span.TraceID) int { return int(id[15]) % shards }
}

func rowsOf(b *span.Batch) []span.Row {
	rows := make([]span.Row, b.Len())
	for i := range rows {
		rows[i] = span.Row{Batch: b, Pos: i}
	}
	return rows
}

// requestsOf reads a file of the shared data, the first limit requests of it.
func requestsOf(t testing.TB, name string, limit int) [][]byte {
	t.Helper()
	file, err := os.Open(filepath.Join("..", "..", "..", "..", "shared", "data", name))
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("SKIP: %s is absent from ../shared/data of the repository root: nothing was proved over real traces", name)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	z, err := codec.NewZstdReader(file, codec.FileWindowBytesMax)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	all, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	var requests [][]byte
	for len(all) > 0 && len(requests) < limit {
		n, k := binary.Uvarint(all)
		requests = append(requests, all[k:k+int(n)])
		all = all[k+int(n):]
	}
	return requests
}

var dataFiles = []string{"hotrod.otlp.zst", "nezha-trainticket-2023-01-29.otlp.zst",
	"nezha-trainticket-2023-01-30-logs.otlp.zst", "zipkin-fixtures.otlp.zst", "jaeger-integration-fixtures.otlp.zst"}

func mustCut(t testing.TB, request []byte, shards int) ([]otlp.Part, otlp.Counts) {
	t.Helper()
	parts, counts, err := otlp.Cut(request, shards, placeBy(shards))
	if err != nil {
		t.Fatalf("Cut: %v", err)
	}
	return parts, counts
}
