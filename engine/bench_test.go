package engine_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
	"github.com/stoadb/stoa/internal/vfs"
)

// eachRequest visits the requests of a file of the shared set.
func eachRequest(tb testing.TB, file string, visit func(request []byte)) {
	tb.Helper()
	f, err := os.Open("../../shared/data/" + file)
	if err != nil {
		tb.Skip("SKIP: the shared data set is not here: ", err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	defer z.Close()
	in := bufio.NewReader(z)
	for {
		size, err := binary.ReadUvarint(in)
		if errors.Is(err, io.EOF) {
			return
		}
		request := make([]byte, size)
		if err == nil {
			_, err = io.ReadFull(in, request)
		}
		if err != nil {
			tb.Fatal(err)
		}
		visit(request)
	}
}

// realParts cuts a file of the shared set into the parts of one shard.
func realParts(tb testing.TB, file string) []otlp.Part {
	tb.Helper()
	var parts []otlp.Part
	eachRequest(tb, file, func(request []byte) {
		cut, _, err := otlp.Cut(request, 1, func(span.TraceID) int { return 0 })
		if err != nil {
			tb.Fatal(err)
		}
		parts = append(parts, cut...)
	})
	return parts
}

// loaded is a shard on a real folder with the parts applied.
func loaded(tb testing.TB, parts []otlp.Part, o engine.Options) (s *engine.Shard, spans int) {
	tb.Helper()
	disk, err := vfs.NewOS(tb.TempDir())
	if err != nil {
		tb.Fatal(err)
	}
	o.FS, o.Dir = disk, "shard-0"
	s, err = engine.Open(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s, applyAll(tb, s, parts)
}

func applyAll(tb testing.TB, s *engine.Shard, parts []otlp.Part) (spans int) {
	tb.Helper()
	for i, p := range parts {
		e := &engine.Entry{Received: 1_767_225_600_000_000_000 + int64(i), Parts: []engine.Part{engine.NewPart(p.Batch, p.Bytes)}}
		if _, err := s.Apply(uint64(i+1), e); err != nil {
			tb.Fatal(err)
		}
		spans += p.Spans
	}
	return spans
}

const (
	hotrod = "hotrod.otlp.zst"
	nezha  = "nezha-trainticket-2023-01-29.otlp.zst"

	nezhaLogs = "nezha-trainticket-2023-01-30-logs.otlp.zst"
)

// BenchmarkApply is the memtable's part of a write, without walk and flush.
func BenchmarkApply(b *testing.B) {
	parts := realParts(b, hotrod)
	spans := 0
	for b.Loop() {
		s, n := loaded(b, parts, engine.Options{MemtableBytesMax: 1 << 40})
		spans += n
		_ = s.Close()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(spans), "ns/span")
}

// BenchmarkFlush is sort, encode and sync of one full memtable.
func BenchmarkFlush(b *testing.B) {
	for _, file := range []string{hotrod, nezha} {
		b.Run(file, func(b *testing.B) {
			parts := realParts(b, file)
			spans, size := 0, int64(0)
			var took time.Duration
			for b.Loop() {
				s, n := loaded(b, parts, engine.Options{MemtableBytesMax: 1 << 40})
				from := time.Now()
				if err := s.Flush(context.Background()); err != nil {
					b.Fatal(err)
				}
				took += time.Since(from)
				spans += n
				size += s.Stats().SegmentBytes
				_ = s.Close()
			}
			b.ReportMetric(float64(took.Nanoseconds())/float64(spans), "ns/span")
			b.ReportMetric(float64(size)/float64(spans), "B/span")
		})
	}
}

// BenchmarkCompact merges everything a day's load left.
func BenchmarkCompact(b *testing.B) {
	parts := realParts(b, hotrod)
	spans, size := 0, int64(0)
	var took time.Duration
	for b.Loop() {
		s, n := loaded(b, parts, engine.Options{MemtableBytesMax: 8 << 20, ManualCompaction: true})
		if err := s.Flush(context.Background()); err != nil {
			b.Fatal(err)
		}
		from := time.Now()
		if err := s.Compact(context.Background()); err != nil {
			b.Fatal(err)
		}
		took += time.Since(from)
		spans += n
		size += s.Stats().SegmentBytes
		_ = s.Close()
	}
	b.ReportMetric(float64(took.Nanoseconds())/float64(spans), "ns/span")
	b.ReportMetric(float64(size)/float64(spans), "B/span")
}

// BenchmarkQueries asks one shard that holds all of HotROD, in memory and in one segment.
func BenchmarkQueries(b *testing.B) {
	parts := realParts(b, hotrod)
	ctx := context.Background()
	for _, state := range []string{"memtable", "segment"} {
		s, _ := loaded(b, parts, engine.Options{MemtableBytesMax: 1 << 40})
		if state == "segment" {
			if err := s.Flush(ctx); err != nil {
				b.Fatal(err)
			}
		}
		newest, err := s.Find(ctx, span.Query{StartMax: math.MaxUint64, Limit: 20})
		if err != nil {
			b.Fatal(err)
		}
		all, err := s.Find(ctx, span.Query{StartMax: math.MaxUint64, Limit: span.TracesFoundMax})
		if err != nil {
			b.Fatal(err)
		}
		tag := func(limit int, tags ...span.Tag) func() error {
			return func() error {
				_, err := s.Find(ctx, span.Query{StartMax: math.MaxUint64, Limit: limit, Tags: tags})
				return err
			}
		}
		i := 0
		for _, q := range []struct {
			name string
			ask  func() error
		}{
			{"find newest 20", tag(20)},
			{"find error 20", tag(20, span.Tag{Key: "error", Value: "true"})},
			{"find status code, all", tag(20_000, span.Tag{Key: "http.response.status_code", Value: "200"})},
			{"find a rare value", tag(20, span.Tag{Key: "http.response.status_code", Value: "599"})},
			{"find duration", func() error {
				_, err := s.Find(ctx, span.Query{StartMax: math.MaxUint64, Limit: 20, Service: "frontend", DurationMin: 1e9})
				return err
			}},
			{"get", func() error {
				i++
				return s.Get(ctx, all[i%len(all)].TraceID, func(chunk span.Chunk) error {
					_, err := bytes.NewReader(chunk.Bytes).Seek(0, io.SeekEnd)
					return err
				})
			}},
			{"summaries of 20", func() error { _, err := s.Summaries(ctx, newest); return err }},
			{"edges", func() error { return s.Edges(ctx, span.EdgeQuery{StartMax: math.MaxUint64}, span.NewEdges()) }},
			{"edges, scan", func() error {
				return s.Edges(ctx, span.EdgeQuery{StartMax: math.MaxUint64, Scan: true}, span.NewEdges())
			}},
			{"rates", func() error { return s.Rates(ctx, span.RateQuery{StartMax: math.MaxUint64}, span.NewRates()) }},
			{"rates, scan", func() error {
				return s.Rates(ctx, span.RateQuery{StartMax: math.MaxUint64, Scan: true}, span.NewRates())
			}},
		} {
			b.Run(state+"/"+q.name, func(b *testing.B) {
				for b.Loop() {
					if err := q.ask(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		_ = s.Close()
	}
}
