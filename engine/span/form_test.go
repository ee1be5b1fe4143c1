package span_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
	"github.com/stoadb/stoa/internal/codec"
)

// goldenForm is the form of two rows, the first of which has a value of its own in every
// column. These bytes are in logs.
var goldenForm = strings.Join([]string{
	"021a",                           // rows, texts
	"0500c8c795da49573735d5a98c1301", // lengths of texts, 0 for the message that its attribute gives
	"0201020301011a0000010101050607080101040401180219090402",                                                   // resources, scopes, attributes
	"0101000000000000000000000000000000020002",                                                                 // traces
	"0200000000000000090000000000000003010c0300000000000000",                                                   // spans, parents
	"0400d004010100feffffffffffffffff01",                                                                       // starts, durations
	"ffef030002010600f9ffffff0f03000203000202000103000204000705000805000905000a03000803010c030002030002030002", // columns of rows
	"1f04102003000205000d030002030002",                                                                         // of events
	"010f0000000000000000000000000000000000000000000000000000000000000010000000000000000000000000000000",       // ids of links
	"1f0300020600110006001200030003030002",                                                                     // columns of links
	"0406000e0201100404021303050316050300",                                                                     // shapes
	"030108001600010013",                                                                                       // values
	"090604020860a98404",                                                                                       // strays
	"7265736f757263657265736f757263652075726c736572766963657265736f75726365206b657973636f706573636f70652075726c73636f7065206e616d6573636f70652076657273696f6e73636f7065206b65796e616d656d6573736167657374617465726573696475656b657976616c75656b65796576656e746576656e7420726573696475656576656e74206b65796c696e6b2073746174656c696e6b20726573696475656c696e6b206b65796e65776b76", // text
}, "")

// two gives the batch of goldenForm: one, and behind it a child of it that has next to nothing.
func two() *span.Batch {
	b := one()
	b.TraceIDs = append(b.TraceIDs, b.TraceIDs[0])
	b.SpanIDs = append(b.SpanIDs, span.SpanID{9})
	b.ParentIDs = append(b.ParentIDs, b.SpanIDs[0])
	b.Starts, b.Ends = append(b.Starts, 300), append(b.Ends, 299)
	b.Names, b.Kinds = append(b.Names, b.Names[0]), append(b.Kinds, -1)
	b.StatusCodes, b.StatusMessages, b.StatusPresent = append(b.StatusCodes, 0), append(b.StatusMessages, 0), append(b.StatusPresent, false)
	b.TraceStates, b.Flags = append(b.TraceStates, 0), append(b.Flags, 0)
	b.DroppedAttrs, b.DroppedEvents, b.DroppedLinks = append(b.DroppedAttrs, 0), append(b.DroppedEvents, 0), append(b.DroppedLinks, 0)
	b.ResourceIDs, b.ScopeIDs = append(b.ResourceIDs, 1), append(b.ScopeIDs, 0)
	b.AttrEnds, b.EventEnds, b.LinkEnds = append(b.AttrEnds, 3), append(b.EventEnds, 2), append(b.LinkEnds, 2)
	b.Residues = append(b.Residues, 0)
	b.AddAttr(span.Attr{Key: b.Attrs[0].Key, Type: span.StringValue, Value: uint64(b.AddText([]byte("new")))})
	// A resource as senders write it: its message is what its attributes say.
	key, value := b.AddText([]byte("k")), b.AddText([]byte("v"))
	b.Resources = append(b.Resources, span.Resource{
		Message: b.AddText([]byte("\x0a\x08\x0a\x01k\x12\x03\x0a\x01v")), Present: true, AttrEnd: uint32(len(b.ResourceAttrs) + 1),
	})
	b.ResourceAttrs = append(b.ResourceAttrs, span.Attr{Key: key, Type: span.StringValue, Value: uint64(value)})
	return b
}

func TestGoldenForm(t *testing.T) {
	form := two().AppendBinary(nil)
	if got := hex.EncodeToString(form); got != goldenForm {
		t.Fatalf("the format changed:\n got %s\nwant %s", got, goldenForm)
	}
	keeps(t, two())
}

