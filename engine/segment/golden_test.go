package segment_test

import (
	"bytes"
	"flag"
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
	b.Attrs = []span.Attr{
		attr("http.status_code", span.IntValue, 200),
		attr("db", span.StringValue, uint64(text("pg"))), attr("db", span.StringValue, uint64(text("again"))),
		attr("http.status_code", span.StringValue, uint64(text("200"))), attr("ratio", span.DoubleValue, 0x7ff8000000000001),
		attr("db", span.StringValue, uint64(text("pg"))),
	}
	b.AttrEnds = []uint32{1, 3, 3, 6}
	b.EventAttrs = []span.Attr{attr("ok", span.BoolValue, 1)}
	b.Events = []span.Event{{Time: second + 1200, Name: text("retry"), AttrEnd: 1}}
	b.EventEnds = []uint32{0, 1, 1, 1}
	b.Links = []span.Link{{TraceID: a, SpanID: span.SpanID{7: 1}, TraceState: text("k=v")}}
	b.LinkEnds = []uint32{0, 0, 0, 1}
	return b
}

// The format's bytes change only by decision: this is every byte of a small segment.
func TestTheBytesOfASegmentAreThese(t *testing.T) {
	fs := vfs.NewCrash(1)
	traces := inOrder(readable())
	write(t, fs, "small.seg", traces, 10)
	wantContents(t, open(t, fs, "small.seg"), traces)
	var got bytes.Buffer
	if err := segment.Print(&got, fs, "small.seg", 1<<20); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "segment.golden")
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

// The ledger accounts for every byte of the file.
func TestTheLedgerAccountsForEveryByte(t *testing.T) {
	fs := vfs.NewCrash(1)
	info := write(t, fs, "s", inOrder(newOdd(3).batch(6000)), 10)
	s := open(t, fs, "s")
	defer s.Close()
	sum := int64(0)
	for _, use := range s.Ledger() {
		sum += use.Bytes
	}
	if sum != info.Bytes {
		t.Fatalf("the ledger has %d bytes, the file %d", sum, info.Bytes)
	}
}
