package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// status turns what a method returned into the protocol's words. Errors that have a
// status keep it.
func (c *call) status(err error) error {
	var withStatus interface{ GRPCStatus() *status.Status }
	switch {
	case err == nil:
		return nil
	case errors.As(err, &withStatus):
		return withStatus.GRPCStatus().Err()
	case errors.Is(err, errPeerTime):
		return status.Error(codes.DeadlineExceeded, err.Error())
	case errors.Is(err, span.ErrInvalid):
		return status.Error(codes.InvalidArgument, err.Error())
	case errors.Is(err, span.ErrTooMuch):
		return status.Error(codes.ResourceExhausted, err.Error())
	case errors.Is(err, span.ErrUnavailable):
		return c.unavailable(err)
	case errors.Is(context.Cause(c.ctx), errWorkTime):
		return c.tooLong()
	case errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.DeadlineExceeded, err.Error())
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, err.Error())
	}
	c.server.options.Log.Error("call failed", "method", c.method, "error", err)
	switch {
	case c.isWrite:
		// A writer drops what it is told is an internal error. The spans are good, our side
		// is not: let it send them again, which is harmless.
		return c.unavailable(err)
	case errors.Is(err, codec.ErrCorrupt):
		return status.Error(codes.DataLoss, err.Error())
	}
	return status.Error(codes.Internal, err.Error())
}

// unavailable refuses for a reason of the store's. A tenant does not hear it: it may be how
// full the disk is, and that tells of others.
func (c *call) unavailable(err error) error {
	if c.server.tenant == "" {
		return c.server.refuse("%v", err)
	}
	c.server.complain("refused", "method", c.method, "tenant", c.server.tenant, "error", err)
	return c.server.refuse("the store is not available now; the server's log says why")
}

func (c *call) tooLong() error {
	limit := c.server.options.WorkTimeMax
	if c.isWrite {
		return c.server.refuse("the write took longer than %v", limit)
	}
	return status.Errorf(codes.ResourceExhausted, "limit exceeded: the query took longer than %v (WorkTimeMax)", limit)
}

// refuse says "not now", and when to come again.
func (s *Server) refuse(format string, args ...any) error {
	delay := retryDelayMin + time.Duration(s.options.Random()*float64(retryDelaySpread))
	refusal, err := status.New(codes.Unavailable, fmt.Sprintf(format, args...)).
		WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(delay)})
	if err != nil {
		return status.Errorf(codes.Unavailable, format, args...)
	}
	return refusal.Err()
}