// keeps checks that the form of a batch gives it back, in every field, in no more memory than
// it takes, and that it is the only form of it.
func keeps(t rapid.TB, b *span.Batch) []byte {
	t.Helper()
	form := b.AppendBinary([]byte("before"))
	if !bytes.HasPrefix(form, []byte("before")) {
		t.Fatal("AppendBinary does not append")
	}
	form = form[len("before"):]
	got, err := span.DecodeBatch(form, math.MaxInt32)
	if err != nil {
		t.Fatalf("%v: %x", err, form)
	}
	for pos := range b.Len() {
		x, y := span.Row{Batch: b, Pos: pos}.AppendAttrs(nil), span.Row{Batch: got, Pos: pos}.AppendAttrs(nil)
		if !slices.Equal(x, y) {
			t.Fatalf("row %d has attributes %v, want %v", pos, y, x)
		}
	}
	x, y := reflect.ValueOf(b).Elem(), reflect.ValueOf(got).Elem()
	for i := range x.NumField() {
		a, b := x.Field(i), y.Field(i)
		if name := x.Type().Field(i).Name; name == "Attrs" || name == "AttrIDs" {
			continue // equal attributes may stand under other ids
		}
		if !(a.Kind() == reflect.Slice && a.Len() == 0 && b.Len() == 0) && !reflect.DeepEqual(a.Interface(), b.Interface()) {
			t.Fatalf("%s: %v, want %v", x.Type().Field(i).Name, b.Interface(), a.Interface())
		}
	}
	if again := got.AppendBinary(nil); !bytes.Equal(again, form) {
		t.Fatalf("another form of the same batch: %x, then %x", form, again)
	}
	memory := got.MemoryBytes()
	if _, err := span.DecodeBatch(form, memory); err != nil {
		t.Fatalf("refused within the memory that it takes: %v", err)
	}
	if _, err := span.DecodeBatch(form, memory/2); !errors.Is(err, codec.ErrCorrupt) {
		t.Fatalf("decoded in half of the memory that it takes: %v", err)
	}
	return form
}

// TestAWrongFormIsRefused: cut anywhere it is an error; with any bit flipped it is one, or the
// only form of another batch, that can be used.
func TestAWrongFormIsRefused(t *testing.T) {
	for name, b := range map[string]*span.Batch{"two": two(), "twenty": twenty(), "none": {TextEnd: []uint32{0}}} {
		t.Run(name, func(t *testing.T) {
			form := keeps(t, b)
			for cut := range form {
				if _, err := span.DecodeBatch(form[:cut], math.MaxInt32); !errors.Is(err, codec.ErrCorrupt) {
					t.Fatalf("cut at %d of %d: %v", cut, len(form), err)
				}
			}
			if _, err := span.DecodeBatch(append(form[:len(form):len(form)], 0), math.MaxInt32); !errors.Is(err, codec.ErrCorrupt) {
				t.Fatalf("with a byte more: %v", err)
			}
			refused := 0
			for bit := range 8 * len(form) {
				data := bytes.Clone(form)
				data[bit/8] ^= 1 << (bit % 8)
				if !strict(t, data) {
					refused++
				}
			}
			t.Logf("%d bits of %d refused", refused, 8*len(form))
		})
	}
}

// strict checks that bytes are the form of a batch that can be used, or refused.
func strict(t *testing.T, form []byte) (isForm bool) {
	t.Helper()
	b, err := span.DecodeBatch(form, 1<<20)
	if err != nil {
		if !errors.Is(err, codec.ErrCorrupt) {
			t.Fatalf("%v: %x", err, form)
		}
		return false
	}
	if again := b.AppendBinary(nil); !bytes.Equal(again, form) {
		t.Fatalf("what is read of\n%x has the form\n%x", form, again)
	}
	for _, attrs := range [][]span.Attr{b.Attrs, b.EventAttrs, b.LinkAttrs, b.ResourceAttrs, b.ScopeAttrs} {
		for _, a := range attrs {
			if a.Type == span.BoolValue && a.Value > 1 || a.Type <= span.EmptyValue && a.Value != 0 {
				t.Fatalf("a value that no walker makes: %+v", a)
			}
		}
	}
	if b.MemoryBytes() > 1<<20 {
		t.Fatalf("%d bytes of memory", b.MemoryBytes())
	}
	if told(b) < 1<<20 {
		use(t, b)
	}
	return true
}

