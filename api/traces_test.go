package api_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/api/pb/storagev2"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

func stringAttribute(key, value string) *commonv1.KeyValue {
	return &commonv1.KeyValue{Key: key, Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: value}}}
}

// trace makes one service's spans of one trace: a root and its children, one nanosecond
// after the other.
func trace(id span.TraceID, service string, spans int) *tracev1.ResourceSpans {
	list := make([]*tracev1.Span, spans)
	for i := range list {
		list[i] = &tracev1.Span{
			TraceId: id[:], SpanId: binary.BigEndian.AppendUint64(nil, uint64(i+1)), Name: fmt.Sprintf("step %d", i%7),
			StartTimeUnixNano: 1_700_000_000_000_000_000 + uint64(i), EndTimeUnixNano: 1_700_000_000_000_005_000 + uint64(i),
			Kind: tracev1.Span_SPAN_KIND_SERVER, Attributes: []*commonv1.KeyValue{stringAttribute("note", strings.Repeat("x", 200))},
		}
		if i > 0 {
			list[i].ParentSpanId = list[0].GetSpanId()
		}
	}
	return &tracev1.ResourceSpans{
		Resource:   &resourcev1.Resource{Attributes: []*commonv1.KeyValue{stringAttribute("service.name", service)}},
		ScopeSpans: []*tracev1.ScopeSpans{{Spans: list}},
	}
}

func requestOf(t testing.TB, resources ...*tracev1.ResourceSpans) []byte {
	t.Helper()
	request, err := proto.Marshal(&tracev1.TracesData{ResourceSpans: resources})
	if err != nil {
		t.Fatal(err)
	}
	return request
}

func export(t testing.TB, server *running, resources ...*tracev1.ResourceSpans) {
	t.Helper()
	if rejected, err := server.Export(t.Context(), requestOf(t, resources...)); err != nil || rejected.Spans != 0 {
		t.Fatalf("export: %+v, %v", rejected, err)
	}
}

// received is a stream of traces as a plain client sees it, with the rules that hold of
// every stream checked.
type received struct {
	order  []span.TraceID // in order of arrival
	chunks map[span.TraceID]int
	spans  map[span.TraceID][]*tracev1.Span
}

func receive(t *testing.T, stream interface {
	Recv() (*tracev1.TracesData, error)
}) (received, error) {
	t.Helper()
	r := received{chunks: map[span.TraceID]int{}, spans: map[span.TraceID][]*tracev1.Span{}}
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return r, nil
		}
		if err != nil {
			return r, err
		}
		if size := proto.Size(chunk); size >= 3_670_016 {
			t.Errorf("a chunk of %d bytes", size)
		}
		ids := map[span.TraceID]bool{}
		for _, resource := range chunk.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				for _, one := range scope.GetSpans() {
					id := span.TraceID(one.GetTraceId())
					ids[id] = true
					r.spans[id] = append(r.spans[id], one)
				}
			}
		}
		if len(ids) != 1 {
			t.Fatalf("a chunk holds spans of %d traces", len(ids))
		}
		for id := range ids {
			if len(r.order) == 0 || r.order[len(r.order)-1] != id {
				if r.chunks[id] > 0 {
					t.Errorf("trace %v comes back", id)
				}
				r.order = append(r.order, id)
			}
			r.chunks[id]++
		}
	}
}

func getTraces(t *testing.T, server *running, ids ...[]byte) (received, error) {
	t.Helper()
	request := &storagev2.GetTracesRequest{}
	for _, id := range ids {
		request.Query = append(request.Query, &storagev2.GetTraceParams{TraceId: id})
	}
	stream, err := storagev2.NewTraceReaderClient(server.connection).GetTraces(t.Context(), request)
	if err != nil {
		return received{}, err
	}
	return receive(t, stream)
}

