package jaegerv1

import (
	"fmt"
	"math"
	"time"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/stoadb/stoa/api/pb/apiv2"
	"github.com/stoadb/stoa/api/wire"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// Request gives the OTLP export request, of one span, that says s. It brings s into the
// form that Normalize gives; the counts are those of Normalize.
func Request(s *apiv2.Span) ([]byte, otlp.Counts, error) {
	if counts, err := Normalize(s); err != nil {
		return nil, counts, err
	}
	message := &translation{from: s, taken: make([]bool, len(s.GetTags()))}
	traces := message.traces()
	bare, err := proto.Marshal(traces)
	if err != nil {
		return nil, otlp.Counts{}, fmt.Errorf("%w: span: %w", span.ErrInvalid, err)
	}
	batch, counts, err := otlp.Walk(bare)
	if err != nil {
		return nil, counts, err
	}
	plain := plainSpan(span.Row{Batch: batch}, plainProcess(batch, batch.ResourceIDs[0]))
	rest := appendRest(nil, s, plain)
	if len(rest) == 0 {
		return bare, otlp.Counts{}, nil
	}
	one := traces.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()[0]
	one.Attributes = append(one.GetAttributes(), &commonv1.KeyValue{
		Key: RestKey, Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_BytesValue{BytesValue: rest}},
	})
	full, err := proto.Marshal(traces)
	return full, otlp.Counts{}, err
}

// translation makes OTLP of one span. A tag that becomes a field is taken.
type translation struct {
	from  *apiv2.Span
	taken []bool // by tag
}

func (t *translation) traces() *tracev1.TracesData {
	resource := &resourcev1.Resource{}
	if process := t.from.GetProcess(); process != nil {
		resource.Attributes = append(resource.Attributes, textAttr(attrService, process.GetServiceName()))
		for _, tag := range process.GetTags() {
			if tag.GetKey() != attrService { // it would be the service
				resource.Attributes = append(resource.Attributes, attrOf(tag))
			}
		}
	}
	scope := &commonv1.InstrumentationScope{}
	var hasName bool
	if scope.Name, hasName = t.take(tagScopeName); hasName {
		scope.Version, _ = t.take(tagScopeVersion)
	}
	return &tracev1.TracesData{ResourceSpans: []*tracev1.ResourceSpans{{
		Resource:   resource,
		ScopeSpans: []*tracev1.ScopeSpans{{Scope: scope, Spans: []*tracev1.Span{t.span()}}},
	}}}
}

func (t *translation) span() *tracev1.Span {
	s := t.from
	start := nanosOf(s.GetStartTime())
	parent := parentOf(s)
	out := &tracev1.Span{
		TraceId:           s.GetTraceId(),
		SpanId:            s.GetSpanId(),
		ParentSpanId:      parent.GetSpanId(),
		Name:              s.GetOperationName(),
		StartTimeUnixNano: start,
		EndTimeUnixNano:   endOf(start, s.GetDuration().AsDuration()),
		Links:             linksOf(s, parent),
	}
	t.kind(out)
	out.Status = t.status()
	out.TraceState, _ = t.take(tagTraceState)
	for i, tag := range s.GetTags() {
		if !t.taken[i] && !isReserved(tag.GetKey()) {
			out.Attributes = append(out.Attributes, attrOf(tag))
		}
	}
	if len(s.GetWarnings()) > 0 {
		list := &commonv1.ArrayValue{}
		for _, warning := range s.GetWarnings() {
			list.Values = append(list.Values, textAttr("", warning).GetValue())
		}
		out.Attributes = append(out.Attributes, &commonv1.KeyValue{
			Key: otlp.WarningsKey, Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_ArrayValue{ArrayValue: list}},
		})
	}
	for _, log := range s.GetLogs() {
		out.Events = append(out.Events, eventOf(log))
	}
	return out
}

// first gives the first tag of a key, -1 where there is none. Later ones stay tags.
func (t *translation) first(key string) int {
	for i, tag := range t.from.GetTags() {
		if tag.GetKey() == key {
			return i
		}
	}
	return -1
}

// take takes the first tag of a key if it is a text other than "".
func (t *translation) take(key string, oneOf ...string) (value string, ok bool) {
	i := t.first(key)
	if i < 0 {
		return "", false
	}
	tag := t.from.GetTags()[i]
	if tag.GetVType() != apiv2.ValueType_STRING || tag.GetVStr() == "" {
		return "", false
	}
	for _, wanted := range oneOf {
		ok = ok || tag.GetVStr() == wanted
	}
	if len(oneOf) > 0 && !ok {
		return "", false
	}
	t.taken[i] = true
	return tag.GetVStr(), true
}

func (t *translation) kind(out *tracev1.Span) {
	for kind := int32(span.KindInternal); kind <= span.KindConsumer; kind++ {
		if _, ok := t.take(tagKind, wire.KindName(kind)); ok {
			out.Kind = tracev1.Span_SpanKind(kind)
			return
		}
	}
}