// told is about how long the batch is when all is written out: a text may be named often.
func told(b *span.Batch) (bytes int) {
	for pos := range b.Len() {
		row := span.Row{Batch: b, Pos: pos}
		bytes += len(b.Text) / 8 // its name and residues, of which each may be much of all text
		for _, a := range row.AppendAttrs(nil) {
			bytes += b.TextBytes(a.Key) + 8
			if a.Type.HasText() {
				bytes += b.TextBytes(span.TextID(a.Value))
			}
		}
	}
	return bytes
}

// use does with a batch what shards and askers do.
func use(t *testing.T, b *span.Batch) {
	t.Helper()
	e := otlp.NewEncoder(func([]byte) error { return nil })
	var rows []span.Row
	for pos := range b.Len() {
		row := span.Row{Batch: b, Pos: pos}
		rows = append(rows, row)
		span.AppendContent(nil, row)
		for _, a := range row.AppendAttrs(nil) {
			otlp.AppendText(nil, b, a)
			otlp.Meaning(b, a)
		}
		if err := e.Add(row); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Flush(); err != nil {
		t.Fatal(err)
	}
	otlp.AppendTraces(nil, rows)
}

// twenty gives rows of all kinds of columns: values that repeat, rise, are far apart; texts of
// several columns; parents in the batch and elsewhere.
func twenty() *span.Batch {
	b := &span.Batch{TextEnd: []uint32{0}}
	text := func(parts ...any) span.TextID {
		return b.AddText([]byte(strings.TrimSpace(strings.Repeat(" x", len(parts)) + string(binary.AppendUvarint(nil, uint64(len(b.TextEnd))+33)))))
	}
	b.Resources = []span.Resource{{Present: true}}
	b.Scopes = []span.Scope{{}, {Name: text("s"), Present: true}}
	keys := []span.TextID{text("a"), text("b", 1), text("c", 1, 2), text("d")}
	shared := []span.TextID{text("e"), text("f"), text("g")}
	for i := range 20 {
		b.TraceIDs = append(b.TraceIDs, span.TraceID{1, 15: byte(i % 3)})
		b.SpanIDs = append(b.SpanIDs, span.SpanID{byte(i%17 + 1), 7})
		b.ParentIDs = append(b.ParentIDs, [4]span.SpanID{{}, {byte(i%19 + 1), 7}, {0xee}, {byte(i%5 + 1), 7}}[i%4])
		b.Starts = append(b.Starts, 1<<60+uint64(i*i)*1_000_003)
		b.Ends = append(b.Ends, b.Starts[i]+uint64(i)<<(3*i))
		b.Names, b.Kinds = append(b.Names, shared[i%3]), append(b.Kinds, int32(i%6))
		b.StatusCodes, b.StatusMessages, b.StatusPresent = append(b.StatusCodes, int32(i%3)), append(b.StatusMessages, 0), append(b.StatusPresent, i%3 == 0)
		b.TraceStates, b.Flags, b.Residues = append(b.TraceStates, 0), append(b.Flags, 0x101), append(b.Residues, 0)
		b.DroppedAttrs, b.DroppedEvents, b.DroppedLinks = append(b.DroppedAttrs, uint32(i/19)), append(b.DroppedEvents, 0), append(b.DroppedLinks, 0)
		b.ResourceIDs, b.ScopeIDs = append(b.ResourceIDs, 0), append(b.ScopeIDs, uint32(i/10))
		for j, key := range keys[:i%5] {
			a := span.Attr{Key: key, Type: [4]span.ValueType{span.StringValue, span.IntValue, span.BytesValue, span.DoubleValue}[j]}
			switch {
			case j == 0:
				a.Value = uint64(text(i))
			case a.Type.HasText():
				a.Value = uint64(shared[(i/2)%3])
			default:
				a.Value = uint64(i-10) * 77
			}
			b.AddAttr(a)
		}
		b.AttrEnds = append(b.AttrEnds, uint32(len(b.AttrIDs)))
		if i%7 == 0 {
			b.EventAttrs = append(b.EventAttrs, span.Attr{Key: keys[0], Type: span.StringValue, Value: uint64(text("ev"))})
			b.Events = append(b.Events, span.Event{Time: b.Starts[i] + 5, Name: shared[0], AttrEnd: uint32(len(b.EventAttrs))})
			b.Links = append(b.Links, span.Link{Flags: 1, Dropped: uint32(i)})
		}
		b.EventEnds, b.LinkEnds = append(b.EventEnds, uint32(len(b.Events))), append(b.LinkEnds, uint32(len(b.Links)))
	}
	return b
}

// drawBatch draws any batch that a walker could make, and many that it would not.
func drawBatch(t *rapid.T) *span.Batch {
	b := &span.Batch{TextEnd: []uint32{0}}
	texts := rapid.IntRange(0, 30).Draw(t, "texts")
	for i := range texts {
		b.AddText(append(binary.AppendUvarint(nil, uint64(i)), rapid.StringN(0, 9, -1).Draw(t, "text")...))
	}
	id := func() span.TextID { return span.TextID(rapid.IntRange(0, texts).Draw(t, "id")) }
	number := rapid.OneOf(rapid.Uint64Range(0, 3), rapid.Uint64Range(1<<20, 1<<20+200), rapid.Uint64())
	small := rapid.OneOf(rapid.Just(uint32(0)), rapid.Uint32Range(0, 3), rapid.Uint32())
	attrs := func(dst []span.Attr) []span.Attr {
		for range rapid.IntRange(0, 4).Draw(t, "attributes") {
			a := span.Attr{Key: id(), Type: span.ValueType(rapid.IntRange(0, span.ValueTypes-1).Draw(t, "type"))}
			switch {
			case a.Type.HasText():
				a.Value = uint64(id())
			case a.Type == span.BoolValue:
				a.Value = uint64(rapid.IntRange(0, 1).Draw(t, "bool"))
			case a.Type >= span.IntValue:
				a.Value = number.Draw(t, "value")
			}
			dst = append(dst, a)
		}
		return dst
	}
	envelopes := rapid.IntRange(1, 4).Draw(t, "envelopes")
	for range envelopes {
		b.ResourceAttrs, b.ScopeAttrs = attrs(b.ResourceAttrs), attrs(b.ScopeAttrs)
		b.Resources = append(b.Resources, span.Resource{Message: id(), SchemaURL: id(), Service: id(), AttrEnd: uint32(len(b.ResourceAttrs)), Present: rapid.Bool().Draw(t, "present")})
		b.Scopes = append(b.Scopes, span.Scope{Message: id(), SchemaURL: id(), Name: id(), Version: id(), AttrEnd: uint32(len(b.ScopeAttrs)), Present: rapid.Bool().Draw(t, "present")})
	}
	spanID := func(least int) (s span.SpanID) {
		s[rapid.IntRange(0, 7).Draw(t, "byte")] = byte(rapid.IntRange(least, 5).Draw(t, "span"))
		return s
	}
	for range rapid.IntRange(0, 40).Draw(t, "rows") {
		var trace span.TraceID
		trace[rapid.IntRange(0, 15).Draw(t, "trace")] = 1
		b.TraceIDs = append(b.TraceIDs, trace)
		b.SpanIDs, b.ParentIDs = append(b.SpanIDs, spanID(1)), append(b.ParentIDs, spanID(0))
		b.Starts, b.Ends = append(b.Starts, number.Draw(t, "start")), append(b.Ends, number.Draw(t, "end"))
		b.Names, b.StatusMessages, b.TraceStates, b.Residues = append(b.Names, id()), append(b.StatusMessages, id()), append(b.TraceStates, id()), append(b.Residues, id())
		b.Kinds, b.StatusCodes = append(b.Kinds, int32(small.Draw(t, "kind"))), append(b.StatusCodes, int32(small.Draw(t, "code")))
		b.StatusPresent, b.Flags = append(b.StatusPresent, rapid.Bool().Draw(t, "status")), append(b.Flags, small.Draw(t, "flags"))
		b.DroppedAttrs, b.DroppedEvents, b.DroppedLinks = append(b.DroppedAttrs, small.Draw(t, "a")), append(b.DroppedEvents, small.Draw(t, "e")), append(b.DroppedLinks, small.Draw(t, "l"))
		b.ResourceIDs = append(b.ResourceIDs, uint32(rapid.IntRange(0, envelopes-1).Draw(t, "resource")))
		b.ScopeIDs = append(b.ScopeIDs, uint32(rapid.IntRange(0, envelopes-1).Draw(t, "scope")))
		for _, a := range attrs(nil) {
			b.AddAttr(a)
		}
		for range rapid.IntRange(0, 2).Draw(t, "events") {
			b.EventAttrs = attrs(b.EventAttrs)
			b.Events = append(b.Events, span.Event{Time: number.Draw(t, "time"), Name: id(), AttrEnd: uint32(len(b.EventAttrs)), Dropped: small.Draw(t, "dropped"), Residue: id()})
		}
		for range rapid.IntRange(0, 2).Draw(t, "links") {
			b.LinkAttrs = attrs(b.LinkAttrs)
			b.Links = append(b.Links, span.Link{TraceID: span.TraceID{byte(rapid.IntRange(0, 1).Draw(t, "linked"))}, SpanID: spanID(0), TraceState: id(),
				AttrEnd: uint32(len(b.LinkAttrs)), Dropped: small.Draw(t, "dropped"), Flags: small.Draw(t, "flags"), Residue: id()})
		}
		b.AttrEnds, b.EventEnds, b.LinkEnds = append(b.AttrEnds, uint32(len(b.AttrIDs))), append(b.EventEnds, uint32(len(b.Events))), append(b.LinkEnds, uint32(len(b.Links)))
	}
	return b
}

func TestAFormGivesAnyBatchBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { keeps(t, drawBatch(t)) })
}

