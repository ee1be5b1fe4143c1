// Package client asks a running Stoa over its storage port, in the words of
// engine/span: it is what `stoa find`, `trace`, `graph` and `import` use, and what the
// conformance tests look through. Spans travel as OTLP bytes, undecoded. It starts no
// goroutines but those of its gRPC connection.
package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/stoadb/stoa/api/pb/collectorv1"
	"github.com/stoadb/stoa/api/pb/storagev2"
	"github.com/stoadb/stoa/api/wire"
	"github.com/stoadb/stoa/engine/span"
)

// Client is one connection to a server; any number of goroutines may use it. Errors
// carry the kinds of engine/span where the server said so (ErrInvalid, ErrUnavailable,
// ErrTooMuch), and the gRPC status beneath.
type Client struct {
	connection   *grpc.ClientConn
	traces       storagev2.TraceReaderClient
	dependencies storagev2.DependencyReaderClient
}

// Dial connects to a server, "host:port", and returns when it answered or ctx ended.
func Dial(ctx context.Context, address string) (*Client, error) {
	return dial(ctx, address)
}

// DialTenant is Dial for a server with tenants: all calls name this one, by the metadata
// key header.
func DialTenant(ctx context.Context, address, header, tenant string) (*Client, error) {
	return dial(ctx, address,
		grpc.WithUnaryInterceptor(func(ctx context.Context, method string, request, answer any, c *grpc.ClientConn, invoke grpc.UnaryInvoker, o ...grpc.CallOption) error {
			return invoke(metadata.AppendToOutgoingContext(ctx, header, tenant), method, request, answer, c, o...)
		}),
		grpc.WithStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, c *grpc.ClientConn, method string, open grpc.Streamer, o ...grpc.CallOption) (grpc.ClientStream, error) {
			return open(metadata.AppendToOutgoingContext(ctx, header, tenant), desc, c, method, o...)
		}))
}

func dial(ctx context.Context, address string, options ...grpc.DialOption) (*Client, error) {
	connection, err := grpc.NewClient("passthrough:///"+address, append(options,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(wire.Codec{})))...)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	if _, err := healthv1.NewHealthClient(connection).Check(ctx, &healthv1.HealthCheckRequest{}); err != nil {
		// The connection never came to be; the first error is the one to tell.
		_ = connection.Close()
		return nil, fmt.Errorf("connect to %s: %w", address, kindOf(err))
	}
	return &Client{
		connection:   connection,
		traces:       storagev2.NewTraceReaderClient(connection),
		dependencies: storagev2.NewDependencyReaderClient(connection),
	}, nil
}

// Close ends the connection and all calls on it.
func (c *Client) Close() error { return c.connection.Close() }

// Rejected is what a writer is told of spans that were not kept.
type Rejected struct {
	Spans  int64
	Reason string
}

// Export sends an ExportTraceServiceRequest once. On nil the spans not rejected are
// durable. It keeps no reference to the bytes.
func (c *Client) Export(ctx context.Context, request []byte) (Rejected, error) {
	message := wire.NewMessage(request)
	defer message.Free()
	answer := &collectorv1.ExportTraceServiceResponse{}
	if err := c.connection.Invoke(ctx, collectorv1.TraceService_Export_FullMethodName, message, answer); err != nil {
		return Rejected{}, kindOf(err)
	}
	partial := answer.GetPartialSuccess()
	return Rejected{partial.GetRejectedSpans(), partial.GetErrorMessage()}, nil
}

// ExportPatiently is Export that comes again as long as the server asks for it, which
// is harmless: the same request is stored once. Other errors end it, and so does ctx.
// waiting, where not nil, hears of each refusal before the wait that it asks for.
func (c *Client) ExportPatiently(ctx context.Context, request []byte, waiting func(refusal error)) (Rejected, error) {
	for {
		rejected, err := c.Export(ctx, request)
		delay, again := RetryAfter(err)
		if !again {
			return rejected, err
		}
		if waiting != nil {
			waiting(err)
		}
		select {
		case <-ctx.Done():
			return rejected, errors.Join(context.Cause(ctx), err)
		case <-time.After(delay):
		}
	}
}

// RetryAfter gives the delay that a refusal asks for.
func RetryAfter(err error) (delay time.Duration, ok bool) {
	answer, isStatus := status.FromError(err)
	if err == nil || !isStatus {
		return 0, false
	}
	for _, detail := range answer.Details() {
		if info, isRetry := detail.(*errdetails.RetryInfo); isRetry {
			return info.GetRetryDelay().AsDuration(), true
		}
	}
	return 0, false
}

// ErrTenant marks what a server with tenants says to a call that names none, or none that
// it knows.
var ErrTenant = errors.New("the server has tenants, and wants the name of one")

// kindOf marks err with the kind that its status stands for.
func kindOf(err error) error {
	switch status.Code(err) {
	case codes.InvalidArgument:
		return fmt.Errorf("%w: %w", span.ErrInvalid, err)
	case codes.ResourceExhausted:
		return fmt.Errorf("%w: %w", span.ErrTooMuch, err)
	case codes.Unauthenticated, codes.PermissionDenied:
		return fmt.Errorf("%w: %w", ErrTenant, err)
	case codes.Unavailable:
		return fmt.Errorf("%w: %w", span.ErrUnavailable, err)
	}
	return err
}
