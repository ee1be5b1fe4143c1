package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/stoadb/stoa/api/pb/collectorv1"
	"github.com/stoadb/stoa/api/pb/storagev1"
	"github.com/stoadb/stoa/api/wire"
	"github.com/stoadb/stoa/internal/invariant"
)

// asStreams gives desc with its unary methods served as streams of one message each
// way. grpc receives and decodes a unary call's message before any code of ours runs;
// of a stream we receive it ourselves: admission and time limits first.
func asStreams(desc grpc.ServiceDesc) *grpc.ServiceDesc {
	for _, method := range desc.Methods {
		desc.Streams = append(desc.Streams, grpc.StreamDesc{
			StreamName:    method.MethodName,
			ServerStreams: true,
			Handler: func(service any, stream grpc.ServerStream) error {
				answer, err := method.Handler(service, stream.Context(), stream.RecvMsg, nil)
				if err != nil {
					return err
				}
				return stream.SendMsg(answer)
			},
		})
	}
	desc.Methods = nil
	return &desc
}

// serveCall is the one way into every method of ours:
//  1. find its tenant's side, where there are tenants, or refuse it
//  2. admit a reading call (a writing one counts bytes, see export)
//  3. watch its time
//  4. serve it, catching a panic
//  5. turn its error into a status, and count it
func (s *Server) serveCall(service any, grpcStream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	defer func() { s.stats.countCall(info.FullMethod, status.Code(err)) }()
	defer s.recoverCall(info.FullMethod, &err)
	if strings.HasPrefix(info.FullMethod, "/grpc.") {
		return handler(service, grpcStream) // health and reflection: long-lived, cheap
	}
	side, err := s.side(grpcStream.Context())
	if err != nil {
		return err
	}
	implementation := side.implementation(info.FullMethod)
	if implementation == nil { // of an archive, and this tenant has none
		return status.Errorf(codes.Unimplemented, "%s: not served", info.FullMethod)
	}
	isWrite := isWriter(info.FullMethod)
	c := &call{ServerStream: grpcStream, method: info.FullMethod, isWrite: isWrite, server: side}
	if !isWrite {
		if !s.admitQuestion() {
			return s.refuse("%d queries run already", s.options.QueriesMax)
		}
		defer s.questionEnded()
	}
	ctx, cancel := context.WithCancelCause(grpcStream.Context())
	defer cancel(nil)
	c.ctx = ctx
	c.work = time.AfterFunc(s.options.WorkTimeMax, func() { cancel(errWorkTime) })
	defer c.work.Stop()
	return c.status(handler(implementation, c))
}

// isWriter tells of the methods that bring spans.
func isWriter(method string) bool {
	switch method {
	case collectorv1.TraceService_Export_FullMethodName, storagev1.SpanWriterPlugin_WriteSpan_FullMethodName,
		storagev1.SpanWriterPlugin_Close_FullMethodName, storagev1.StreamingSpanWriterPlugin_WriteSpanStream_FullMethodName,
		storagev1.ArchiveSpanWriterPlugin_WriteArchiveSpan_FullMethodName:
		return true
	}
	return false
}

// serveOther is serveCall for the unary methods of health: only a panic is caught.
func (s *Server) serveOther(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (answer any, err error) {
	defer func() { s.stats.countCall(info.FullMethod, status.Code(err)) }()
	defer s.recoverCall(info.FullMethod, &err)
	return handler(ctx, request)
}

// recoverCall turns a panic of one call into that call's failure: no input may kill
// the process. It is Internal, which no writer sends again.
func (s *Server) recoverCall(method string, err *error) {
	cause := recover()
	if cause == nil {
		return
	}
	s.stats.panics.Add(1)
	s.options.Log.Error("panic in a call", "method", method, "panic", cause, "stack", string(debug.Stack()))
	*err = status.Errorf(codes.Internal, "internal error in %s", method)
}

// Why a call was given up by us, not by its caller.
var (
	errWorkTime = errors.New("call took too long")
	errPeerTime = errors.New("peer stopped")
	errGivenUp  = errors.New("call given up")
)

// call is the stream of one call with its time limits. Send and receive are used by
// one goroutine.
type call struct {
	grpc.ServerStream
	ctx     context.Context
	server  *Server
	method  string
	isWrite bool
	work    *time.Timer
}

// Context ends with the call, and when the store works too long.
func (c *call) Context() context.Context { return c.ctx }

// RecvMsg receives the request of a query, and decodes it itself: where decoding fails
// inside grpc, grpc has told the caller already that the failure is ours.
func (c *call) RecvMsg(m any) error {
	message := &wire.Message{}
	held := &holding{budget: &c.server.writes, free: queryBytesMax}
	defer held.release()
	err := c.receive(message, queryBytesMax, held)
	if errors.Is(err, errNoRoom) {
		return c.server.refuse("overloaded: too many bytes of requests are in flight")
	}
	if err != nil {
		return err
	}
	defer message.Free()
	request, isProto := m.(proto.Message)
	invariant.Check(isProto, "%s takes a %T", c.method, m)
	if err := proto.Unmarshal(message.Bytes(), request); err != nil {
		return status.Errorf(codes.InvalidArgument, "%s: not a request: %v", c.method, err)
	}
	return nil
}

// receive receives the request as bytes; see receive.go.
func (c *call) receive(message *wire.Message, bytesMax int, held *holding) error {
	r := newReceiver(c.ServerStream.Context(), bytesMax, held)
	return c.bounded("send its request", func() error { return r.receive(message) })
}

// SendMsg sends one message of the answer.
func (c *call) SendMsg(m any) error {
	return c.bounded("take a message", func() error { return c.ServerStream.SendMsg(m) })
}

// bounded runs a blocking use of the stream for at most PeerTimeMax. grpc gives no way
// to interrupt one but to end the call, so the goroutine left behind ends when the
// handler returns, which it must do now: the error says so. The store's time stands
// still meanwhile, and nothing makes way any more for a question whose peer is slow.
func (c *call) bounded(what string, use func() error) error {
	limit := c.server.options.PeerTimeMax
	c.work.Stop()
	done := make(chan error, 1)
	go func() { done <- use() }()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	defer c.restsWhileSlow()()
	select {
	case err := <-done:
		c.work.Reset(c.server.options.WorkTimeMax)
		return err
	case <-timer.C:
		c.server.stats.cutPeers.Add(1)
		return fmt.Errorf("%w: it did not %s within %v", errPeerTime, what, limit)
	}
}

// restsWhileSlow is that of a question; what brings spans is none.
func (c *call) restsWhileSlow() (goOn func()) {
	if c.isWrite {
		return func() {}
	}
	return c.server.restsWhileSlow()
}

// await runs a use of the stream that may wait as long as the peer likes, until the
// server stops or givenUp is closed. The rest is as with bounded.
func (c *call) await(use func() error, givenUp <-chan struct{}) error {
	c.work.Stop()
	done := make(chan error, 1)
	go func() { done <- use() }()
	select {
	case err := <-done:
		c.work.Reset(c.server.options.WorkTimeMax)
		return err
	case <-c.server.stopping:
		return c.server.refuse("the server stops")
	case <-givenUp:
		return errGivenUp
	}
}

// complain logs a bad request, at most one a second: who sends one sends many.
func (s *Server) complain(text string, args ...any) {
	now, last := s.options.Now().UnixNano(), s.lastComplaint.Load()
	if now-last < int64(complaintInterval) || !s.lastComplaint.CompareAndSwap(last, now) {
		return
	}
	s.options.Log.Log(context.Background(), slog.LevelWarn, text, args...)
}
