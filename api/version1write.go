package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

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
func version1Writer() *grpc.ServiceDesc {
	desc := storagev1.SpanWriterPlugin_ServiceDesc
	return &grpc.ServiceDesc{
		ServiceName: desc.ServiceName,
		Metadata:    desc.Metadata,
		Streams: []grpc.StreamDesc{
			{StreamName: "WriteSpan", ServerStreams: true, Handler: onCall((*Server).writeSpan)},
			{StreamName: "Close", ServerStreams: true, Handler: onCall(closeWriter)},
		},
	}
}

// version1StreamWriter describes StreamingSpanWriterPlugin; see version1Writer.
func version1StreamWriter() *grpc.ServiceDesc {
	desc := storagev1.StreamingSpanWriterPlugin_ServiceDesc
	return &grpc.ServiceDesc{
		ServiceName: desc.ServiceName,
		Metadata:    desc.Metadata,
		Streams: []grpc.StreamDesc{
			{StreamName: "WriteSpanStream", ServerStreams: true, ClientStreams: true, Handler: onCall((*Server).writeSpanStream)},
		},
	}
}

// onCall gives serve the server that serveCall found, and the call that it made of the
// stream.
func onCall(serve func(s *Server, c *call) error) grpc.StreamHandler {
	return func(service any, stream grpc.ServerStream) error {
		s, isServer := service.(*Server)
		c, isCall := stream.(*call)
		invariant.Check(isServer && isCall, "a writer is served around serveCall")
		return serve(s, c)
	}
}

// writeSpan serves one span. The answer is OK only when it is durable.
func (s *Server) writeSpan(c *call) error {
	r := newReceiver(c.ServerStream.Context(), spanBytesMax, nil) // receiveSpan says what holds
	readHeader := func() error { return c.bounded("send its request", r.readHeader) }
	one, err := s.receiveSpan(c, r, readHeader)
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: no request", span.ErrInvalid)
		}
		return err
	}
	if err := readHeader(); !errors.Is(err, io.EOF) {
		one.free()
		return receiveError(err, "more than one request")
	}
	if err := s.storeSpan(c, one); err != nil {
		return err
	}
	return c.SendMsg(&storagev1.WriteSpanResponse{})
}

// writeSpanStream serves spans until the writer closes its side; the answer comes when
// all are durable. Jaeger keeps such streams for as long as it runs: between two spans
// there is no limit of time.
//
// Several spans of a stream are written at once, or each would wait for the disk's answer
// to the one before it. A span that can never be stored does not end the stream, or others
// behind it would be lost with it; the last answer tells of the first such span.
func (s *Server) writeSpanStream(c *call) error {
	r := newReceiver(c.ServerStream.Context(), spanBytesMax, nil) // receiveSpan says what holds
	writes := spanWrites{server: s, call: c, slots: make(chan struct{}, streamSpansMax), failure: make(chan struct{})}
	defer writes.wait() // whatever ends the stream, its writes end first
	for {
		one, err := s.receiveSpan(c, r, func() error { return c.await(r.readHeader, writes.failure) })
		switch {
		case err == nil:
			writes.start(one)
		case errors.Is(err, io.EOF), errors.Is(err, errGivenUp):
			writes.wait()
			if err := writes.result(); err != nil {
				return err
			}
			return c.SendMsg(&storagev1.WriteSpanResponse{})
		default:
			return err
		}
	}
}

// spanWrites are the writes of one stream. The stream's goroutine starts them, each runs
// in one of its own.
type spanWrites struct {
	server  *Server
	call    *call
	slots   chan struct{}
	failure chan struct{} // closed with the first failure: the stream ends
	group   sync.WaitGroup

	mu      sync.Mutex
	failed  error // of the first span that may be stored another time
	refused int   // spans that never can be
	first   error // of the first of them
}

// start writes a span as soon as there is room.
func (w *spanWrites) start(one incomingSpan) {
	w.slots <- struct{}{} // a write ends in the end: its time is limited
	w.group.Go(func() {
		defer func() { <-w.slots }()
		w.note(w.write(one))
	})
}

