package segment_test

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
)

var update = flag.Bool("update", false, "write the golden files again")

// readable is four spans in two traces, as a person would make them up.
func readable() *span.Batch {
	b := new(span.Batch)
	text := func(s string) span.TextID { return b.AddText([]byte(s)) }
	attr := func(key string, kind span.ValueType, value uint64) span.Attr {
		return span.Attr{Key: text(key), Type: kind, Value: value}
	}
	b.ResourceAttrs = []span.Attr{attr("service.name", span.StringValue, uint64(text("shop")))}
	b.Resources = []span.Resource{{Message: text("\n\x16\n\fservice.name\x12\x06\n\x04shop"), Service: text("shop"), AttrEnd: 1, Present: true}, {AttrEnd: 1}}
	b.Scopes = []span.Scope{{Name: text("otel"), Message: text("\n\x04otel"), Present: true}}
	a, c := span.TraceID{15: 0xa1}, span.TraceID{0: 0xc0, 15: 1}
	second := uint64(1_700_000_000_000_000_000)
	b.TraceIDs = []span.TraceID{a, a, a, c}
	b.SpanIDs = []span.SpanID{{7: 1}, {7: 2}, {7: 3}, {7: 9}}
	b.ParentIDs = []span.SpanID{{}, {7: 1}, {7: 2}, {7: 1}} // the last one's parent id stands in the other trace only
	b.Starts = []uint64{second, second + 1000, second + 2500, second + 2000}
	b.Ends = []uint64{second + 9000, second + 8000, second + 3500, second + 1999}
	b.Names = []span.TextID{text("GET /cart"), text("query"), text("query"), 0}
	b.Kinds = []int32{span.KindServer, span.KindClient, span.KindClient, -1}
	b.StatusCodes = []int32{0, 0, span.StatusError, 0}
	b.StatusMessages = []span.TextID{0, 0, text("timeout"), 0}
	b.StatusPresent = []bool{false, true, true, false}
	b.TraceStates = make([]span.TextID, 4)
	b.Flags = []uint32{257, 257, 257, 257}
	b.DroppedAttrs, b.DroppedEvents, b.DroppedLinks = make([]uint32, 4), make([]uint32, 4), make([]uint32, 4)
	b.ResourceIDs, b.ScopeIDs = []uint32{0, 0, 0, 1}, make([]uint32, 4)
	b.Residues = []span.TextID{0, 0, 0, text("\xa0\x06\x01")}
	for _, a := range []span.Attr{
		attr("http.status_code", span.IntValue, 200),
		attr("db", span.StringValue, uint64(text("pg"))), attr("db", span.StringValue, uint64(text("again"))),
		attr("http.status_code", span.StringValue, uint64(text("200"))), attr("ratio", span.DoubleValue, 0x7ff8000000000001),
		attr("db", span.StringValue, uint64(text("pg"))),
	} {
		b.AddAttr(a)
	}
	b.AttrEnds = []uint32{1, 3, 3, 6}
	b.EventAttrs = []span.Attr{attr("ok", span.BoolValue, 1)}
	b.Events = []span.Event{{Time: second + 1200, Name: text("retry"), AttrEnd: 1}}
	b.EventEnds = []uint32{0, 1, 1, 1}
	b.Links = []span.Link{{TraceID: a, SpanID: span.SpanID{7: 1}, TraceState: text("k=v")}}
	b.LinkEnds = []uint32{0, 0, 0, 1}
	return b
}

// wantGolden compares a file, as printed, with what testdata keeps of it.
func wantGolden(t *testing.T, fs vfs.FS, name string, hexBytes int, golden string) {
	t.Helper()
	var got bytes.Buffer
	if err := segment.Print(&got, fs, name, hexBytes); err != nil {
		t.Fatal(err)
	}
	golden = filepath.Join("testdata", golden)
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Fatalf("the format has changed; -update writes the new bytes where that is decided:\n%s", diff)
	}
}

// The format's bytes change only by decision: this is every byte of a small segment.
func TestTheBytesOfASegmentAreThese(t *testing.T) {
	fs := vfs.NewCrash(1)
	traces := inOrder(readable())
	write(t, fs, "small.seg", traces, 10)
	wantContents(t, open(t, fs, "small.seg"), traces)
	wantGolden(t, fs, "small.seg", 1<<20, "segment.golden")
}

