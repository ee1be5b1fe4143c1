package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/api/pb/storagev2"
	"github.com/stoadb/stoa/engine/span"
)

// A question whose peer takes nothing of its answer over gRPC is in flight no more after a while, while
// it waits; it is again once the peer goes on.
func TestAQuestionWhoseAnswerIsNotTakenIsNotInFlight(t *testing.T) {
	const chunks, chunkBytes = 100, 1 << 20
	// A field that nobody knows: a message whoever reads it.
	chunk := protowire.AppendBytes(protowire.AppendTag(nil, 15, protowire.BytesType), make([]byte, chunkBytes))
	var told inFlight
	var sent atomic.Int64
	store := &scripted{get: func(_ context.Context, _ span.TraceID, yield func(span.Chunk) error) error {
		for range chunks {
			if err := yield(span.Chunk{Bytes: bytes.Clone(chunk)}); err != nil {
				return err
			}
			sent.Add(1)
		}
		return nil
	}}
	server := start(t, store, api.Options{Questions: &told})
	stream, err := server.connection.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, storagev2.TraceReader_GetTraces_FullMethodName,
		grpc.MaxCallRecvMsgSize(2*chunkBytes))
	if err != nil {
		t.Fatal(err)
	}
	request := &storagev2.GetTracesRequest{Query: []*storagev2.GetTraceParams{{TraceId: make([]byte, 16)}}}
	if err := errors.Join(stream.SendMsg(request), stream.CloseSend()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it waits for its peer", func() bool { return told.now.Load() == 0 && sent.Load() > 0 })
	if n := sent.Load(); n == chunks {
		t.Fatal("the peer has not taken an answer that was sent")
	}
	begun := told.begun.Load()
	for err = nil; err == nil; err = stream.RecvMsg(new(emptypb.Empty)) {
	}
	if !errors.Is(err, io.EOF) || sent.Load() != chunks {
		t.Errorf("the answer ended with %v after %d chunks", err, sent.Load())
	}
	if told.begun.Load() == begun {
		t.Error("it was not in flight again when the peer went on")
	}
	eventually(t, "it is answered", func() bool { return told.now.Load() == 0 })
}

// A question whose peer is given up, as it sends nothing, has ended: no more than that, and no less.
func TestAQuestionWhosePeerIsGivenUpHasEnded(t *testing.T) {
	var told inFlight
	server := start(t, &scripted{}, api.Options{Questions: &told, PeerTimeMax: 200 * time.Millisecond})
	for i := range 3 {
		stream, err := server.connection.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, storagev2.TraceReader_FindTraceIDs_FullMethodName)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.RecvMsg(new(emptypb.Empty)); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("a request that never came: %v", err)
		}
		eventually(t, "it has ended", func() bool { return told.now.Load() == 0 && server.Stats().QueriesRunning == 0 })
		if n := told.begun.Load(); n != int64(2*(i+1)) {
			t.Errorf("after %d: told of Begin %d times, want one for each question and one more when its wait ends", i+1, n)
		}
	}
}

// The same over HTTP, whether the answer is written or flushed: a peer that takes nothing of it makes
// nobody make way, one that goes on does, and one that is cut off has ended.
func TestAQuestionWhoseAnswerIsNotTakenOverHTTPIsNotInFlight(t *testing.T) {
	const pieces, pieceBytes = 256, 256 << 10
	for name, c := range map[string]struct {
		flushes, takes bool
	}{
		"written": {false, true}, "flushed": {true, true}, "cut off": {false, false},
	} {
		t.Run(name, func(t *testing.T) {
			var told inFlight
			var sent atomic.Int64
			query := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				size := pieceBytes
				if c.flushes {
					size = 1 << 10 // which Write only buffers
				}
				for range pieces * pieceBytes / size {
					if _, err := w.Write(make([]byte, size)); err != nil {
						return
					}
					if c.flushes {
						if err := http.NewResponseController(w).Flush(); err != nil {
							return
						}
					}
					sent.Add(int64(size))
				}
			})
			server := start(t, &scripted{}, api.Options{Questions: &told, Query: query})
			connection, err := net.Dial("tcp", strings.TrimPrefix(server.query, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = connection.Close() }() // closed below, or read to its end
			if _, err := fmt.Fprint(connection, "GET /any HTTP/1.1\r\nHost: stoa\r\nConnection: close\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			eventually(t, "it waits for its peer", func() bool { return told.now.Load() == 0 && sent.Load() > 0 })
			if sent.Load() == pieces*pieceBytes || server.Stats().QueriesRunning != 1 {
				t.Fatalf("the peer has not taken an answer of which %d bytes were sent, %d queries run", sent.Load(), server.Stats().QueriesRunning)
			}
			begun := told.begun.Load()
			if c.takes {
				if _, err := io.Copy(io.Discard, connection); err != nil || sent.Load() != pieces*pieceBytes {
					t.Errorf("%d bytes were sent, %v", sent.Load(), err)
				}
			} else if err := connection.Close(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "it has ended", func() bool { return server.Stats().QueriesRunning == 0 && told.now.Load() == 0 })
			if told.begun.Load() == begun {
				t.Error("it was not in flight again when the peer went on")
			}
		})
	}
}
