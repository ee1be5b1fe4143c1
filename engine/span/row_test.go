package span_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/stoadb/stoa/engine/span"
)

// changes are all the ways in which a span can be another span.
var changes = map[string]func(b *span.Batch){
	"resource message":  func(b *span.Batch) { b.Resources[0].Message = b.AddText([]byte("other")) },
	"resource presence": func(b *span.Batch) { b.Resources[0].Present = false },
	"resource schema":   func(b *span.Batch) { b.Resources[0].SchemaURL = 0 },
	"scope message":     func(b *span.Batch) { b.Scopes[0].Message = 0 },
	"scope presence":    func(b *span.Batch) { b.Scopes[0].Present = false },
	"scope schema":      func(b *span.Batch) { b.Scopes[0].SchemaURL = b.AddText([]byte("x")) },
	"trace id":          func(b *span.Batch) { b.TraceIDs[0][15] = 1 },
	"span id":           func(b *span.Batch) { b.SpanIDs[0][7] = 1 },
	"parent":            func(b *span.Batch) { b.ParentIDs[0] = span.SpanID{} },
	"start":             func(b *span.Batch) { b.Starts[0]++ },
	"end":               func(b *span.Batch) { b.Ends[0]++ },
	"name":              func(b *span.Batch) { b.Names[0] = 0 },
	"kind":              func(b *span.Batch) { b.Kinds[0] = -6 },
	"status code":       func(b *span.Batch) { b.StatusCodes[0] = 1 },
	"status message":    func(b *span.Batch) { b.StatusMessages[0] = 0 },
	"status presence":   func(b *span.Batch) { b.StatusPresent[0] = false },
	"trace state":       func(b *span.Batch) { b.TraceStates[0] = b.Names[0] },
	"flags":             func(b *span.Batch) { b.Flags[0] = 0 },
	"dropped attrs":     func(b *span.Batch) { b.DroppedAttrs[0] = 0 },
	"dropped events":    func(b *span.Batch) { b.DroppedEvents[0] = 0 },
	"dropped links":     func(b *span.Batch) { b.DroppedLinks[0] = 0 },
	"residue":           func(b *span.Batch) { b.Residues[0] = 0 },
	"attribute key":     func(b *span.Batch) { b.Attrs[0].Key = 0 },
	"attribute text":    func(b *span.Batch) { b.Attrs[0].Value = 0 },
	"attribute type":    func(b *span.Batch) { b.Attrs[0].Type = span.BytesValue },
	"attribute number":  func(b *span.Batch) { b.Attrs[1].Value = math.MaxUint64 },
	"attribute order":   func(b *span.Batch) { b.AttrIDs[0], b.AttrIDs[1] = b.AttrIDs[1], b.AttrIDs[0] },
	"attribute twice":   func(b *span.Batch) { b.AttrIDs[0] = b.AttrIDs[1] },
	"attribute gone":    func(b *span.Batch) { b.AttrEnds[0] = 1 },
	"event time":        func(b *span.Batch) { b.Events[0].Time = 0 },
	"event name":        func(b *span.Batch) { b.Events[0].Name = 0 },
	"event dropped":     func(b *span.Batch) { b.Events[0].Dropped = 0 },
	"event residue":     func(b *span.Batch) { b.Events[0].Residue = 0 },
	"event attribute":   func(b *span.Batch) { b.EventAttrs[0].Value = 0 },
	"event's attribute is the other's": func(b *span.Batch) {
		b.Events[0].AttrEnd = 0
	},
	"event gone":       func(b *span.Batch) { b.EventEnds[0] = 1 },
	"link trace id":    func(b *span.Batch) { b.Links[0].TraceID = span.TraceID{} },
	"link span id":     func(b *span.Batch) { b.Links[0].SpanID = span.SpanID{} },
	"link state":       func(b *span.Batch) { b.Links[0].TraceState = 0 },
	"link dropped":     func(b *span.Batch) { b.Links[0].Dropped = 0 },
	"link flags":       func(b *span.Batch) { b.Links[0].Flags = 0 },
	"link residue":     func(b *span.Batch) { b.Links[0].Residue = 0 },
	"link attribute":   func(b *span.Batch) { b.LinkAttrs[0].Type = span.IntValue },
	"link's attribute": func(b *span.Batch) { b.Links[0].AttrEnd = 0 },
	"link gone":        func(b *span.Batch) { b.LinkEnds[0] = 1 },
}

func TestEveryColumnIsPartOfASpansIdentity(t *testing.T) {
	seen := map[string]string{content(one()): "nothing"}
	for name, change := range changes {
		b := one()
		change(b)
		if before, twice := seen[content(b)]; twice {
			t.Errorf("changing %s looks like changing %s", name, before)
		}
		seen[content(b)] = name
		if span.Compare(span.Row{Batch: b}, span.Row{Batch: one()}) == 0 && name != "trace id" {
			t.Errorf("a span with another %s counts as the same", name)
		}
	}
}

