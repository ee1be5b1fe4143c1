package jaegerv1

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/stoadb/stoa/api/pb/apiv2"
	"github.com/stoadb/stoa/api/wire"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// Spans gives the spans of a TracesData message in their order. They share nothing with
// chunk; those of one resource share their Process, which yield must not change. An error
// of yield ends it.
func Spans(chunk []byte, yield func(*apiv2.Span) error) error {
	batch, _, err := otlp.Walk(chunk)
	if err != nil {
		// The store made the chunk; what its walker does not take again is beyond a limit.
		return fmt.Errorf("%w: this trace cannot be told in version 1: %w", span.ErrTooMuch, err)
	}
	processes := make([]*apiv2.Process, len(batch.Resources))
	for pos := range batch.Len() {
		resource := batch.ResourceIDs[pos]
		if processes[resource] == nil {
			processes[resource] = plainProcess(batch, resource)
		}
		row := span.Row{Batch: batch, Pos: pos}
		s := plainSpan(row, processes[resource])
		if encoded, ok := restAttr(row); ok {
			if err := applyRest(s, encoded); err != nil {
				s.Warnings = append(s.Warnings, fmt.Sprintf("what only version 1 can say of this span is lost: %v", err))
			}
		}
		if err := yield(s); err != nil {
			return err
		}
	}
	return nil
}

// restAttr gives the rest of a span that came as version 1.
func restAttr(r span.Row) (encoded []byte, ok bool) {
	ids := r.AttrIDs()
	for i := len(ids) - 1; i >= 0; i-- { // it was written last
		if a := r.Batch.Attrs[ids[i]]; a.Type == span.BytesValue && string(r.Batch.Bytes(a.Key)) == RestKey {
			return r.Batch.Bytes(span.TextID(a.Value)), true
		}
	}
	return nil, false
}

// plainSpan is the span as Jaeger's adapter gives it, without looking at a rest.
func plainSpan(r span.Row, process *apiv2.Process) *apiv2.Span {
	id, spanID := r.TraceID(), r.SpanID()
	start := time.Unix(0, int64(r.Start()))
	s := &apiv2.Span{
		TraceId:       bytes.Clone(id[:]),
		SpanId:        bytes.Clone(spanID[:]),
		OperationName: string(r.Name()),
		References:    plainReferences(r),
		StartTime:     timestamppb.New(start),
		Duration:      durationpb.New(time.Unix(0, int64(r.End())).Sub(start)),
		Logs:          plainLogs(r),
		Process:       process,
	}
	var isWarned bool
	s.Warnings, isWarned = plainWarnings(r)
	s.Tags = plainTags(r, isWarned)
	return s
}

// plainProcess is the resource: its service name, and its other attributes as tags. The
// service is the one that searches go by, which of several names is the last.
func plainProcess(b *span.Batch, resource uint32) *apiv2.Process {
	attrs := b.ResourceAttrsOf(resource)
	if len(attrs) == 0 {
		return &apiv2.Process{ServiceName: noService}
	}
	process := &apiv2.Process{ServiceName: b.String(b.Resources[resource].Service)}
	for _, a := range attrs {
		if string(b.Bytes(a.Key)) != attrService {
			process.Tags = append(process.Tags, plainTag(b, a))
		}
	}
	return process
}

// plainTags are, in this order: scope, attributes, kind, status code, error, status
// message, trace state.
func plainTags(r span.Row, isWarned bool) []*apiv2.KeyValue {
	b, scope := r.Batch, r.Scope()
	var tags []*apiv2.KeyValue
	text := func(key, value string) {
		if value != "" {
			tags = append(tags, textTag(key, value))
		}
	}
	text(tagScopeName, b.String(scope.Name))
	text(tagScopeVersion, b.String(scope.Version))
	for _, id := range r.AttrIDs() {
		a := b.Attrs[id]
		switch key := string(b.Bytes(a.Key)); {
		case strings.HasPrefix(key, Prefix), isWarned && key == otlp.WarningsKey:
		default:
			tags = append(tags, plainTag(b, a))
		}
	}
	text(tagKind, wire.KindName(r.Kind()))
	switch r.StatusCode() {
	case span.StatusOK:
		text(tagStatusCode, statusOK)
	case span.StatusError:
		text(tagStatusCode, statusError)
		tags = append(tags, &apiv2.KeyValue{Key: tagError, VType: apiv2.ValueType_BOOL, VBool: true})
	}
	text(tagStatusText, b.String(b.StatusMessages[r.Pos]))
	text(tagTraceState, b.String(b.TraceStates[r.Pos]))
	return tags
}

