// Command pdata is the reference that Stoa's processor time is held against: an OTLP
// server over gRPC that decodes requests as the OpenTelemetry Collector does, with its
// pdata, and drops them. It prints its address, then serves until it is ended.
//
// It is a module of its own, so that Stoa does not depend on the collector's packages.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
)

// requestBytesMax is the longest request, as Stoa takes it.
const requestBytesMax = 64 << 20

// sink takes traces, looks at how many spans there are, and forgets them.
type sink struct {
	ptraceotlp.UnimplementedGRPCServer
}

func (*sink) Export(_ context.Context, request ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
	_ = request.Traces().SpanCount()
	return ptraceotlp.NewExportResponse(), nil
}

func run() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(requestBytesMax))
	ptraceotlp.RegisterGRPCServer(server, &sink{})
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, server.Stop)
	if _, err := fmt.Println(listener.Addr()); err != nil {
		return err
	}
	return server.Serve(listener)
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "pdata:", err)
		os.Exit(1)
	}
}
