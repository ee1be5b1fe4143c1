package segment_test

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
	"github.com/stoadb/stoa/internal/codec"
)

var realFiles = []string{
	"hotrod.otlp.zst", "nezha-trainticket-2023-01-29.otlp.zst", "nezha-trainticket-2023-01-30-logs.otlp.zst", "zipkin-fixtures.otlp.zst",
}

// realBatches gives the spans of a file of real traces as one shard receives them, the
// first limit ones or so.
func realBatches(t testing.TB, name string, limit int) []*span.Batch {
	t.Helper()
	file, err := os.Open(filepath.Join("..", "..", "..", "shared", "data", name))
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("SKIP: %s is absent from ../shared/data of the repository root: nothing was proved over real traces", name)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	z, err := codec.NewZstdReader(file, codec.FileWindowBytesMax)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	all, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	var batches []*span.Batch
	for spans := 0; len(all) > 0 && spans < limit; {
		n, k := binary.Uvarint(all)
		parts, _, err := otlp.Cut(all[k:k+int(n)], 1, func(span.TraceID) int { return 0 })
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range parts {
			batches = append(batches, p.Batch)
			spans += p.Spans
		}
		all = all[k+int(n):]
	}
	return batches
}

// Real traces come back exactly from the disk, and from any page of it.
func TestRealTracesComeBackExactlyFromASegment(t *testing.T) {
	for _, name := range realFiles {
		t.Run(name, func(t *testing.T) {
			limit := 60_000
			if testing.Short() {
				limit = 5_000
			}
			fs := onDisk(t)
			traces := inOrder(realBatches(t, name, limit)...)
			info := write(t, fs, "s", traces, 100)
			s := open(t, fs, "s")
			defer s.Close()
			wantContents(t, s, traces)
			wantIndex(t, s, info, traces)
			if err := segment.Verify(fs, "s"); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d spans, %d traces, %.2f B/span", info.Rows, info.Traces, float64(info.Bytes)/float64(info.Rows))
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, name := range realFiles[:3] {
		b.Run(name, func(b *testing.B) {
			fs := onDisk(b)
			traces := inOrder(realBatches(b, name, 150_000)...)
			b.ReportAllocs()
			var info segment.Info
			for b.Loop() {
				info = write(b, fs, "s", traces, 1<<20)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*info.Rows), "ns/span")
			b.ReportMetric(float64(info.Bytes)/float64(info.Rows), "B/span")
		})
	}
}

func BenchmarkReadGroup(b *testing.B) {
	for _, name := range realFiles[:3] {
		fs := onDisk(b)
		write(b, fs, "s", inOrder(realBatches(b, name, 50_000)...), 1<<20)
		s := open(b, fs, "s")
		for _, read := range []struct {
			name string
			p    segment.Projection
		}{
			{"all", segment.Projection{All: true}},
			{"graph", segment.Projection{Times: true, Identity: true}},
			{"one key", segment.Projection{Times: true, Attrs: true, Keys: map[string]bool{"http.status_code": true}}},
		} {
			b.Run(name+"/"+read.name, func(b *testing.B) {
				b.ReportAllocs()
				rows := 0
				for b.Loop() {
					rows = 0
					for i := range s.Groups() {
						batch, err := s.ReadGroup(i, read.p)
						if err != nil {
							b.Fatal(err)
						}
						rows += batch.Len()
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/span")
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*s.Groups()), "us/group")
			})
		}
		s.Close()
	}
}

// BenchmarkOpen opens a segment as a folder does at a start; "tables" is the first question that comes to it, or
// the reading in the background, "whole" both and all checks.
func BenchmarkOpen(b *testing.B) {
	for _, name := range realFiles[:3] {
		fs := onDisk(b)
		info := write(b, fs, "s", inOrder(realBatches(b, name, 300_000)...), 1<<20)
		for _, read := range []struct {
			name string
			more func(f *segment.File) error
		}{
			{"start", func(*segment.File) error { return nil }},
			{"tables", func(f *segment.File) error { _, err := f.Segment(); return err }},
			{"whole", (*segment.File).Check},
		} {
			b.Run(name+"/"+read.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					f, err := segment.OpenFile(fs, "s", nil)
					if err != nil {
						b.Fatal(err)
					}
					if err := read.more(f); err != nil {
						b.Fatal(err)
					}
					f.Close()
				}
				perOpen := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
				b.ReportMetric(perOpen/float64(info.Rows), "ns/row")
				b.ReportMetric(perOpen/float64(info.Bytes), "s/GB")
			})
		}
	}
}
