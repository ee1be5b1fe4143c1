package engine_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
	"github.com/stoadb/stoa/internal/vfs"
)

// The load of BenchmarkSplit: traces of 20 spans by 40 services with 300 operations, in segments
// of 225 s each. A fourth of the traces is under way when a segment is flushed.
const (
	splitSegments   = 8
	splitTracesEach = 2000
	splitTraceSpans = 20
	splitEvery      = 4
	splitFrom       = uint64(1_767_225_600) * second
	splitLength     = 225 * second
)

// splitRequests gives the spans of each segment, and of one more, which goes on with traces of
// the last.
func splitRequests() (requests [][]byte) {
	random := rand.New(rand.NewPCG(1, 1))
	const services, operations = 40, 300
	bySegment := make([][services][][]byte, splitSegments+1)
	for segment := range splitSegments {
		for i := range splitTracesEach {
			number := segment*splitTracesEach + i + 1
			id := append(make([]byte, 12), byte(number>>24), byte(number>>16), byte(number>>8), byte(number))
			for at := range splitTraceSpans {
				operation := (number*7 + at*at) % operations
				start := splitFrom + uint64(segment)*splitLength + uint64(i)*(splitLength/splitTracesEach) + uint64(at)*1_000_000
				took := uint64(1000 << random.IntN(16))
				took += random.Uint64N(took)
				spanID := append(make([]byte, 6), 1, byte(at+1))
				fields := [][]byte{field(1, id), field(2, spanID), field(5, fmt.Append(nil, "operation ", operation)), varint(6, uint64(2+at%2)), fixed64(7, start), fixed64(8, start+took)}
				if at > 0 {
					fields = append(fields, field(4, append(make([]byte, 6), 1, byte(1+random.IntN(at)))))
				}
				if random.IntN(100) == 0 {
					fields = append(fields, field(15, varint(3, 2)))
				}
				stands := segment
				if i%splitEvery == 0 && at >= splitTraceSpans/2 {
					stands++
				}
				list := &bySegment[stands][operation%services]
				*list = append(*list, field(2, fields...))
			}
		}
	}
	for _, spans := range bySegment {
		var request []byte
		for service, list := range spans {
			resource := field(1, field(1, []byte("service.name")), field(2, field(1, fmt.Append(nil, "service ", service))))
			request = append(request, field(1, field(1, resource), field(2, list...))...)
		}
		requests = append(requests, request)
	}
	return requests
}

// splitShard applies requests to a new shard, each flushed to a segment of its own.
func splitShard(b *testing.B, disk vfs.FS, requests [][]byte) *engine.Shard {
	b.Helper()
	s, err := engine.Open(engine.Options{FS: disk, Dir: worldDir, MemtableBytesMax: 1 << 40, ManualCompaction: true})
	if err != nil {
		b.Fatal(err)
	}
	for i, request := range requests {
		applySplit(b, s, i, request)
		if err := s.Flush(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	return s
}

func applySplit(b *testing.B, s *engine.Shard, i int, request []byte) {
	b.Helper()
	parts, _, err := otlp.Cut(request, 1, func(span.TraceID) int { return 0 })
	if err != nil {
		b.Fatal(err)
	}
	e := &engine.Entry{Received: int64(splitFrom), Parts: []engine.Part{engine.NewPart(parts[0].Batch, parts[0].Bytes)}}
	if _, err := s.Apply(uint64(i+1), e); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkSplit asks a shard of eight segments with 3,500 split traces: for the first time since
// they are as they are, and again; whole, with ends that cut a minute, and of one minute; and with
// 500 traces of the last segment in memory too.
func BenchmarkSplit(b *testing.B) {
	disk, err := vfs.NewOS(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	requests := splitRequests()
	s := splitShard(b, disk, requests[:splitSegments])
	defer func() { _ = s.Close() }()
	end := splitFrom + splitSegments*splitLength
	ranges := []struct {
		name      string
		low, high uint64
	}{{"all", 0, math.MaxUint64}, {"cut", splitFrom + 30*second, end - 30*second}, {"a minute", splitFrom + 20*minute, splitFrom + 21*minute - 1}}
	graph := func(b *testing.B, s *engine.Shard, low, high uint64) {
		if err := s.Edges(context.Background(), span.EdgeQuery{StartMin: low, StartMax: high}, span.NewEdges()); err != nil {
			b.Fatal(err)
		}
	}
	rates := func(b *testing.B, s *engine.Shard, low, high uint64) {
		if err := s.Rates(context.Background(), span.RateQuery{StartMin: low, StartMax: high, Step: 10 * minute}, span.NewRates()); err != nil {
			b.Fatal(err)
		}
	}
	questions := []struct {
		name string
		ask  func(b *testing.B, s *engine.Shard, low, high uint64)
	}{{"graph", graph}, {"rates", rates}}
	for _, q := range questions {
		b.Run(q.name+"/first", func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
				s = splitShard(b, disk, nil)
				// A question of a time without spans opens nothing of segments, and finds split traces.
				q.ask(b, s, 1, 2)
				b.StartTimer()
				q.ask(b, s, 0, math.MaxUint64)
			}
		})
	}
	ask := func(state string) {
		for _, q := range questions {
			for _, r := range ranges {
				q.ask(b, s, 0, math.MaxUint64)
				b.Run(q.name+"/"+state+r.name, func(b *testing.B) {
					for b.Loop() {
						q.ask(b, s, r.low, r.high)
					}
				})
			}
		}
	}
	ask("again, ")
	applySplit(b, s, splitSegments, requests[splitSegments])
	ask("in memory too, ")
}

// fixed64 is a field of eight bytes.
func fixed64(number int, v uint64) []byte {
	out := []byte{byte(number<<3 | 1)}
	for range 8 {
		out, v = append(out, byte(v)), v>>8
	}
	return out
}
