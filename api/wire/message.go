// Package wire is how messages pass between gRPC and Stoa without being decoded: a
// Message is the bytes of one protobuf message, and Codec hands those bytes on, in both
// directions, where grpc's own codec would build a tree of Go values. Any other message
// goes through plain protobuf. It also holds the few spellings that server and client
// must agree on. It starts no goroutines.
package wire

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // the codec for all messages but ours
	"google.golang.org/grpc/mem"
)

// Message is one protobuf message as bytes, in a buffer that is counted by references:
// Free gives it back to its pool. The zero Message can be received into.
type Message struct{ buffer mem.Buffer }

// NewMessage copies b: grpc reads a sent message even after the send returned.
func NewMessage(b []byte) *Message {
	return &Message{buffer: mem.Copy(b, buffers)}
}

// Lent is a message of bytes that nobody changes any more.
func Lent(b []byte) *Message { return &Message{buffer: mem.SliceBuffer(b)} }

// Owned is a message in a buffer of codec.Buffers, which goes back there.
func Owned(buffer *[]byte) *Message { return &Message{buffer: mem.NewBuffer(buffer, buffers)} }

// Bytes is valid until Free, and not to be changed.
func (m *Message) Bytes() []byte {
	if m.buffer == nil {
		return nil
	}
	return m.buffer.ReadOnlyData()
}

// Free gives the buffer back. It may be called at most once for a Message with content,
// and any number of times for an empty one.
func (m *Message) Free() {
	if m.buffer != nil {
		m.buffer.Free()
		m.buffer = nil
	}
}

// Codec is the gRPC codec of both sides. It goes by the name of protobuf's, because
// that is what stands on the wire.
type Codec struct{}

var plain = encoding.GetCodecV2("proto")

// Name is what the content type says.
func (Codec) Name() string { return plain.Name() }

// Marshal encodes a *Message or a protobuf message.
func (Codec) Marshal(v any) (mem.BufferSlice, error) {
	m, ok := v.(*Message)
	if !ok {
		return plain.Marshal(v)
	}
	if m.buffer == nil {
		return nil, nil
	}
	m.buffer.Ref()
	return mem.BufferSlice{m.buffer}, nil
}

// Unmarshal decodes into a *Message or a protobuf message.
func (Codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(*Message)
	if !ok {
		return plain.Unmarshal(data, v)
	}
	if m.buffer != nil {
		return fmt.Errorf("message received into one that is still in use")
	}
	m.buffer = data.MaterializeToBuffer(buffers)
	return nil
}
