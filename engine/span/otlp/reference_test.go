package otlp_test

import (
	"bytes"
	"fmt"
	"math"

	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// normalise makes of a message what readers are promised of it: the reference of the
// output form, written over protobuf's types. docs/limits.md lists what it does.
func normalise(m protoreflect.Message) {
	name := m.Descriptor().Name()
	isOfSpan := name == "Span" || name == "Event" || name == "Link"
	m.SetUnknown(keptUnknown(m, isOfSpan))
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsList() && f.Message() != nil:
			for i := range v.List().Len() {
				normalise(v.List().Get(i).Message())
			}
		case f.IsList(): // of texts
			for i := range v.List().Len() {
				v.List().Set(i, protoreflect.ValueOfBytes(validText(v.List().Get(i).Bytes())))
			}
		case f.Message() != nil:
			normalise(v.Message())
		case isText(f):
			m.Set(f, protoreflect.ValueOfBytes(validText(v.Bytes())))
		}
		return true
	})
	if isOfSpan {
		for _, a := range list(m, "attributes") {
			dropIndexes(a)
		}
	}
	switch name {
	case "Span":
		dropOddID(m, "parent_span_id", 8)
		warn(m)
	case "Link":
		dropOddID(m, "trace_id", 16)
		dropOddID(m, "span_id", 8)
	}
}

// isText tells whether OTLP declares the field, bytes in lenientTraces, as a string.
func isText(f protoreflect.FieldDescriptor) bool {
	if f.Kind() != protoreflect.BytesKind {
		return false
	}
	switch f.Name() {
	case "bytes_value", "trace_id", "span_id", "parent_span_id":
		return false
	}
	return true
}

func validText(text []byte) []byte { return bytes.ToValidUTF8(text, []byte("\uFFFD")) }

// keptUnknown is the unknown fields that readers get: of spans, events and links, those
// with a number unknown to us that are no groups.
func keptUnknown(m protoreflect.Message, isOfSpan bool) (kept protoreflect.RawFields) {
	for unknown := m.GetUnknown(); isOfSpan && len(unknown) > 0; {
		number, wire, _ := protowire.ConsumeTag(unknown)
		length := fieldLength(unknown)
		if wire != protowire.StartGroupType && m.Descriptor().Fields().ByNumber(number) == nil {
			kept = append(kept, unknown[:length]...)
		}
		unknown = unknown[length:]
	}
	return kept
}

// dropOddID clears an id that is zero or of another length.
func dropOddID(m protoreflect.Message, field protoreflect.Name, length int) {
	if id := get(m, field).Bytes(); len(id) != length || allZero(id) {
		m.Clear(m.Descriptor().Fields().ByName(field))
	}
}

// dropIndexes clears what refers to a table of strings, which profiles have and traces
// have not.
func dropIndexes(attribute protoreflect.Message) {
	attribute.Clear(attribute.Descriptor().Fields().ByName("key_strindex"))
	if f := attribute.Descriptor().Fields().ByName("value"); attribute.Has(f) {
		value := attribute.Mutable(f).Message()
		value.Clear(value.Descriptor().Fields().ByName("string_value_strindex"))
	}
}

// warn adds the warning about times to the attribute of warnings, which it makes where
// there is none.
func warn(s protoreflect.Message) {
	start, end := get(s, "start_time_unix_nano").Uint(), get(s, "end_time_unix_nano").Uint()
	if end >= start && end-start <= math.MaxInt64 {
		return
	}
	field := func(m protoreflect.Message, name protoreflect.Name) protoreflect.FieldDescriptor {
		return m.Descriptor().Fields().ByName(name)
	}
	attributes := s.Mutable(field(s, "attributes")).List()
	var list protoreflect.List
	add := func(attribute protoreflect.Message) {
		value := attribute.Mutable(field(attribute, "value")).Message()
		array := value.Mutable(field(value, "array_value")).Message()
		list = array.Mutable(field(array, "values")).List()
	}
	for _, a := range lists(attributes) {
		if value := get(a, "value").Message(); string(get(a, "key").Bytes()) == otlp.WarningsKey && value.Has(field(value, "array_value")) {
			add(a)
			break
		}
	}
	if list == nil {
		added := attributes.AppendMutable().Message()
		added.Set(field(added, "key"), protoreflect.ValueOfBytes([]byte(otlp.WarningsKey)))
		add(added)
	}
	text := list.AppendMutable().Message()
	text.Set(field(text, "string_value"), protoreflect.ValueOfBytes([]byte("end time lies before start time; duration is taken as 0")))
}

func lists(l protoreflect.List) []protoreflect.Message {
	out := make([]protoreflect.Message, l.Len())
	for i := range out {
		out[i] = l.Get(i).Message()
	}
	return out
}

// delivered is one span with all that stands around it, and their lengths.
type delivered struct {
	span  string
	bytes int
}

// referenceOf is what readers must get of the rows, in their order.
func referenceOf(t failer, b *span.Batch) (all []delivered) {
	t.Helper()
	data := dynamicpb.NewMessage(lenientTraces())
	if err := proto.Unmarshal(otlp.AppendTraces(nil, rowsOf(b)), data); err != nil {
		t.Fatalf("exact form: %v", err)
	}
	normalise(data)
	var readable tracev1.TracesData
	if err := proto.Unmarshal(deterministic(data), &readable); err != nil {
		t.Fatalf("reference of the output form: %v", err)
	}
	return deliveredIn(&readable)
}

func deliveredIn(data *tracev1.TracesData) (all []delivered) {
	for _, rs := range data.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				one := fmt.Sprintf("resource %v %x schema %q\nscope %v %x schema %q\nspan %x", rs.Resource != nil, deterministic(rs.Resource), rs.SchemaUrl,
					ss.Scope != nil, deterministic(ss.Scope), ss.SchemaUrl, deterministic(s))
				all = append(all, delivered{one, proto.Size(rs.Resource) + proto.Size(ss.Scope) + proto.Size(s) + len(rs.SchemaUrl) + len(ss.SchemaUrl)})
			}
		}
	}
	return all
}
