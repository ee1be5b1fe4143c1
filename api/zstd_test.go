package api_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/api/pb/collectorv1"
	"github.com/stoadb/stoa/api/pb/storagev1"
	"github.com/stoadb/stoa/api/pb/storagev2"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// largestWindow describes a window of 8 MiB in the header of a frame.
const largestWindow = 13 << 3

// rawFrame is a zstd frame with any window, and content that is not packed; with more to come it
// does not end.
func rawFrame(window byte, content []byte, more bool) []byte {
	block := uint32(len(content)) << 3
	if !more {
		block |= 1
	}
	head := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, window}
	return append(binary.LittleEndian.AppendUint32(head, block)[:len(head)+3], content...)
}

// stalled ends when it is told to.
type stalled struct{ goOn chan struct{} }

func (s stalled) Read([]byte) (int, error) {
	<-s.goOn
	return 0, io.EOF
}

// TestStalledZstdStaysWithinTheBudget: each of many calls begins a frame that wants a window of 8 MiB,
// and does not go on, once the first piece that is received of it is whole: a MiB, which zeros fill as
// blocks of nothing. One of them fits the budget; the others are told to come again, and hold nothing.
func TestStalledZstdStaysWithinTheBudget(t *testing.T) {
	const count, budgetBytes, windowBytes = 24, 12 << 20, 8 << 20
	begin := slices.Concat(binary.BigEndian.AppendUint32([]byte{1}, 2<<20), rawFrame(largestWindow, []byte{0}, true), make([]byte, 1<<20))
	for _, method := range []string{
		collectorv1.TraceService_Export_FullMethodName, storagev1.SpanWriterPlugin_WriteSpan_FullMethodName,
		storagev1.StreamingSpanWriterPlugin_WriteSpanStream_FullMethodName,
		storagev2.TraceReader_FindTraceIDs_FullMethodName, storagev1.SpanReaderPlugin_GetTrace_FullMethodName,
	} {
		t.Run(method, func(t *testing.T) {
			server := start(t, &scripted{}, api.Options{BytesInFlightMax: budgetBytes, PeerTimeMax: time.Minute})
			before := liveHeap()
			goOn := make(chan struct{})
			var refused, held atomic.Int64
			var group sync.WaitGroup
			for range count {
				group.Go(func() {
					switch err := post(t, server.storage, method, "zstd", io.MultiReader(bytes.NewReader(begin), stalled{goOn})); status.Code(err) {
					case codes.Unavailable:
						refused.Add(1)
					case codes.InvalidArgument: // it ends early
						held.Add(1)
					default:
						t.Errorf("a call that stalls: %v", err)
					}
				})
			}
			eventually(t, "all but one are refused", func() bool { // or all, where the last asked before the one before it was gone
				return refused.Load() == count || refused.Load() == count-1 && server.Stats().BytesInFlight > windowBytes/2
			})
			if grown := liveHeap() - before; grown > 2*budgetBytes {
				t.Errorf("%d MiB in memory", grown>>20)
			}
			close(goOn)
			group.Wait()
			if refused.Load()+held.Load() != count || server.Stats().BytesInFlight != 0 {
				t.Errorf("%d refused, %d held, stats %+v", refused.Load(), held.Load(), server.Stats())
			}
		})
	}
}

// TestZstdOfEveryWindowIsTaken, up to 8 MiB, also where the budget is less: with and without the
// length of the content, in several frames; and what has a larger window is refused for good.
func TestZstdOfEveryWindowIsTaken(t *testing.T) {
	server := start(t, realStore(t, vfs.NewCrash(1)), api.Options{BytesInFlightMax: 1})
	for method, message := range map[string]proto.Message{
		collectorv1.TraceService_Export_FullMethodName:        &collectorv1.ExportTraceServiceRequest{},
		storagev1.SpanWriterPlugin_WriteSpan_FullMethodName:   &storagev1.WriteSpanRequest{Span: firstSpan(id(1), 1)},
		storagev2.TraceReader_FindTraceIDs_FullMethodName:     &storagev2.FindTraceIDsRequest{Query: &storagev2.TraceQueryParameters{ServiceName: "s", SearchDepth: 1}},
		storagev1.SpanReaderPlugin_GetServices_FullMethodName: &storagev1.GetServicesRequest{},
	} {
		content, err := proto.Marshal(message)
		if err == nil && method == collectorv1.TraceService_Export_FullMethodName {
			content = requestOf(t, trace(id(1), "s", 1))
		}
		if err != nil || len(content) > 1<<10 {
			t.Fatalf("%s: %d bytes, %v", method, len(content), err)
		}
		half := len(content) / 2
		check := func(name string, want codes.Code, packed []byte) {
			t.Helper()
			if err := call(t, server.storage, method, "zstd", frame(true, packed)); status.Code(err) != want {
				t.Errorf("%s, %s: %v, want %v", method, name, err, want)
			}
		}
		for window := byte(0); window <= largestWindow; window += 8 {
			check("a window", codes.OK, rawFrame(window, content, false))
		}
		var stream bytes.Buffer
		w, err := codec.NewZstdWriter(&stream)
		if err == nil {
			_, err = w.Write(content)
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		check("a stream", codes.OK, stream.Bytes())
		check("one segment", codes.OK, codec.AppendZstd(nil, content))
		check("two frames", codes.OK, slices.Concat(rawFrame(24, content[:half], false), rawFrame(16, content[half:], false)))
		check("a frame to skip", codes.OK, slices.Concat([]byte("\x5a\x2a\x4d\x18\x01\x00\x00\x00x"), rawFrame(16, content, false)))
		check("a larger window behind a smaller", codes.InvalidArgument, slices.Concat(rawFrame(16, content[:half], false), rawFrame(24, content[half:], false)))
		check("a window over 8 MiB", codes.InvalidArgument, rawFrame(largestWindow+1, content, false))
		check("half a header", codes.InvalidArgument, rawFrame(0, nil, false)[:5])
	}
	if stats := server.Stats(); stats.BytesInFlight != 0 || stats.Panics != 0 {
		t.Errorf("stats %+v", stats)
	}
	// Messages of health are grpc's own to receive: nothing counts them, and a MiB is the most.
	for window, want := range map[byte]codes.Code{0: codes.OK, 10 << 3: codes.OK, 11 << 3: codes.Internal, largestWindow: codes.Internal} {
		err := call(t, server.storage, healthv1.Health_Check_FullMethodName, "zstd", frame(true, rawFrame(window, nil, false)))
		if status.Code(err) != want {
			t.Errorf("health with window %d: %v, want %v", window, err, want)
		}
	}
}