// write is one span's write; a panic is its failure, as in recoverCall.
func (w *spanWrites) write(one incomingSpan) (err error) {
	defer w.server.recoverCall(w.call.method, &err)
	return w.server.storeSpan(w.call, one)
}

func (w *spanWrites) note(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil:
	case errors.Is(err, span.ErrInvalid):
		if w.refused++; w.first == nil {
			w.first = err
		}
	case w.failed == nil:
		w.failed = err
		close(w.failure)
	}
}

// wait waits for the writes that run.
func (w *spanWrites) wait() { w.group.Wait() }

// result is nil when every span is durable; to be asked after wait.
func (w *spanWrites) result() error {
	if w.failed == nil && w.refused > 0 {
		return fmt.Errorf("%d spans of the stream are not stored; the first: %w", w.refused, w.first)
	}
	return w.failed
}

// closeWriter has nothing to do: what was acknowledged is durable.
func closeWriter(_ *Server, c *call) error {
	if err := c.RecvMsg(&storagev1.CloseWriterRequest{}); err != nil {
		return err
	}
	return c.SendMsg(&storagev1.CloseWriterResponse{})
}

// incomingSpan is a WriteSpanRequest as received, with what it counts as in flight.
type incomingSpan struct {
	message *wire.Message
	held    *holding
}

func (i incomingSpan) free() {
	i.message.Free()
	i.held.release()
}

// receiveSpan receives the next span: it waits for its header as wait says, io.EOF when
// there is none, and counts its bytes as they arrive and inflate.
func (s *Server) receiveSpan(c *call, r *receiver, wait func() error) (incomingSpan, error) {
	if err := wait(); err != nil {
		return incomingSpan{}, err
	}
	if !s.writes.take(spanStepBytes) {
		return incomingSpan{}, s.overloaded()
	}
	one := incomingSpan{&wire.Message{}, &holding{budget: &s.writes, bytes: spanStepBytes, step: spanStepBytes}}
	r.held = one.held
	err := c.bounded("send a span", func() error { return r.receiveBody(one.message) })
	if err == nil {
		one.held.settle(max(int64(len(one.message.Bytes())), spanStepBytes)) // nothing decompresses any more
		return one, nil
	}
	one.held.release() // the message is left to the collector: a receive cut off may still fill it
	if errors.Is(err, errNoRoom) {
		return incomingSpan{}, s.overloaded()
	}
	s.stats.countNotReceived(err)
	s.complain("span not received", "error", err)
	return incomingSpan{}, err
}

// storeSpan writes a span and frees it; nil means durable.
func (s *Server) storeSpan(c *call, one incomingSpan) error {
	defer one.free()
	size := int64(len(one.message.Bytes()))
	counts, err := s.decodeAndWrite(c, one)
	if errors.Is(err, errNoRoom) {
		return s.overloaded()
	}
	s.stats.countExport(size, counts, err)
	if err != nil {
		s.stats.countDropped(counts)
		s.complain("span refused", "bytes", size, "error", err)
	}
	return err
}

// decodeAndWrite counts what the span takes decoded, decodes it, and writes it. With an
// error, counts has what the span was refused for.
func (s *Server) decodeAndWrite(c *call, one incomingSpan) (otlp.Counts, error) {
	message := one.message.Bytes()
	decodedBytes, err := jaegerv1.Measure(message)
	if err != nil {
		return otlp.Counts{}, err
	}
	inFlight := int64(len(message) + decodedBytes)
	if !one.held.grow(inFlight) {
		return otlp.Counts{}, errNoRoom
	}
	one.held.settle(inFlight)
	decoded, repaired, err := jaegerv1.Decode(message)
	if err != nil {
		return otlp.Counts{}, err
	}
	request, counts, err := jaegerv1.Request(decoded)
	if err != nil {
		return counts, err
	}
	ctx, cancel := context.WithTimeoutCause(c.Context(), s.options.WorkTimeMax, errWorkTime)
	defer cancel()
	counts, err = s.store.Write(ctx, request)
	if err != nil && errors.Is(context.Cause(ctx), errWorkTime) {
		return otlp.Counts{}, c.tooLong()
	}
	counts.Add(repaired)
	return counts, err
}