// FuzzDecodeBatch: any bytes are refused, or the only form of a batch that can be used.
func FuzzDecodeBatch(f *testing.F) {
	for _, b := range []*span.Batch{two(), twenty(), {}} {
		f.Add(b.AppendBinary(nil))
	}
	for seed := range uint64(20) {
		b, _, err := otlp.Walk(enginetest.Payload(enginetest.NewGenerator(seed, 1+int(seed%5)).Spans(1 + int(seed))))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b.AppendBinary(nil))
	}
	f.Fuzz(func(t *testing.T, form []byte) { strict(t, form) })
}

// A small form can stand for much: what is alike in all rows takes next to nothing. The memory
// that its batch may take bounds what is made of it.
func TestASmallFormMakesNoLargeBatch(t *testing.T) {
	const rows, attrs = 2000, 100
	b := rowsAlike(rows, attrs)
	form := keeps(t, b)
	if len(form) > 20*rows || b.MemoryBytes() < 16*rows*attrs {
		t.Fatalf("a form of %d bytes for %d bytes of memory proves nothing", len(form), b.MemoryBytes())
	}
	refused(t, form, 10*len(form), 40*uint64(len(form)))
}

// Resources, scopes and their attributes are bounded too, before they are made.
func TestASmallLimitMakesNoManyEnvelopes(t *testing.T) {
	const many, limit = 100_000, 4096
	attrs := make([]span.Attr, many)
	for i := range attrs {
		attrs[i].Type = span.EmptyValue
	}
	for name, b := range map[string]*span.Batch{
		"resources":               {Resources: make([]span.Resource, many)},
		"scopes":                  {Scopes: make([]span.Scope, many)},
		"both":                    {Resources: make([]span.Resource, many), Scopes: make([]span.Scope, many)},
		"attributes of resources": {Resources: []span.Resource{{AttrEnd: many}}, ResourceAttrs: attrs},
		"attributes of scopes":    {Scopes: []span.Scope{{AttrEnd: many}}, ScopeAttrs: attrs},
	} {
		t.Run(name, func(t *testing.T) {
			form := b.AppendBinary(nil)
			if _, err := span.DecodeBatch(form, 2*b.MemoryBytes()); err != nil {
				t.Fatalf("with room for it: %v", err)
			}
			refused(t, form, limit, 16*limit)
		})
	}
}

