package api

import (
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"

	"github.com/stoadb/stoa/api/jaegerv1"
	"github.com/stoadb/stoa/api/pb/storagev1"
	"github.com/stoadb/stoa/api/wire"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
	"github.com/stoadb/stoa/internal/invariant"
)

// version1Writer describes SpanWriterPlugin by hand: a request is received as bytes, so
// that it is counted before it is decoded.
func (s *Server) version1Writer() *grpc.ServiceDesc {
	desc := storagev1.SpanWriterPlugin_ServiceDesc
	return &grpc.ServiceDesc{
		ServiceName: desc.ServiceName,
		Metadata:    desc.Metadata,
		Streams: []grpc.StreamDesc{
			{StreamName: "WriteSpan", ServerStreams: true, Handler: onCall(s.writeSpan)},
			{StreamName: "Close", ServerStreams: true, Handler: onCall(closeWriter)},
		},
	}
}

// version1StreamWriter describes StreamingSpanWriterPlugin; see version1Writer.
func (s *Server) version1StreamWriter() *grpc.ServiceDesc {
	desc := storagev1.StreamingSpanWriterPlugin_ServiceDesc
	return &grpc.ServiceDesc{
		ServiceName: desc.ServiceName,
		Metadata:    desc.Metadata,
		Streams: []grpc.StreamDesc{
			{StreamName: "WriteSpanStream", ServerStreams: true, ClientStreams: true, Handler: onCall(s.writeSpanStream)},
		},
	}
}

// onCall gives serve the call that serveCall made of the stream.
func onCall(serve func(c *call) error) grpc.StreamHandler {
	return func(_ any, stream grpc.ServerStream) error {
		c, isCall := stream.(*call)
		invariant.Check(isCall, "a writer is served around serveCall")
		return serve(c)
	}
}

// writeSpan serves one span. The answer is OK only when it is durable.
func (s *Server) writeSpan(c *call) error {
	r := newReceiver(c.ServerStream.Context(), spanBytesMax, nil)
	if err := s.takeSpan(c, r, func() error { return c.bounded("send its request", r.readHeader) }); err != nil {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: no request", span.ErrInvalid)
		}
		return err
	}
	if err := c.bounded("send its request", r.readHeader); !errors.Is(err, io.EOF) {
		return receiveError(err, "more than one request")
	}
	return c.SendMsg(&storagev1.WriteSpanResponse{})
}

// writeSpanStream serves spans one after another, each durable before the next is
// received; the answer comes when the writer has closed its side. Jaeger keeps such
// streams for as long as it runs: between two spans there is no limit of time.
//
// A span that can never be stored does not end the stream, or others behind it would be
// lost with it; the last answer tells of the first such span.
func (s *Server) writeSpanStream(c *call) error {
	r := newReceiver(c.ServerStream.Context(), spanBytesMax, nil)
	refused, first := 0, error(nil)
	for {
		err := s.takeSpan(c, r, func() error { return c.await(r.readHeader) })
		switch {
		case err == nil:
		case errors.Is(err, io.EOF) && refused == 0:
			return c.SendMsg(&storagev1.WriteSpanResponse{})
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%d spans of the stream are not stored; the first: %w", refused, first)
		case errors.Is(err, span.ErrInvalid):
			if refused++; refused == 1 {
				first = err
			}
		default:
			return err
		}
	}
}

// closeWriter has nothing to do: what was acknowledged is durable.
func closeWriter(c *call) error {
	if err := c.RecvMsg(&storagev1.CloseWriterRequest{}); err != nil {
		return err
	}
	return c.SendMsg(&storagev1.CloseWriterResponse{})
}

// takeSpan receives and stores the next span:
//  1. wait for its header, as wait says; io.EOF when there is none
//  2. receive its bytes, counted as they arrive and inflate
//  3. count what it takes decoded, and decode it
//  4. write; nil means durable
func (s *Server) takeSpan(c *call, r *receiver, wait func() error) error {
	if err := wait(); err != nil {
		return err
	}
	if !s.writes.take(spanStepBytes) {
		return s.overloaded()
	}
	held := &holding{budget: &s.writes, bytes: spanStepBytes, step: spanStepBytes}
	defer held.release()
	message := &wire.Message{}
	r.held = held
	err := c.bounded("send a span", func() error { return r.receiveBody(message) })
	if err != nil {
		if !errors.Is(err, errNoRoom) {
			s.stats.countNotReceived(err)
			s.complain("span not received", "error", err)
			return err
		}
		return s.overloaded()
	}
	defer message.Free()
	counts, err := s.storeSpan(c, message.Bytes(), held)
	if errors.Is(err, errNoRoom) {
		return s.overloaded()
	}
	s.stats.countExport(int64(len(message.Bytes())), counts, err)
	if err != nil {
		s.stats.countDropped(counts)
		s.complain("span refused", "bytes", len(message.Bytes()), "error", err)
	}
	return err
}

// storeSpan decodes one request and writes its span. With an error, counts has what the
// span was refused for.
func (s *Server) storeSpan(c *call, message []byte, held *holding) (otlp.Counts, error) {
	decodedBytes, err := jaegerv1.Measure(message)
	if err != nil {
		return otlp.Counts{}, err
	}
	if !held.grow(int64(len(message) + decodedBytes)) {
		return otlp.Counts{}, errNoRoom
	}
	one, repaired, err := jaegerv1.Decode(message)
	if err != nil {
		return otlp.Counts{}, err
	}
	request, counts, err := jaegerv1.Request(one)
	if err != nil {
		return counts, err
	}
	counts, err = s.store.Write(c.Context(), request)
	counts.Add(repaired)
	return counts, err
}
