package api_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/api/client"
	"github.com/stoadb/stoa/api/pb/apiv2"
	"github.com/stoadb/stoa/api/pb/storagev1"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
	"github.com/stoadb/stoa/internal/vfs"
)

// TestWriteSpanIsOKOnlyAfterTheWriteReturned holds a write back, and no answer comes, of
// a span alone nor of a stream.
func TestWriteSpanIsOKOnlyAfterTheWriteReturned(t *testing.T) {
	release, entered := make(chan struct{}), make(chan struct{})
	jaeger := startFirst(t, &scripted{write: func(context.Context, []byte) (otlp.Counts, error) {
		entered <- struct{}{}
		<-release
		return otlp.Counts{Spans: 1}, nil
	}}, api.Options{})
	request := &storagev1.WriteSpanRequest{Span: firstSpan(id(1), 1)}
	for name, write := range map[string]func() error{
		"alone": func() error {
			_, err := jaeger.writer.WriteSpan(context.Background(), request)
			return err
		},
		"stream": func() error {
			stream, err := jaeger.streams.WriteSpanStream(context.Background())
			if err == nil {
				err = stream.Send(request)
			}
			if err == nil {
				_, err = stream.CloseAndRecv()
			}
			return err
		},
	} {
		var durable atomic.Bool
		answered := make(chan error, 1)
		go func() {
			err := write()
			if !durable.Load() {
				err = errors.Join(err, errors.New("answered before the write returned"))
			}
			answered <- err
		}()
		<-entered
		if inFlight := jaeger.Stats().BytesInFlight; inFlight < int64(proto.Size(request)) {
			t.Errorf("%s: %d bytes in flight", name, inFlight)
		}
		durable.Store(true)
		release <- struct{}{}
		if err := <-answered; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if stats := jaeger.Stats(); stats.BytesInFlight != 0 || stats.SpansAccepted != 2 || stats.Exports != 2 {
		t.Errorf("%+v", stats)
	}
}

// badSpans are refused, and counted under these names.
func badSpans() map[string]*apiv2.Span {
	noTrace, noSpan, odd := firstSpan(id(1), 1), firstSpan(id(1), 1), firstSpan(id(1), 1)
	noTrace.TraceId = make([]byte, 16)
	noSpan.SpanId = nil
	odd.TraceId = []byte("odd")
	return map[string]*apiv2.Span{"trace_id": noTrace, "span_id": noSpan, "trace_id ": odd}
}

func TestSpansWithBadIDsAreCountedAndRefused(t *testing.T) {
	store := realStore(t, vfs.NewCrash(1))
	jaeger := startFirst(t, store, api.Options{})
	for name, bad := range badSpans() {
		before := jaeger.Stats()
		_, err := jaeger.writer.WriteSpan(t.Context(), &storagev1.WriteSpanRequest{Span: bad})
		if _, again := client.RetryAfter(err); status.Code(err) != codes.InvalidArgument || again {
			t.Errorf("%s: %v", name, err)
		}
		got := countedSince(before, jaeger.Stats())
		if got.invalid != 1 || got.stored != 0 || got.DroppedOrChanged[strings.TrimSpace(name)] != 1 {
			t.Errorf("%s: counted %+v", name, got)
		}
	}
	for name, c := range map[string]struct {
		message []byte
		code    codes.Code
	}{
		"no span":     {nil, codes.InvalidArgument},
		"no protobuf": {[]byte("not protobuf"), codes.InvalidArgument},
		"cut":         {[]byte{10, 5, 1}, codes.InvalidArgument},
		"over 4 MiB":  {make([]byte, 4<<20+1), codes.ResourceExhausted},
	} {
		if err := call(t, jaeger.storage, storagev1.SpanWriterPlugin_WriteSpan_FullMethodName, "", frame(false, c.message)); status.Code(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, body := range map[string][]byte{"nothing": nil, "two": slices.Concat(frame(false, nil), frame(false, nil)), "half": {0, 0}} {
		if err := call(t, jaeger.storage, storagev1.SpanWriterPlugin_WriteSpan_FullMethodName, "", body); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	if stats := jaeger.Stats(); stats.BytesInFlight != 0 || stats.Panics != 0 {
		t.Errorf("%+v", stats)
	}
}

// TestABadSpanOfAStreamDoesNotLoseTheOthers: the last answer tells of it.
func TestABadSpanOfAStreamDoesNotLoseTheOthers(t *testing.T) {
	jaeger := startFirst(t, realStore(t, vfs.NewCrash(2)), api.Options{})
	for _, compression := range [][]grpc.CallOption{nil, {grpc.UseCompressor("gzip")}, {grpc.UseCompressor("zstd")}} {
		stream, err := jaeger.streams.WriteSpanStream(t.Context(), compression...)
		if err != nil {
			t.Fatal(err)
		}
		spans := []*apiv2.Span{firstSpan(id(1), 1)}
		for _, bad := range badSpans() {
			spans = append(spans, bad)
		}
		for _, s := range append(spans, firstSpan(id(1), 2)) {
			if err := stream.Send(&storagev1.WriteSpanRequest{Span: s}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err = stream.CloseAndRecv(); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "3 spans of the stream") {
			t.Error(err)
		}
		if got, err := jaeger.get(t, id(1)); err != nil || len(got) != 2 {
			t.Errorf("%d spans, %v", len(got), err)
		}
	}
	if dropped := jaeger.Stats().SpansDropped; dropped["trace_id"] != 6 || dropped["span_id"] != 3 {
		t.Errorf("%v", dropped)
	}
	empty, err := jaeger.streams.WriteSpanStream(t.Context())
	if err == nil {
		_, err = empty.CloseAndRecv()
	}
	if err != nil {
		t.Errorf("a stream of nothing: %v", err)
	}
}

// TestAStreamMayRestBetweenSpans for longer than anything else may take, without holding
// a part of the budget, and is told when the server stops.
func TestAStreamMayRestBetweenSpans(t *testing.T) {
	jaeger := startFirst(t, realStore(t, vfs.NewCrash(3)), api.Options{
		PeerTimeMax: 100 * time.Millisecond, WorkTimeMax: 100 * time.Millisecond, BytesInFlightMax: 1,
	})
	stream, err := jaeger.streams.WriteSpanStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 2; n++ {
		if err := stream.Send(&storagev1.WriteSpanRequest{Span: firstSpan(id(1), n)}); err != nil {
			t.Fatal(err)
		}
		for spans := 0; spans < n; time.Sleep(time.Millisecond) {
			got, err := jaeger.get(t, id(1))
			if spans = len(got); err != nil && status.Code(err) != codes.NotFound {
				t.Fatal(err)
			}
		}
		time.Sleep(250 * time.Millisecond)
		if inFlight := jaeger.Stats().BytesInFlight; inFlight != 0 {
			t.Errorf("%d bytes in flight", inFlight)
		}
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	jaeger.Stop(ctx)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("the stop took %v", took)
	}
	err = stream.RecvMsg(&storagev1.WriteSpanResponse{})
	if _, again := client.RetryAfter(err); status.Code(err) != codes.Unavailable || !again {
		t.Errorf("the stream is told %v", err)
	}
}

// TestAWriterOfVersion1ThatStopsIsCut in the middle of a span.
func TestAWriterOfVersion1ThatStopsIsCut(t *testing.T) {
	server := start(t, &scripted{}, api.Options{PeerTimeMax: 100 * time.Millisecond})
	for _, method := range []string{storagev1.SpanWriterPlugin_WriteSpan_FullMethodName, storagev1.StreamingSpanWriterPlugin_WriteSpanStream_FullMethodName} {
		if err := callSlowly(t, server.storage, method, "\x00\x00\x00\x00\x09half"); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("%s: %v", method, err)
		}
	}
	if stats := server.Stats(); stats.BytesInFlight != 0 || stats.PeersCut != 2 {
		t.Errorf("%+v", stats)
	}
}

// TestOverloadOfVersion1IsUnavailable: what a span takes decoded counts too.
func TestOverloadOfVersion1IsUnavailable(t *testing.T) {
	release, entered := make(chan struct{}), make(chan struct{}, 1)
	jaeger := startFirst(t, &scripted{write: func(context.Context, []byte) (otlp.Counts, error) {
		entered <- struct{}{}
		<-release
		return otlp.Counts{}, nil
	}}, api.Options{BytesInFlightMax: 1 << 20})
	many := firstSpan(id(1), 1)
	many.Tags = slices.Repeat([]*apiv2.KeyValue{{}}, 5_000) // 10 kB on the wire
	results := make(chan error, 1)
	go func() {
		_, err := jaeger.writer.WriteSpan(context.Background(), &storagev1.WriteSpanRequest{Span: many})
		results <- err
	}()
	<-entered
	_, alone := jaeger.writer.WriteSpan(t.Context(), &storagev1.WriteSpanRequest{Span: many})
	stream, err := jaeger.streams.WriteSpanStream(t.Context())
	if err == nil {
		err = stream.Send(&storagev1.WriteSpanRequest{Span: many})
	}
	if err == nil {
		err = stream.RecvMsg(&storagev1.WriteSpanResponse{})
	}
	for name, err := range map[string]error{"alone": alone, "stream": err} {
		if _, again := client.RetryAfter(err); status.Code(err) != codes.Unavailable || !again {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := jaeger.Stats().ExportsOverload; got != 2 {
		t.Errorf("%d refused", got)
	}
	close(release)
	if err := <-results; err != nil {
		t.Error(err)
	}
}

// TestStoreErrorsOfVersion1 are those of Export.
func TestStoreErrorsOfVersion1(t *testing.T) {
	for err, code := range map[error]codes.Code{
		span.ErrUnavailable: codes.Unavailable, errors.New("surprise"): codes.Unavailable, span.ErrTooMuch: codes.ResourceExhausted,
	} {
		jaeger := startFirst(t, &scripted{write: func(context.Context, []byte) (otlp.Counts, error) { return otlp.Counts{}, err }}, api.Options{})
		if _, got := jaeger.writer.WriteSpan(t.Context(), &storagev1.WriteSpanRequest{Span: firstSpan(id(1), 1)}); status.Code(got) != code {
			t.Errorf("%v alone: %v", err, got)
		}
		stream, got := jaeger.streams.WriteSpanStream(t.Context())
		if got == nil {
			got = stream.Send(&storagev1.WriteSpanRequest{Span: firstSpan(id(1), 1)})
		}
		if got == nil || errors.Is(got, io.EOF) {
			got = stream.RecvMsg(&storagev1.WriteSpanResponse{})
		}
		if status.Code(got) != code {
			t.Errorf("%v in a stream: %v", err, got)
		}
	}
}