// status reads the tags of a status. error=true stands above a status code, and a status
// text needs one of both. An HTTP status code is no status: Jaeger's adapter makes one
// of it, but then a search for errors finds what the writer did not call one.
func (t *translation) status() *tracev1.Status {
	status := &tracev1.Status{}
	if i := t.first(tagError); i >= 0 && t.from.GetTags()[i].GetVBool() && t.from.GetTags()[i].GetVType() == apiv2.ValueType_BOOL {
		t.taken[i] = true
		t.take(tagStatusCode, statusError)
		status.Code = tracev1.Status_STATUS_CODE_ERROR
	} else if code, ok := t.take(tagStatusCode, statusOK, statusError); ok {
		status.Code = tracev1.Status_STATUS_CODE_OK
		if code == statusError {
			status.Code = tracev1.Status_STATUS_CODE_ERROR
		}
	} else {
		return nil
	}
	status.Message, _ = t.take(tagStatusText)
	return status
}

// eventOf makes the log's field "event" its name. Only where it stands first, and alone,
// it need not also stay a field: the name is shown there.
func eventOf(log *apiv2.Log) *tracev1.Span_Event {
	event := &tracev1.Span_Event{TimeUnixNano: nanosOf(log.GetTimestamp())}
	first, events := -1, 0
	for i, field := range log.GetFields() {
		if field.GetKey() != fieldEvent {
			continue
		}
		if events++; events == 1 {
			first = i
		}
	}
	if first >= 0 && log.GetFields()[first].GetVType() == apiv2.ValueType_STRING {
		event.Name = log.GetFields()[first].GetVStr()
	}
	for i, field := range log.GetFields() {
		if i == 0 && first == 0 && events == 1 && event.GetName() != "" {
			continue
		}
		event.Attributes = append(event.Attributes, attrOf(field))
	}
	return event
}

// parentOf is the first CHILD_OF within the trace, or else the first FOLLOWS_FROM.
func parentOf(s *apiv2.Span) (parent *apiv2.SpanRef) {
	for _, ref := range s.GetReferences() {
		if string(ref.GetTraceId()) != string(s.GetTraceId()) || isZero(ref.GetSpanId()) {
			continue
		}
		if ref.GetRefType() == apiv2.SpanRefType_CHILD_OF {
			return ref
		}
		if parent == nil && ref.GetRefType() == apiv2.SpanRefType_FOLLOWS_FROM {
			parent = ref
		}
	}
	return parent
}

// linksOf are the references but for a parent of type CHILD_OF, which the parent id says.
func linksOf(s *apiv2.Span, parent *apiv2.SpanRef) (links []*tracev1.Span_Link) {
	for _, ref := range s.GetReferences() {
		if ref == parent && ref.GetRefType() == apiv2.SpanRefType_CHILD_OF {
			continue
		}
		refType := followsFrom
		if ref.GetRefType() == apiv2.SpanRefType_CHILD_OF {
			refType = childOf
		}
		links = append(links, &tracev1.Span_Link{
			TraceId: ref.GetTraceId(), SpanId: ref.GetSpanId(), Attributes: []*commonv1.KeyValue{textAttr(attrRefType, refType)},
		})
	}
	return links
}

func attrOf(tag *apiv2.KeyValue) *commonv1.KeyValue {
	attr := &commonv1.KeyValue{Key: tag.GetKey(), Value: &commonv1.AnyValue{}}
	switch tag.GetVType() {
	case apiv2.ValueType_STRING:
		attr.Value.Value = &commonv1.AnyValue_StringValue{StringValue: tag.GetVStr()}
	case apiv2.ValueType_BOOL:
		attr.Value.Value = &commonv1.AnyValue_BoolValue{BoolValue: tag.GetVBool()}
	case apiv2.ValueType_INT64:
		attr.Value.Value = &commonv1.AnyValue_IntValue{IntValue: tag.GetVInt64()}
	case apiv2.ValueType_FLOAT64:
		attr.Value.Value = &commonv1.AnyValue_DoubleValue{DoubleValue: tag.GetVFloat64()}
	case apiv2.ValueType_BINARY:
		attr.Value.Value = &commonv1.AnyValue_BytesValue{BytesValue: tag.GetVBinary()}
	default:
		return textAttr(tag.GetKey(), fmt.Sprintf("<Unknown Jaeger TagType %q>", tag.GetVType()))
	}
	return attr
}

func textAttr(key, value string) *commonv1.KeyValue {
	return &commonv1.KeyValue{Key: key, Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: value}}}
}

// nanosOf is a time in OTLP, as near as Jaeger can read it back: from 1970 to 2262. A
// time outside would come out in another century, and at the wrong end of a search.
func nanosOf(t *timestamppb.Timestamp) uint64 {
	switch at := t.AsTime(); {
	case at.Before(time.Unix(0, 0)):
		return 0
	case at.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	default:
		return uint64(at.UnixNano())
	}
}

// endOf is the end of a span. A negative duration is taken as 0, as searches do.
func endOf(start uint64, duration time.Duration) uint64 {
	return min(start+uint64(max(duration, 0)), math.MaxInt64)
}

func isZero(id []byte) bool {
	for _, b := range id {
		if b != 0 {
			return false
		}
	}
	return true
}