// refused checks that a batch of at most so many bytes is not made of a form, and that this
// takes little.
func refused(t *testing.T, form []byte, bytesMax int, tookMax uint64) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := span.DecodeBatch(form, bytesMax)
	runtime.ReadMemStats(&after)
	if !errors.Is(err, codec.ErrCorrupt) {
		t.Error(err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > tookMax {
		t.Errorf("%d bytes taken to refuse a form of %d", took, len(form))
	}
}

// A text that many keys share has a stray for each of them in each row; the batch that is read names
// each attribute once all the same. So it is for texts that come again, and the empty one.
func TestAFormNamesAttributesOnce(t *testing.T) {
	const rows, keys, values = 100, 5, 3
	b := rowsAlike(rows, 0)
	shared := b.AddText([]byte("shared"))
	var ids [keys]span.TextID
	for i := range ids {
		ids[i] = b.AddText([]byte{'k', byte(i)})
	}
	others := []span.TextID{0, b.AddText([]byte("one")), b.AddText([]byte("two"))}
	for i := range rows {
		for _, key := range ids {
			b.AddAttr(span.Attr{Key: key, Type: span.StringValue, Value: uint64(shared)})
		}
		b.AddAttr(span.Attr{Key: ids[0], Type: span.BytesValue, Value: uint64(others[i%values])})
		b.AttrEnds[i] = uint32(len(b.AttrIDs))
	}
	got, err := span.DecodeBatch(keeps(t, b), math.MaxInt32)
	if err != nil || len(got.Attrs) != keys+values {
		t.Fatalf("%d attributes in the table, want %d: %v", len(got.Attrs), keys+values, err)
	}
}

// rowsAlike gives rows that differ in their span ids alone.
func rowsAlike(rows, attrs int) *span.Batch {
	b := &span.Batch{}
	key := b.AddText([]byte("key"))
	b.Resources, b.Scopes = make([]span.Resource, 1), make([]span.Scope, 1)
	for i := range rows {
		b.SpanIDs = append(b.SpanIDs, span.SpanID(binary.BigEndian.AppendUint64(nil, uint64(i+1))))
		b.TraceIDs = append(b.TraceIDs, span.TraceID{1})
		for range attrs {
			b.AddAttr(span.Attr{Key: key, Type: span.IntValue, Value: 7})
		}
		b.AttrEnds = append(b.AttrEnds, uint32(len(b.AttrIDs)))
	}
	b.ParentIDs, b.Starts, b.Ends = make([]span.SpanID, rows), make([]uint64, rows), make([]uint64, rows)
	b.Names, b.StatusMessages, b.TraceStates, b.Residues = make([]span.TextID, rows), make([]span.TextID, rows), make([]span.TextID, rows), make([]span.TextID, rows)
	b.Kinds, b.StatusCodes, b.StatusPresent, b.Flags = make([]int32, rows), make([]int32, rows), make([]bool, rows), make([]uint32, rows)
	b.DroppedAttrs, b.DroppedEvents, b.DroppedLinks = make([]uint32, rows), make([]uint32, rows), make([]uint32, rows)
	b.ResourceIDs, b.ScopeIDs, b.EventEnds, b.LinkEnds = make([]uint32, rows), make([]uint32, rows), make([]uint32, rows), make([]uint32, rows)
	return b
}
