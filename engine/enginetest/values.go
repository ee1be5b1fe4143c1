package enginetest

import (
	"encoding/hex"
	"math"
	"math/big"

	"github.com/stoadb/stoa/engine/span"
)

// values gives all values of an operand: none, one or several.
func (t teller) values(o span.Operand) []any {
	switch o := o.(type) {
	case span.Constant:
		return []any{o}
	case span.Attribute:
		return t.attribute(o)
	case span.Field:
		return t.field(o)
	}
	return nil
}

func (t teller) attribute(a span.Attribute) (values []any) {
	b, pos := t.row.Batch, t.row.Pos
	var lists [][]span.Attr
	if a.Unqualified || a.Level == span.SpanLevel {
		lists = append(lists, t.row.AppendAttrs(nil))
	}
	switch {
	case a.Unqualified || a.Level == span.ResourceLevel:
		lists = append(lists, b.ResourceAttrsOf(b.ResourceIDs[pos]))
	case a.Level == span.ScopeLevel:
		lists = append(lists, b.ScopeAttrsOf(b.ScopeIDs[pos]))
	case a.Level == span.EventLevel:
		for _, i := range t.events() {
			lists = append(lists, b.EventAttrsOf(i))
		}
	case a.Level == span.LinkLevel:
		for _, i := range t.links() {
			lists = append(lists, b.LinkAttrsOf(i))
		}
	}
	for _, list := range lists {
		var last []any
		for _, attr := range list {
			if b.String(attr.Key) == a.Key {
				last = []any{heldBy(b, attr)}
			}
		}
		values = append(values, last...)
	}
	return values
}

func (t teller) events() []uint32 { return elements(t.event, t.row.EventRange) }
func (t teller) links() []uint32  { return elements(t.link, t.row.LinkRange) }

func elements(bound int, all func() (uint32, uint32)) (positions []uint32) {
	if bound >= 0 {
		return []uint32{uint32(bound)}
	}
	begin, end := all()
	for i := begin; i < end; i++ {
		positions = append(positions, i)
	}
	return positions
}

func (t teller) field(f span.Field) []any {
	b, pos := t.row.Batch, t.row.Pos
	optional := func(text string) []any {
		if text == "" {
			return nil
		}
		return []any{text}
	}
	word := func(number int32, words ...string) []any {
		for i, w := range words {
			if int32(i) == number {
				return []any{w}
			}
		}
		return nil
	}
	switch f {
	case span.SpanTraceID:
		return []any{t.row.TraceID().String()}
	case span.SpanSpanID:
		return []any{t.row.SpanID().String()}
	case span.SpanParentSpanID:
		if t.row.ParentID() == (span.SpanID{}) {
			return nil
		}
		return []any{hex.EncodeToString(b.ParentIDs[pos][:])}
	case span.SpanTraceState:
		return optional(b.String(b.TraceStates[pos]))
	case span.SpanName:
		return []any{string(t.row.Name())}
	case span.SpanKind:
		return word(t.row.Kind(), "unspecified", "internal", "server", "client", "producer", "consumer")
	case span.SpanStartTime:
		return []any{instant(t.row.Start())}
	case span.SpanEndTime:
		return []any{instant(t.row.End())}
	case span.SpanStatus:
		return word(t.row.StatusCode(), "unset", "ok", "error")
	case span.SpanStatusMessage:
		return optional(b.String(b.StatusMessages[pos]))
	case span.SpanDuration:
		lasts := new(big.Int).Sub(instant(t.row.End()).Int, instant(t.row.Start()).Int)
		if lasts.Sign() < 0 || !lasts.IsInt64() {
			return []any{durationHeld(0)}
		}
		return []any{durationHeld(lasts.Int64())}
	case span.ResourceService:
		return optional(string(t.row.Service()))
	case span.ResourceSchemaURL:
		return optional(b.String(t.row.Resource().SchemaURL))
	case span.ScopeName:
		return optional(b.String(t.row.Scope().Name))
	case span.ScopeVersion:
		return optional(b.String(t.row.Scope().Version))
	case span.ScopeSchemaURL:
		return optional(b.String(t.row.Scope().SchemaURL))
	}
	return t.elementField(f)
}

func (t teller) elementField(f span.Field) (values []any) {
	b := t.row.Batch
	if f == span.EventName || f == span.EventTime || f == span.EventTimeSinceStart {
		for _, i := range t.events() {
			e := b.Events[i]
			switch f {
			case span.EventName:
				values = append(values, b.String(e.Name))
			case span.EventTime:
				values = append(values, instant(e.Time))
			default:
				since := new(big.Int).Sub(instant(e.Time).Int, instant(t.row.Start()).Int)
				values = append(values, durationHeld(nearest(since)))
			}
		}
		return values
	}
	for _, i := range t.links() {
		l := b.Links[i]
		values = append(values, map[span.Field]any{
			span.LinkTraceID: l.TraceID.String(), span.LinkSpanID: l.SpanID.String(), span.LinkTraceState: b.String(l.TraceState),
		}[f])
	}
	return values
}

func instant(nanos uint64) instantHeld { return instantHeld{new(big.Int).SetUint64(nanos)} }

// nearest is the int64 nearest to n.
func nearest(n *big.Int) int64 {
	switch {
	case n.IsInt64():
		return n.Int64()
	case n.Sign() < 0:
		return math.MinInt64
	}
	return math.MaxInt64
}
