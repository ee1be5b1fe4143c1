package api

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/stoadb/stoa/api/pb/storagev2"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// tagsOf reads the attributes of a search. Values come as strings from Jaeger's UI and
// typed from other callers; stored values are compared as text, so a typed one must be
// spelled as the engine spells it.
func tagsOf(attributes []*storagev2.KeyValue) ([]span.Tag, error) {
	if len(attributes) == 0 {
		return nil, nil
	}
	if len(attributes) > tagsMax {
		return nil, fmt.Errorf("%w: %d attributes in a search, at most %d", span.ErrTooMuch, len(attributes), tagsMax)
	}
	tags := make([]span.Tag, 0, len(attributes))
	for i, attribute := range attributes {
		path := fmt.Sprintf("attributes[%d]", i)
		if err := knownWhole(path, attribute.ProtoReflect()); err != nil {
			return nil, err
		}
		text, err := textOf(attribute)
		if err != nil {
			return nil, err
		}
		tags = append(tags, span.Tag{Key: attribute.GetKey(), Value: text})
	}
	return tags, nil
}

func textOf(attribute *storagev2.KeyValue) (string, error) {
	switch value := attribute.GetValue().GetValue().(type) {
	case nil:
		return "", nil
	case *storagev2.AnyValue_StringValue:
		return value.StringValue, nil
	}
	message, err := proto.Marshal(attribute)
	if err != nil {
		return "", fmt.Errorf("%w: attribute %q: %w", span.ErrInvalid, attribute.GetKey(), err)
	}
	batch, counts, err := otlp.Walk(spanWith(message))
	if err != nil {
		return "", fmt.Errorf("attribute %q: %w", attribute.GetKey(), err)
	}
	if batch.Len() != 1 || len(batch.AttrIDs) == 0 || counts.NestedTooDeep+counts.TruncatedValues+counts.TruncatedKeys > 0 {
		return "", fmt.Errorf("%w: attribute %q is deeper or longer than any stored one", span.ErrTooMuch, attribute.GetKey())
	}
	return string(otlp.AppendText(nil, batch, batch.Attrs[batch.AttrIDs[0]])), nil
}

// spanWith wraps an attribute, whose wire form is that of OTLP's KeyValue, in the
// smallest TracesData: the walker that reads stored values reads this one.
func spanWith(attribute []byte) []byte {
	field := func(dst []byte, number protowire.Number, content []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(dst, number, protowire.BytesType), content)
	}
	one := [16]byte{15: 1}
	message := field(nil, 1, one[:])             // Span.trace_id
	message = field(message, 2, one[8:])         // Span.span_id
	message = field(message, 9, attribute)       // Span.attributes
	message = field(nil, 2, message)             // ScopeSpans.spans
	return field(nil, 1, field(nil, 2, message)) // TracesData.resource_spans, ResourceSpans.scope_spans
}