// many is rows that vary as those of a service do: columns that stand alone of each kind, a
// map column, events and links, and more values of one key than a filter's list holds.
func many(rows int) *span.Batch {
	b := readable()
	resource, scope := b.Resources[0], b.Scopes[0]
	*b = span.Batch{Text: b.Text, TextEnd: b.TextEnd, Resources: []span.Resource{resource}, ResourceAttrs: b.ResourceAttrs, Scopes: []span.Scope{scope}}
	text := func(s string) span.TextID { return b.AddText([]byte(s)) }
	textAttr := func(key, value string) span.Attr {
		return span.Attr{Key: text(key), Type: span.StringValue, Value: uint64(text(value))}
	}
	for i := range rows {
		n := uint64(i)
		mixed := (n + 1) * 0x9e3779b97f4a7c15
		start := 1_700_000_000_000_000_000 + n*1000
		b.TraceIDs = append(b.TraceIDs, span.TraceID{13: byte(i >> 12), 14: byte(i >> 4), 15: 1})
		b.SpanIDs = append(b.SpanIDs, span.SpanID{6: byte(i >> 8), 7: byte(i)})
		b.ParentIDs = append(b.ParentIDs, span.SpanID{7: byte(i % 3)})
		b.Starts, b.Ends = append(b.Starts, start), append(b.Ends, start+mixed>>40)
		b.Names = append(b.Names, text(fmt.Sprint("GET /", i%3)))
		b.Kinds, b.StatusCodes = append(b.Kinds, span.KindServer), append(b.StatusCodes, int32(i%2)*span.StatusError)
		b.StatusMessages = append(b.StatusMessages, text([]string{"", "timeout"}[i%2]))
		b.StatusPresent = append(b.StatusPresent, i%2 == 1)
		b.TraceStates, b.Residues = append(b.TraceStates, 0), append(b.Residues, 0)
		b.Flags, b.ResourceIDs, b.ScopeIDs = append(b.Flags, 257), append(b.ResourceIDs, 0), append(b.ScopeIDs, 0)
		b.DroppedAttrs, b.DroppedEvents, b.DroppedLinks = append(b.DroppedAttrs, 0), append(b.DroppedEvents, 0), append(b.DroppedLinks, 0)
		attrs := []span.Attr{
			textAttr("method", []string{"GET", "PUT"}[i%2]),
			textAttr("half", []string{"first", "second"}[2*i/rows]),
			textAttr("order", fmt.Sprintf("order %x", mixed>>20)),
			textAttr("customer", fmt.Sprint("customer ", mixed%11)),
			textAttr("request", fmt.Sprintf("%08x-0000-4000-8000-%012x", uint32(mixed), mixed>>16)),
			textAttr("digits", fmt.Sprint(mixed>>30)),
			{Key: text("bytes"), Type: span.IntValue, Value: mixed >> 44},
			{Key: text("ratio"), Type: span.DoubleValue, Value: math.Float64bits(float64(mixed>>50) / 8)},
			{Key: text("cached"), Type: span.BoolValue, Value: n % 2},
		}
		switch i % 8 {
		case 1:
			attrs = append(attrs, textAttr("mapped", fmt.Sprint("in the map ", i)), span.Attr{Key: text("mapped"), Type: span.IntValue, Value: n})
		case 2:
			b.EventAttrs = append(b.EventAttrs, textAttr("message", fmt.Sprintf("try %x", mixed>>30)), span.Attr{Key: text("mapped"), Type: span.BoolValue, Value: 1})
			b.Events = append(b.Events, span.Event{Time: start + 5, Name: text("retry"), AttrEnd: uint32(len(b.EventAttrs))})
		case 3:
			b.LinkAttrs = append(b.LinkAttrs, span.Attr{Key: text("batch"), Type: span.IntValue, Value: n % 16})
			b.Links = append(b.Links, span.Link{TraceID: span.TraceID{15: 1}, SpanID: span.SpanID{7: byte(i)}, TraceState: text("k=v"), AttrEnd: uint32(len(b.LinkAttrs))})
		}
		for _, a := range attrs {
			b.AddAttr(a)
		}
		b.AttrEnds = append(b.AttrEnds, uint32(len(b.AttrIDs)))
		b.EventEnds, b.LinkEnds = append(b.EventEnds, uint32(len(b.Events))), append(b.LinkEnds, uint32(len(b.Links)))
	}
	return b
}

// writeMany writes them as a flush does, but that the templates are full after so many rows
// and that one key finds no column of its own.
func writeMany(t testing.TB, fs vfs.FS, name string, traces []trace, shared int) {
	t.Helper()
	w, err := segment.NewWriter(fs, name, meta())
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []span.ValueType{span.StringValue, span.IntValue, span.BoolValue} {
		w.FillColumns(span.SpanLevel, kind, "mapped")
		w.FillColumns(span.EventLevel, kind, "mapped")
	}
	var all []span.Row
	for _, trace := range traces {
		all = append(all, trace.rows...)
	}
	w.Rehearse(all, len(all))
	rows := 0
	for _, trace := range traces {
		if rows += len(trace.rows); rows > shared {
			w.FillTemplates()
		}
		if err := w.Add(trace.id, trace.rows); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Finish(); err != nil {
		t.Fatal(err)
	}
}

// All that the format knows: templates of the segment and of a row group, columns of each
// kind, map columns, filters as lists and as fuse tables. The checksum in the tail tells of
// the bytes that are not shown.
func TestTheBytesOfAMixedSegmentAreThese(t *testing.T) {
	for golden, rows := range map[string]int{"lists.golden": 40, "tables.golden": 2100} {
		t.Run(golden, func(t *testing.T) {
			fs := vfs.NewCrash(1)
			traces := inOrder(many(rows))
			writeMany(t, fs, "mixed.seg", traces, rows/2)
			wantContents(t, open(t, fs, "mixed.seg"), traces)
			if err := segment.Verify(fs, "mixed.seg"); err != nil {
				t.Fatal(err)
			}
			hexBytes := 1 << 20
			if rows > 1000 {
				hexBytes = 16
			}
			wantGolden(t, fs, "mixed.seg", hexBytes, golden)
		})
	}
}

// The analysis accounts for every byte of a file of made-up spans too.
func TestTheAnalysisOfOddSpansAccountsForEveryByte(t *testing.T) {
	fs := vfs.NewCrash(1)
	info := write(t, fs, "s", inOrder(newOdd(3).batch(6000)), 10)
	s := open(t, fs, "s")
	defer s.Close()
	a, err := s.Analyze()
	if err != nil {
		t.Fatal(err)
	}
	sum := int64(0)
	for _, p := range a.Parts {
		sum += p.Bytes
	}
	if sum != info.Bytes {
		t.Fatalf("the parts have %d bytes, the file %d", sum, info.Bytes)
	}
}