// TestChunksHoldOneTraceAreConsecutiveAndSmall sends a trace of 20,000 spans among small
// ones, and reads with a client that receives at most 4 MiB a message.
func TestChunksHoldOneTraceAreConsecutiveAndSmall(t *testing.T) {
	server := start(t, memory(), api.Options{})
	const spans = 20_000
	export(t, server, trace(id(1), "small", 3), trace(id(2), "large", spans))
	export(t, server, trace(id(3), "small", 2), trace(id(1), "other", 4))
	one, two, three, unknown := id(1), id(2), id(3), id(99)

	got, err := getTraces(t, server, two[:], unknown[:], one[:], three[:], two[:])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]span.TraceID{two, one, three}, got.order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if len(got.spans[one]) != 7 || len(got.spans[two]) != spans || len(got.spans[three]) != 2 || got.chunks[two] < 2 {
		t.Errorf("%d, %d (in %d chunks), %d spans", len(got.spans[one]), len(got.spans[two]), got.chunks[two], len(got.spans[three]))
	}
	// Made in the order of their starts, which is the order of a trace.
	want := trace(two, "large", spans).GetScopeSpans()[0].GetSpans()
	for i, span := range got.spans[two] {
		if !proto.Equal(want[i], span) {
			t.Fatalf("span %d (-want +got):\n%s", i, cmp.Diff(want[i], span, protocmp.Transform()))
		}
	}

	stream, err := storagev2.NewTraceReaderClient(server.connection).FindTraces(t.Context(), &storagev2.FindTracesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	found, err := receive(t, stream)
	if err != nil {
		t.Fatal(err)
	}
	// Newest first by the latest start, which the large trace has; then spans 4 of "other".
	if diff := cmp.Diff([]span.TraceID{two, one, three}, found.order); diff != "" {
		t.Errorf("FindTraces order (-want +got):\n%s", diff)
	}
	if len(found.spans[two]) != spans || len(found.spans[one]) != 7 {
		t.Errorf("FindTraces: %d and %d spans", len(found.spans[two]), len(found.spans[one]))
	}
}

func TestUnknownTraceIsAnEmptyStream(t *testing.T) {
	server := start(t, memory(), api.Options{})
	unknown := id(5)
	got, err := getTraces(t, server, unknown[:])
	if err != nil || len(got.order) != 0 {
		t.Errorf("unknown id: %v, %v", got.order, err)
	}
	if got, err = getTraces(t, server); err != nil || len(got.order) != 0 {
		t.Errorf("no id: %v, %v", got.order, err)
	}
}

func TestTraceIDsOf64BitsArePadded(t *testing.T) {
	server := start(t, memory(), api.Options{})
	short := span.TraceID{15: 7, 8: 1}
	resource := trace(short, "zipkin", 2)
	for _, one := range resource.GetScopeSpans()[0].GetSpans() {
		one.TraceId = one.GetTraceId()[8:]
	}
	export(t, server, resource)
	for _, asked := range [][]byte{short[:], short[8:]} {
		if got, err := getTraces(t, server, asked); err != nil || len(got.spans[short]) != 2 {
			t.Errorf("%x: %v, %v", asked, got.order, err)
		}
	}
	for _, wrong := range [][]byte{{}, {1}, make([]byte, 15), make([]byte, 17), make([]byte, 32)} {
		if _, err := getTraces(t, server, wrong); status.Code(err) != codes.InvalidArgument {
			t.Errorf("id of %d bytes: %v", len(wrong), err)
		}
	}
	if _, err := getTraces(t, server, make([][]byte, 20_001)...); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("20,001 ids: %v", err)
	}
}

// TestChunksPassAsTheyAre: an answer is the store's bytes, not decoded and encoded
// again; here they are not even protobuf.
func TestChunksPassAsTheyAre(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	want := make([][]byte, 20)
	for i := range want {
		want[i] = make([]byte, 1+random.IntN(3_000_000))
		for at := range want[i] {
			want[i][at] = byte(random.Uint32())
		}
	}
	var owned []*[]byte // by the API, which puts them back
	server := start(t, &scripted{get: func(_ context.Context, _ span.TraceID, yield func(span.Chunk) error) error {
		reused := make([]byte, 0, 3_000_000)
		for i, chunk := range want {
			switch i % 3 {
			case 0: // lent for ever
				if err := yield(span.Chunk{Bytes: chunk, Stays: true}); err != nil {
					return err
				}
				continue
			case 1: // in a buffer that the API owns now, and gives to others once it is sent
				buffer := codec.Buffers.Get(len(chunk))
				copy(*buffer, chunk)
				owned = append(owned, buffer)
				if err := yield(span.Chunk{Bytes: *buffer, Buffer: buffer}); err != nil {
					return err
				}
				continue
			}
			if err := yield(span.Chunk{Bytes: append(reused[:0], chunk...)}); err != nil {
				return err
			}
			clear(reused[:cap(reused)]) // a chunk belongs to the API only until yield returns
		}
		return nil
	}}, api.Options{})
	sent := make([][]byte, len(want))
	for i := range want {
		sent[i] = bytes.Clone(want[i])
	}
	at := 0
	err := server.GetTraces(t.Context(), []span.TraceID{id(1)}, func(chunk []byte) error {
		if string(chunk) != string(sent[at]) || string(want[at]) != string(sent[at]) {
			t.Errorf("chunk %d differs", at)
		}
		at++
		return nil
	})
	if err != nil || at != len(want) {
		t.Errorf("%d chunks, %v", at, err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if slices.ContainsFunc(owned, func(b *[]byte) bool { return codec.Buffers.Get(cap(*b)) == b }) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("no buffer of an answer comes back")
		}
	}
}
