package span_test

import (
	"github.com/stoadb/stoa/engine/span"
)

// one gives a batch with one row in which every column has a value of its own.
func one() *span.Batch {
	b := &span.Batch{}
	text := func(s string) span.TextID { return b.AddText([]byte(s)) }
	b.AddText(nil)
	b.Resources = []span.Resource{{Message: text("resource"), SchemaURL: text("resource url"), Service: text("service"), AttrEnd: 1, Present: true}}
	b.ResourceAttrs = []span.Attr{{Key: text("resource key"), Type: span.IntValue, Value: 1}}
	b.Scopes = []span.Scope{{Message: text("scope"), SchemaURL: text("scope url"), Name: text("scope name"), Version: text("scope version"), AttrEnd: 1, Present: true}}
	b.ScopeAttrs = []span.Attr{{Key: text("scope key"), Type: span.IntValue, Value: 2}}
	b.TraceIDs, b.SpanIDs, b.ParentIDs = []span.TraceID{{1}}, []span.SpanID{{2}}, []span.SpanID{{3}}
	b.Starts, b.Ends = []uint64{4}, []uint64{5}
	b.Names, b.Kinds = []span.TextID{text("name")}, []int32{6}
	b.StatusCodes, b.StatusMessages, b.StatusPresent = []int32{2}, []span.TextID{text("message")}, []bool{true}
	b.TraceStates, b.Flags = []span.TextID{text("state")}, []uint32{7}
	b.DroppedAttrs, b.DroppedEvents, b.DroppedLinks = []uint32{8}, []uint32{9}, []uint32{10}
	b.ResourceIDs, b.ScopeIDs = []uint32{0}, []uint32{0}
	b.AttrEnds, b.EventEnds, b.LinkEnds = []uint32{2}, []uint32{2}, []uint32{2}
	b.Residues = []span.TextID{text("residue")}
	b.AttrIDs = []uint32{0, 1}
	b.Attrs = []span.Attr{{Key: text("key"), Type: span.StringValue, Value: uint64(text("value"))}, {Key: text("key"), Type: span.IntValue, Value: 11}}
	b.Events = []span.Event{{Time: 12, Name: text("event"), AttrEnd: 1, Dropped: 13, Residue: text("event residue")}, {Time: 14, AttrEnd: 1}}
	b.EventAttrs = []span.Attr{{Key: text("event key"), Type: span.BoolValue, Value: 1}}
	b.Links = []span.Link{{TraceID: span.TraceID{15}, SpanID: span.SpanID{16}, TraceState: text("link state"), AttrEnd: 1, Dropped: 17, Flags: 18, Residue: text("link residue")}, {AttrEnd: 1}}
	b.LinkAttrs = []span.Attr{{Key: text("link key"), Type: span.DoubleValue, Value: 19}}
	return b
}

func content(b *span.Batch) string {
	return string(span.AppendContent(nil, span.Row{Batch: b}))
}