// plainTag keeps the five types of version 1; lists become JSON, no value empty text.
func plainTag(b *span.Batch, a span.Attr) *apiv2.KeyValue {
	tag := &apiv2.KeyValue{Key: b.String(a.Key)}
	switch a.Type {
	case span.BoolValue:
		tag.VType, tag.VBool = apiv2.ValueType_BOOL, a.Value != 0
	case span.IntValue:
		tag.VType, tag.VInt64 = apiv2.ValueType_INT64, int64(a.Value)
	case span.DoubleValue:
		tag.VType, tag.VFloat64 = apiv2.ValueType_FLOAT64, math.Float64frombits(a.Value)
	case span.BytesValue:
		tag.VType, tag.VBinary = apiv2.ValueType_BINARY, bytes.Clone(b.Bytes(span.TextID(a.Value)))
	default:
		tag.VStr = string(otlp.AppendText(nil, b, a))
	}
	return tag
}

// plainReferences are the parent and the links. A link to the parent gives the parent's
// reference its type.
func plainReferences(r span.Row) []*apiv2.SpanRef {
	begin, end := r.LinkRange()
	parent, id := r.ParentID(), r.TraceID()
	var refs []*apiv2.SpanRef
	if !parent.IsZero() {
		refs = append(refs, &apiv2.SpanRef{TraceId: bytes.Clone(id[:]), SpanId: bytes.Clone(parent[:])})
	}
	for i := begin; i < end; i++ {
		link := r.Batch.Links[i]
		refType := plainRefType(r.Batch, i)
		if !parent.IsZero() && link.TraceID == id && link.SpanID == parent {
			refs[0].RefType = refType
			continue
		}
		refs = append(refs, &apiv2.SpanRef{TraceId: bytes.Clone(link.TraceID[:]), SpanId: bytes.Clone(link.SpanID[:]), RefType: refType})
	}
	return refs
}

func plainRefType(b *span.Batch, link uint32) apiv2.SpanRefType {
	for _, a := range b.LinkAttrsOf(link) {
		if string(b.Bytes(a.Key)) != attrRefType {
			continue
		}
		if a.Type == span.StringValue && string(b.Bytes(span.TextID(a.Value))) == childOf {
			return apiv2.SpanRefType_CHILD_OF
		}
		break
	}
	return apiv2.SpanRefType_FOLLOWS_FROM
}

// plainLogs are the events. Their name is field "event", unless they have one already.
func plainLogs(r span.Row) []*apiv2.Log {
	b := r.Batch
	begin, end := r.EventRange()
	logs := make([]*apiv2.Log, 0, end-begin)
	for i := begin; i < end; i++ {
		event := b.Events[i]
		log := &apiv2.Log{Timestamp: timestamppb.New(time.Unix(0, int64(event.Time)))}
		hasName := false
		for _, a := range b.EventAttrsOf(i) {
			tag := plainTag(b, a)
			hasName = hasName || tag.GetKey() == fieldEvent
			log.Fields = append(log.Fields, tag)
		}
		if event.Name != 0 && !hasName {
			log.Fields = append([]*apiv2.KeyValue{textTag(fieldEvent, b.String(event.Name))}, log.GetFields()...)
		}
		logs = append(logs, log)
	}
	return logs
}

// plainWarnings reads the warnings attribute: its texts, where it is a list, its value
// else. Other items of the list are empty texts, as in Jaeger. An empty list is a tag.
func plainWarnings(r span.Row) (warnings []string, ok bool) {
	for _, id := range r.AttrIDs() {
		a := r.Batch.Attrs[id]
		if string(r.Batch.Bytes(a.Key)) != otlp.WarningsKey {
			continue
		}
		text := otlp.AppendText(nil, r.Batch, a)
		if a.Type != span.ArrayValue {
			return []string{string(text)}, true
		}
		var items []any
		if err := json.Unmarshal(text, &items); err != nil {
			return []string{string(text)}, true
		}
		for _, item := range items {
			warning, _ := item.(string)
			warnings = append(warnings, warning)
		}
		return warnings, len(warnings) > 0
	}
	return nil, false
}
