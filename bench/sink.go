package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"google.golang.org/grpc"

	"github.com/stoadb/stoa/api/pb/collectorv1"
	"github.com/stoadb/stoa/api/wire"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// Sinks are servers of OTLP that keep nothing. What they cost is the floor of what a
// server can cost: Raw receives the bytes of a request and looks at none of them, Walk
// looks at every field of every span, attribute, event and link. A third one decodes with
// the collector's pdata; it is a module of its own, bench/pdata.
const (
	RawSink  = "raw"
	WalkSink = "walk"
)

// ServeSink serves a sink on a free port of this machine until ctx ends; told gets its
// address first.
func ServeSink(ctx context.Context, kind string, told func(address string) error) error {
	var take func(request []byte) error
	switch kind {
	case RawSink:
		take = func([]byte) error { return nil }
	case WalkSink:
		take = func(request []byte) error {
			var sum walked
			return sum.request(request)
		}
	default:
		return fmt.Errorf("sink %q: want %s or %s", kind, RawSink, WalkSink)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(otlp.RequestBytesMax), grpc.ForceServerCodecV2(wire.Codec{}))
	server.RegisterService(sinkService(take), nil)
	if err := told(listener.Addr().String()); err != nil {
		return errors.Join(err, listener.Close())
	}
	stop := context.AfterFunc(ctx, server.Stop)
	defer stop()
	return server.Serve(listener)
}

// sinkService is TraceService whose requests stay bytes.
func sinkService(take func([]byte) error) *grpc.ServiceDesc {
	service, method, _ := strings.Cut(strings.TrimPrefix(collectorv1.TraceService_Export_FullMethodName, "/"), "/")
	export := func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		message := &wire.Message{}
		if err := decode(message); err != nil {
			return nil, err
		}
		defer message.Free()
		return &collectorv1.ExportTraceServiceResponse{}, take(message.Bytes())
	}
	return &grpc.ServiceDesc{ServiceName: service, Methods: []grpc.MethodDesc{{MethodName: method, Handler: export}}}
}

// walked counts what a walk met, so that no part of it can be left out.
type walked struct{ spans, attributes, bytes int }

func (w *walked) request(request []byte) error {
	return eachMessage(request, 1, func(resourceSpans []byte) error {
		return eachField(resourceSpans, func(f field) error {
			switch {
			case f.is(1, bytesWire):
				return w.attributesOf(f.value, 1)
			case f.is(2, bytesWire):
				return eachField(f.value, func(f field) error {
					if f.is(2, bytesWire) {
						return w.span(f.value)
					}
					return nil
				})
			}
			return nil
		})
	})
}

func (w *walked) span(message []byte) error {
	w.spans++
	return eachField(message, func(f field) error {
		switch {
		case f.is(9, bytesWire):
			return w.attribute(f.value)
		case f.is(11, bytesWire):
			return w.attributesOf(f.value, 3)
		case f.is(13, bytesWire):
			return w.attributesOf(f.value, 4)
		}
		w.bytes += len(f.value)
		return nil
	})
}

// attributesOf walks a message whose attributes stand in field number.
func (w *walked) attributesOf(message []byte, number uint64) error {
	return eachField(message, func(f field) error {
		if f.is(number, bytesWire) {
			return w.attribute(f.value)
		}
		w.bytes += len(f.value)
		return nil
	})
}

func (w *walked) attribute(message []byte) error {
	w.attributes++
	return eachField(message, func(f field) error {
		if f.is(2, bytesWire) {
			return eachField(f.value, func(f field) error { w.bytes += len(f.value); return nil })
		}
		w.bytes += len(f.value)
		return nil
	})
}

// MeasureSink runs a sink as a process, sends it the requests over connections at once,
// and tells what that took. The command prints its address as its first line and serves
// until SIGTERM: `stoa bench sink raw`, or bench/pdata.
func MeasureSink(ctx context.Context, name string, command []string, connections int, requests iter.Seq2[[]byte, error]) (record SinkRecord, err error) {
	process := exec.CommandContext(ctx, command[0], command[1:]...)
	process.Cancel = func() error { return process.Process.Signal(os.Interrupt) }
	process.WaitDelay = 10 * time.Second
	process.Stderr = os.Stderr
	output, err := process.StdoutPipe()
	if err != nil {
		return record, err
	}
	if err := process.Start(); err != nil {
		return record, fmt.Errorf("sink %s: %w", name, err)
	}
	defer func() {
		_ = process.Process.Signal(os.Interrupt) // it may have ended
		if waitErr := process.Wait(); err == nil && waitErr != nil {
			err = fmt.Errorf("sink %s: %w", name, waitErr)
		}
	}()
	address, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		return record, fmt.Errorf("sink %s tells no address: %w", name, err)
	}
	go func() { _, _ = io.Copy(io.Discard, output) }() // ends with the process
	run := LoadRun{Loading: Loading{Target: strings.TrimSpace(address), Connections: connections}, PID: process.Process.Pid}
	load, err := run.Run(ctx, requests)
	if err != nil {
		return record, fmt.Errorf("sink %s: %w", name, err)
	}
	return SinkRecord{Sink: name, Spans: load.accepted(), Seconds: load.Seconds, Cost: load.Accepted}, nil
}
