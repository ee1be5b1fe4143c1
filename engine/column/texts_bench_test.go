package column_test

import (
	"fmt"
	"testing"

	"github.com/stoadb/stoa/engine/column"
	"github.com/stoadb/stoa/internal/codec"
)

var realFiles = []string{"hotrod.otlp.zst", "nezha-trainticket-2023-01-30-logs.otlp.zst"}

// BenchmarkRealTexts reads and writes the text pages of real traces: all of a page, and 40
// values in its middle, which stand in the rows of a trace or two.
func BenchmarkRealTexts(b *testing.B) {
	for _, name := range realFiles {
		pages := realPages(b, name)
		b.Run(name+"/all columns", func(b *testing.B) { benchmarkPages(b, pages) })
		for _, one := range []string{"event message", "span url.full", "event driverID", "span name"} {
			var some []realPage
			for _, p := range pages {
				if p.column == one {
					some = append(some, p)
				}
			}
			if len(some) > 0 {
				b.Run(name+"/"+one, func(b *testing.B) { benchmarkPages(b, some) })
			}
		}
	}
}

func BenchmarkTexts(b *testing.B) {
	for _, l := range textLists(4096) {
		b.Run(l.name, func(b *testing.B) { benchmarkPages(b, []realPage{{l.name, l.values}}) })
	}
}

func benchmarkPages(b *testing.B, pages []realPage) {
	var texts column.Texts
	var kept column.Pages
	var payloads [][]byte
	values, size := 0, 0
	for _, p := range pages {
		payloads = append(payloads, payloadOf(p.values))
		values += len(p.values)
		size += len(payloads[len(payloads)-1]) + 5
	}
	b.Run("append", func(b *testing.B) {
		var page []byte
		for b.Loop() {
			for _, p := range pages {
				texts.Reset()
				for _, v := range p.values {
					texts.Add(v)
				}
				page = texts.AppendPage(page[:0], &kept)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(values), "ns/value")
		b.ReportMetric(float64(size)/float64(values), "B/value")
		b.ReportMetric(float64(size), "B")
	})
	table := column.NewTable()
	var ids []uint32
	read := func(b *testing.B, part func(n int) (from, to int)) {
		n := 0
		for b.Loop() {
			n = 0
			for i, payload := range payloads {
				table.Text, table.Ends = table.Text[:0], table.Ends[:1]
				c, err := column.OpenTexts(payload, len(pages[i].values))
				if err != nil {
					b.Fatal(err)
				}
				from, to := part(c.Len())
				if ids, err = column.DecodeTexts(ids[:0], &table, c, from, to); err != nil {
					b.Fatal(err)
				}
				n += to - from
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/value")
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(pages))/1000, "us/page")
	}
	b.Run("whole", func(b *testing.B) { read(b, func(n int) (int, int) { return 0, n }) })
	b.Run("40 values", func(b *testing.B) { read(b, func(n int) (int, int) { return n / 2, min(n/2+40, n) }) })
	b.Run("equal", func(b *testing.B) {
		var rows []uint32
		for b.Loop() {
			for i, payload := range payloads {
				c, err := column.OpenTexts(payload, len(pages[i].values))
				if err != nil {
					b.Fatal(err)
				}
				if rows, err = c.RowsEqual(rows[:0], pages[i].values[len(pages[i].values)/2]); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(values), "ns/value")
	})
}

// BenchmarkChunkSizes is what docs/decisions/0007-text-chunks.md weighs: the texts of each
// page, distinct ones once where there is a dictionary, in chunks of a size.
func BenchmarkChunkSizes(b *testing.B) {
	for _, name := range realFiles {
		pages := realPages(b, name)
		for _, size := range []int{8 << 10, 16 << 10, 32 << 10, 64 << 10, 256 << 10, 4 << 20} {
			b.Run(fmt.Sprintf("%s/%d KiB", name, size>>10), func(b *testing.B) { benchmarkChunks(b, pages, size) })
		}
	}
}

func benchmarkChunks(b *testing.B, pages []realPage, size int) {
	var chunks, frames [][]byte
	var middles []int // the chunk in the middle of each page
	values, total := 0, 0
	for _, p := range pages {
		var texts column.Texts
		for _, v := range p.values {
			texts.Add(v)
		}
		entries := p.values
		if 2*texts.Distinct() <= len(entries) {
			entries = nil
			for code := range texts.Distinct() {
				entries = append(entries, texts.Value(uint64(code)))
			}
		}
		first, chunk := len(chunks), []byte(nil)
		for _, v := range entries {
			if len(chunk) > 0 && len(chunk)+len(v) > size {
				chunks, chunk = append(chunks, chunk), nil
			}
			chunk = append(chunk, v...)
		}
		chunks = append(chunks, chunk)
		middles = append(middles, (first+len(chunks))/2)
		values += len(p.values)
	}
	for _, chunk := range chunks {
		frames = append(frames, codec.AppendZstdText(nil, chunk))
		total += min(len(frames[len(frames)-1]), len(chunk)) + 5
	}
	b.Run("encode", func(b *testing.B) {
		var out []byte
		for b.Loop() {
			for _, chunk := range chunks {
				out = codec.AppendZstdText(out[:0], chunk)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(values), "ns/value")
		b.ReportMetric(float64(total), "B")
	})
	decode := func(b *testing.B, which []int, pages int) {
		var out []byte
		var err error
		for b.Loop() {
			for _, i := range which {
				if out, err = codec.DecodeZstd(out[:0], frames[i], len(chunks[i])); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(pages)/1000, "us/page")
	}
	all := make([]int, len(chunks))
	for i := range all {
		all[i] = i
	}
	b.Run("whole", func(b *testing.B) { decode(b, all, len(pages)) })
	b.Run("one chunk", func(b *testing.B) { decode(b, middles, len(pages)) })
}
