package api_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/status"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/api/client"
	"github.com/stoadb/stoa/api/pb/collectorv1"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

func compressed(t testing.TB, name string, content []byte) []byte {
	t.Helper()
	out := &bytes.Buffer{}
	w, err := encoding.GetCompressor(name).Compress(out)
	if err == nil {
		_, err = w.Write(content)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// giant is a long stream of zeros that stops at its half until it is told to go on.
type giant struct {
	*giants
	at int
}

// giants are many of them, and a compression whose every message inflates to one.
type giants struct {
	bytes   int
	halfway atomic.Int64
	goOn    chan struct{}
}

func (g *giant) Read(p []byte) (int, error) {
	if g.at == g.bytes/2 {
		g.halfway.Add(1)
		<-g.goOn
	}
	if g.at == g.bytes {
		return 0, io.EOF
	}
	until := g.bytes
	if g.at < g.bytes/2 {
		until = g.bytes / 2
	}
	n := min(len(p), until-g.at)
	clear(p[:n])
	g.at += n
	return n, nil
}

// inflating is the table entry of a compression that tests put their giants behind.
type inflating struct{ to atomic.Pointer[giants] }

func (*inflating) Name() string                               { return "giant" }
func (*inflating) Compress(io.Writer) (io.WriteCloser, error) { return nil, errors.ErrUnsupported }
func (i *inflating) Decompress(r io.Reader) (io.Reader, error) {
	_, err := io.Copy(io.Discard, r)
	return &giant{giants: i.to.Load()}, err
}

var giantEncoding inflating

func init() { encoding.RegisterCompressor(&giantEncoding) }

func liveHeap() int64 {
	var stats runtime.MemStats
	for range 3 { // pools let go of their buffers after two
		runtime.GC()
	}
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// TestParallelGiantsStayWithinTheBudget sends sixteen requests of 32 MiB at once, plain
// and inflating from a few bytes, each of which stops at its half: what is in memory
// then stays near the budget, and those that do not fit are told to come again.
func TestParallelGiantsStayWithinTheBudget(t *testing.T) {
	const count, giantBytes, budgetBytes = 16, 32 << 20, 8 << 20
	for _, name := range []string{"", "giant"} {
		t.Run("encoding "+name, func(t *testing.T) {
			all := &giants{bytes: giantBytes, goOn: make(chan struct{})}
			giantEncoding.to.Store(all)
			server := start(t, &scripted{write: func(context.Context, []byte) (otlp.Counts, error) { return otlp.Counts{}, nil }},
				api.Options{BytesInFlightMax: budgetBytes})
			before := liveHeap()
			var refused, served atomic.Int64
			var group sync.WaitGroup
			for range count {
				group.Go(func() {
					body := io.Reader(bytes.NewReader(frame(true, []byte("x"))))
					if name == "" {
						head := binary.BigEndian.AppendUint32([]byte{0}, giantBytes)
						body = io.MultiReader(bytes.NewReader(head), &giant{giants: all})
					}
					switch err := post(t, server.storage, collectorv1.TraceService_Export_FullMethodName, name, body); status.Code(err) {
					case codes.OK:
						served.Add(1)
					case codes.Unavailable:
						refused.Add(1)
					default:
						t.Errorf("a giant: %v", err)
					}
				})
			}
			for all.halfway.Load()+refused.Load() < count {
				time.Sleep(time.Millisecond)
			}
			// The last one may find nobody beside it: then it is served alone.
			if grown, bound := liveHeap()-before, int64(giantBytes/2+2*budgetBytes); grown > bound {
				t.Errorf("%d MiB in memory for %d requests, want at most %d", grown>>20, all.halfway.Load(), bound>>20)
			}
			close(all.goOn)
			group.Wait()
			stats := server.Stats()
			if refused.Load() < count-1 || stats.ExportsOverload != uint64(refused.Load()) || refused.Load()+served.Load() != count || stats.BytesInFlight != 0 {
				t.Errorf("%d refused, %d served, stats %+v", refused.Load(), served.Load(), stats)
			}
		})
	}
}

// TestInflatingBeyondTheBudgetIsOverload: beside a request in flight, what inflates to
// more than the rest is refused with a delay, and what fits is served.
func TestInflatingBeyondTheBudgetIsOverload(t *testing.T) {
	release, entered := make(chan struct{}), make(chan struct{}, 2)
	server := start(t, &scripted{write: func(context.Context, []byte) (otlp.Counts, error) {
		entered <- struct{}{}
		<-release
		return otlp.Counts{}, nil
	}}, api.Options{BytesInFlightMax: 12 << 20})
	results := make(chan error, 2)
	export := func(name string, content []byte) {
		results <- call(t, server.storage, collectorv1.TraceService_Export_FullMethodName, name, frame(true, compressed(t, name, content)))
	}
	go export("gzip", make([]byte, 4<<20))
	<-entered
	for _, name := range []string{"gzip", "zstd"} {
		message := frame(true, compressed(t, name, make([]byte, 9<<20)))
		if err := call(t, server.storage, collectorv1.TraceService_Export_FullMethodName, name, message); status.Code(err) != codes.Unavailable {
			t.Errorf("%s of 9 MiB beside 4 of 12: %v", name, err)
		}
	}
	random := make([]byte, 3<<20) // arrives in several pieces
	source := rand.NewChaCha8([32]byte{})
	if _, err := source.Read(random); err != nil {
		t.Fatal(err)
	}
	go export("zstd", random)
	<-entered
	if stats := server.Stats(); stats.ExportsOverload != 2 || stats.BytesInFlight != 7<<20 {
		t.Errorf("stats %+v", stats)
	}
	_, err := server.Export(t.Context(), make([]byte, 6<<20))
	if _, again := client.RetryAfter(err); !again || !errors.Is(err, span.ErrUnavailable) {
		t.Errorf("6 MiB beside 7 of 12: %v", err)
	}
	close(release)
	if err := errors.Join(<-results, <-results); err != nil {
		t.Error(err)
	}
	if stats := server.Stats(); stats.BytesInFlight != 0 || stats.Exports != 2 {
		t.Errorf("stats in the end %+v", stats)
	}
}

// TestFramesThatAreNoRequestAreInvalidArgument: what cannot be a message is the writer's
// mistake, whatever part of the frame is wrong.
func TestFramesThatAreNoRequestAreInvalidArgument(t *testing.T) {
	server := start(t, &scripted{}, api.Options{})
	gzipped := compressed(t, "gzip", make([]byte, 1000))
	for name, c := range map[string]struct {
		encoding string
		body     []byte
	}{
		"nothing":                   {"", nil},
		"half a header":             {"", []byte("\x00\x00")},
		"half a message":            {"", frame(false, make([]byte, 100))[:50]},
		"half a compressed message": {"gzip", frame(true, gzipped)[:15]},
		"two messages":              {"", append(frame(false, nil), frame(false, nil)...)},
		"an unknown flag":           {"", []byte("\x02\x00\x00\x00\x00")},
		"compressed as nothing":     {"", frame(true, gzipped)},
		"compressed as identity":    {"identity", frame(true, gzipped)},
		"compressed as another":     {"zstd", frame(true, gzipped)},
		"not compressed":            {"gzip", frame(true, []byte("plain text"))},
		"compressed and cut":        {"gzip", frame(true, gzipped[:len(gzipped)/2])},
	} {
		if err := call(t, server.storage, collectorv1.TraceService_Export_FullMethodName, c.encoding, c.body); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := call(t, server.storage, collectorv1.TraceService_Export_FullMethodName, "gzip", frame(false, nil)); err != nil {
		t.Errorf("not compressed, and says so: %v", err)
	}
	if stats := server.Stats(); stats.BytesInFlight != 0 || stats.Panics != 0 {
		t.Errorf("stats %+v", stats)
	}
}
