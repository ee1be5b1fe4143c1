package compaction_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/stoadb/stoa/compaction"
	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// realRows gives spans of a file of real traces in the order received.
func realRows(t testing.TB, name string, limit int) (rows []span.Row) {
	t.Helper()
	file, err := os.Open(filepath.Join("..", "..", "shared", "data", name))
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
	for len(all) > 0 && len(rows) < limit {
		n, k := binary.Uvarint(all)
		parts, _, err := otlp.Cut(all[k:k+int(n)], 1, func(span.TraceID) int { return 0 })
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range parts {
			for pos := range p.Batch.Len() {
				rows = append(rows, span.Row{Batch: p.Batch, Pos: pos})
			}
		}
		all = all[k+int(n):]
	}
	return rows
}

func flushes(t testing.TB, fs vfs.FS, rows []span.Row, n int) (inputs []*segment.Segment) {
	t.Helper()
	for i := range n {
		part := rows[len(rows)*i/n : len(rows)*(i+1)/n]
		if i > 0 && i%3 == 0 {
			part = rows[len(rows)*(i-1)/n : len(rows)*(i+1)/n] // the part before once more
		}
		inputs = append(inputs, write(t, fs, string(rune('a'+i)), part, uint64(i)))
	}
	return inputs
}

// Real traces, cut into flushes as they came and some of them sent twice, come back whole.
func TestRealTracesAreMergedExactly(t *testing.T) {
	for _, name := range []string{"hotrod.otlp.zst", "nezha-trainticket-2023-01-30-logs.otlp.zst", "zipkin-fixtures.otlp.zst"} {
		t.Run(name, func(t *testing.T) {
			rows := realRows(t, name, 25_000)
			fs := vfs.NewCrash(1)
			if _, err := compaction.Merge(context.Background(), fs, flushes(t, fs, rows, 7), "out", nil); err != nil {
				t.Fatal(err)
			}
			wantRows(t, read(t, openSegment(t, fs, "out")), distinct(rows))
		})
	}
}

// A merge keeps what searches find of resources and scopes, which rows do not tell by their messages.
func TestAttributesOfResourcesAndScopesSurviveAMerge(t *testing.T) {
	attributes := func(s *segment.Segment) map[string]bool {
		all := map[string]bool{}
		tell := func(b *span.Batch, message, name span.TextID, attrs []span.Attr) {
			line := fmt.Sprintf("%q %q", b.Bytes(message), b.Bytes(name))
			for _, a := range attrs {
				if a.Type.HasText() {
					line += fmt.Sprintf(" %q:%d:%q", b.Bytes(a.Key), a.Type, b.Bytes(span.TextID(a.Value)))
				} else {
					line += fmt.Sprintf(" %q:%d:%d", b.Bytes(a.Key), a.Type, a.Value)
				}
			}
			all[line] = true
		}
		b := s.Resources()
		for i, r := range b.Resources {
			tell(b, r.Message, r.Service, b.ResourceAttrsOf(uint32(i)))
		}
		b = s.Scopes()
		for i, scope := range b.Scopes {
			tell(b, scope.Message, scope.Name, b.ScopeAttrsOf(uint32(i)))
		}
		return all
	}
	rows := realRows(t, "hotrod.otlp.zst", 25_000)
	fs := vfs.NewCrash(1)
	inputs := flushes(t, fs, rows, 5)
	want := map[string]bool{}
	for _, s := range inputs {
		maps.Copy(want, attributes(s))
	}
	if _, err := compaction.Merge(context.Background(), fs, inputs, "out", nil); err != nil {
		t.Fatal(err)
	}
	if got := attributes(openSegment(t, fs, "out")); len(want) < 2 || !maps.Equal(got, want) {
		t.Fatalf("%d resources and scopes, or others than the %d of the inputs", len(got), len(want))
	}
}

func BenchmarkMerge(b *testing.B) {
	for _, name := range []string{"hotrod.otlp.zst", "nezha-trainticket-2023-01-29.otlp.zst"} {
		b.Run(name, func(b *testing.B) {
			fs, err := vfs.NewOS(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			rows := realRows(b, name, 100_000)
			inputs := flushes(b, fs, rows, 8)
			var info segment.Info
			for b.Loop() {
				if info, err = compaction.Merge(context.Background(), fs, inputs, "out", nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*info.Rows), "ns/span")
			b.ReportMetric(float64(info.Bytes)/float64(info.Rows), "B/span")
		})
	}
}

// BenchmarkMergeFollowing merges inputs that follow each other in time, as flushes do.
func BenchmarkMergeFollowing(b *testing.B) {
	for _, name := range []string{"hotrod.otlp.zst", "nezha-trainticket-2023-01-29.otlp.zst"} {
		b.Run(name, func(b *testing.B) {
			fs, err := vfs.NewOS(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			inputs, _ := following(b, fs, name, 100_000, 4)
			var info segment.Info
			for b.Loop() {
				if info, err = compaction.Merge(context.Background(), fs, inputs, "out", nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*info.Rows), "ns/span")
			b.ReportMetric(float64(info.Bytes)/float64(info.Rows), "B/span")
		})
	}
}
