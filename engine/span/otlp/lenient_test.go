package otlp_test

import (
	"fmt"
	"sync"

	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// lenientTraces is TracesData with every string field declared as bytes, so that the
// oracle also speaks about texts that are no UTF-8, which proto.Unmarshal refuses.
var lenientTraces = sync.OnceValue(func() protoreflect.MessageDescriptor {
	set := &descriptorpb.FileDescriptorSet{}
	var add func(file protoreflect.FileDescriptor)
	add = func(file protoreflect.FileDescriptor) {
		for i := range file.Imports().Len() {
			add(file.Imports().Get(i).FileDescriptor)
		}
		for _, have := range set.File {
			if have.GetName() == file.Path() {
				return
			}
		}
		set.File = append(set.File, protodesc.ToFileDescriptorProto(file))
	}
	add(tracev1.File_opentelemetry_proto_trace_v1_trace_proto)
	var loosen func(messages []*descriptorpb.DescriptorProto)
	loosen = func(messages []*descriptorpb.DescriptorProto) {
		for _, m := range messages {
			for _, f := range m.Field {
				if f.GetType() == descriptorpb.FieldDescriptorProto_TYPE_STRING {
					f.Type = descriptorpb.FieldDescriptorProto_TYPE_BYTES.Enum()
				}
			}
			loosen(m.NestedType)
		}
	}
	for _, file := range set.File {
		loosen(file.MessageType)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		panic(err)
	}
	d, err := files.FindDescriptorByName("opentelemetry.proto.trace.v1.TracesData")
	if err != nil {
		panic(err)
	}
	return d.(protoreflect.MessageDescriptor)
})

// lenientTruthOf is truthOf for all texts; the error is protobuf's verdict.
func lenientTruthOf(raw []byte) (truth, error) {
	data := dynamicpb.NewMessage(lenientTraces())
	if err := proto.Unmarshal(raw, data); err != nil {
		return nil, err
	}
	out := truth{}
	for _, rs := range list(data, "resource_spans") {
		for _, ss := range list(rs, "scope_spans") {
			for _, s := range list(ss, "spans") {
				id, ok := keptID(get(s, "trace_id").Bytes(), get(s, "span_id").Bytes())
				if !ok {
					continue
				}
				s.Set(s.Descriptor().Fields().ByName("trace_id"), protoreflect.ValueOfBytes([]byte(id)))
				one := fmt.Sprintf("resource %s schema %q scope %s schema %q span %x",
					canonical(rs, "resource"), get(rs, "schema_url").Bytes(),
					canonical(ss, "scope"), get(ss, "schema_url").Bytes(), deterministic(s.Interface()))
				out[id] = append(out[id], one)
			}
		}
	}
	return out.sort(), nil
}

func get(m protoreflect.Message, field protoreflect.Name) protoreflect.Value {
	return m.Get(m.Descriptor().Fields().ByName(field))
}

func list(m protoreflect.Message, field protoreflect.Name) []protoreflect.Message {
	l := get(m, field).List()
	out := make([]protoreflect.Message, l.Len())
	for i := range out {
		out[i] = l.Get(i).Message()
	}
	return out
}

// canonical tells an absent message from an empty one.
func canonical(m protoreflect.Message, field protoreflect.Name) string {
	f := m.Descriptor().Fields().ByName(field)
	if !m.Has(f) {
		return "absent"
	}
	return fmt.Sprintf("%x", deterministic(m.Get(f).Message().Interface()))
}

// deterministic encodes a message so that equal bytes mean equal content, NaN payloads
// included; unknown fields stand in the order received, which protobuf calls different
// only within one number.
func deterministic(m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}