func TestIdentityDoesNotDependOnWhereTextStands(t *testing.T) {
	b := one()
	moved := &span.Batch{}
	moved.AddText([]byte("something before"))
	for i := 1; i < len(b.TextEnd); i++ {
		moved.AddText(b.Bytes(span.TextID(i)))
	}
	shift := func(id span.TextID) span.TextID {
		if id == 0 {
			return 0
		}
		return id + 1
	}
	text, ends := moved.Text, moved.TextEnd
	*moved = *one()
	moved.Text, moved.TextEnd = text, ends
	for _, ids := range [][]span.TextID{moved.Names, moved.StatusMessages, moved.TraceStates, moved.Residues} {
		ids[0] = shift(ids[0])
	}
	for _, list := range [][]span.Attr{moved.Attrs, moved.EventAttrs, moved.LinkAttrs} {
		for i := range list {
			list[i].Key = shift(list[i].Key)
			if list[i].Type.HasText() {
				list[i].Value = uint64(shift(span.TextID(list[i].Value)))
			}
		}
	}
	for i := range moved.Events {
		moved.Events[i].Name, moved.Events[i].Residue = shift(moved.Events[i].Name), shift(moved.Events[i].Residue)
	}
	for i := range moved.Links {
		moved.Links[i].TraceState, moved.Links[i].Residue = shift(moved.Links[i].TraceState), shift(moved.Links[i].Residue)
	}
	r, s := &moved.Resources[0], &moved.Scopes[0]
	r.Message, r.SchemaURL, s.Message, s.SchemaURL = shift(r.Message), shift(r.SchemaURL), shift(s.Message), shift(s.SchemaURL)
	if content(b) != content(moved) || span.Compare(span.Row{Batch: b}, span.Row{Batch: moved}) != 0 {
		t.Error("the same span in two batches counts as two")
	}
}

// TestNeighbouringTextsCannotBeConfused draws two texts in neighbouring columns: moving
// bytes from one to the other makes another span.
func TestNeighbouringTextsCannotBeConfused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 4), 8, 8)
		draw := func(name string) (string, []byte) {
			b := one()
			list := texts.Draw(t, name)
			b.Names[0], b.StatusMessages[0] = b.AddText(list[0]), b.AddText(list[1])
			b.TraceStates[0], b.Residues[0] = b.AddText(list[2]), b.AddText(list[3])
			b.Attrs[0].Key, b.Attrs[0].Value = b.AddText(list[4]), uint64(b.AddText(list[5]))
			b.Attrs[1] = span.Attr{Key: b.AddText(list[6]), Type: span.BytesValue, Value: uint64(b.AddText(list[7]))}
			key := ""
			for _, text := range list {
				key += string(rune(len(text))) + string(text)
			}
			return key, []byte(content(b))
		}
		keyA, a := draw("a")
		keyB, b := draw("b")
		if (keyA == keyB) != (string(a) == string(b)) {
			t.Fatalf("texts %q and %q: contents equal is %v", keyA, keyB, string(a) == string(b))
		}
	})
}

func TestRowsOfATraceAreOrderedByStartSpanIDAndKind(t *testing.T) {
	base := span.Row{Batch: one()}
	for name, change := range map[string]func(b *span.Batch){
		"later start":       func(b *span.Batch) { b.Starts[0]++; b.SpanIDs[0] = span.SpanID{} },
		"start beyond 2262": func(b *span.Batch) { b.Starts[0] = math.MaxUint64; b.SpanIDs[0] = span.SpanID{} },
		"larger span id":    func(b *span.Batch) { b.SpanIDs[0][0]++; b.Kinds[0] = 0 },
		"larger kind":       func(b *span.Batch) { b.Kinds[0]++; b.Flags[0] = 0 },
	} {
		later := one()
		change(later)
		row := span.Row{Batch: later}
		if span.Compare(base, row) >= 0 || span.Compare(row, base) <= 0 {
			t.Errorf("%s does not come later", name)
		}
	}
	for name, change := range changes {
		other := one()
		change(other)
		row := span.Row{Batch: other}
		if span.Compare(base, row) != -span.Compare(row, base) {
			t.Errorf("%s: the order depends on who asks", name)
		}
	}
}

func TestDurationIsZeroWhereItMakesNoSense(t *testing.T) {
	for _, c := range []struct{ start, end, want uint64 }{
		{5, 7, 2}, {7, 7, 0}, {7, 5, 0}, {0, math.MaxInt64, math.MaxInt64}, {0, math.MaxInt64 + 1, 0}, {math.MaxUint64, 0, 0},
	} {
		if got := span.Duration(c.start, c.end); got != c.want {
			t.Errorf("Duration(%d, %d) = %d, want %d", c.start, c.end, got, c.want)
		}
	}
}

func TestARowGivesItsOwnPartOfEachList(t *testing.T) {
	b := one()
	b.AttrEnds = []uint32{0, 2}
	b.EventEnds, b.LinkEnds = []uint32{2, 2}, []uint32{1, 2}
	first, second := span.Row{Batch: b}, span.Row{Batch: b, Pos: 1}
	if len(first.AttrIDs()) != 0 || len(second.AttrIDs()) != 2 {
		t.Errorf("%d and %d attributes", len(first.AttrIDs()), len(second.AttrIDs()))
	}
	if begin, end := first.EventRange(); begin != 0 || end != 2 {
		t.Errorf("events %d to %d", begin, end)
	}
	if begin, end := second.LinkRange(); begin != 1 || end != 2 {
		t.Errorf("links %d to %d", begin, end)
	}
	if len(b.EventAttrsOf(0)) != 1 || len(b.EventAttrsOf(1)) != 0 || len(b.LinkAttrsOf(0)) != 1 || len(b.LinkAttrsOf(1)) != 0 {
		t.Error("attributes of events or links")
	}
}
