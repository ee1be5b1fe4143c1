package wire_test

import (
	"bytes"
	"fmt"
	"testing"

	"google.golang.org/grpc/mem"

	"github.com/stoadb/stoa/api/wire"
	"github.com/stoadb/stoa/internal/codec"
)

// pieces cuts bytes as they come from the transport.
func pieces(b []byte, size int) (data mem.BufferSlice) {
	for len(b) > 0 {
		n := min(size, len(b))
		data = append(data, mem.SliceBuffer(b[:n]))
		b = b[n:]
	}
	return data
}

// A message holds the bytes of its own pieces and no others, whatever stood in its buffer
// before: at every length around the sizes that buffers have.
func TestMessageIsWhatWasSent(t *testing.T) {
	for bits := 11; bits <= 21; bits++ {
		for _, length := range []int{1<<bits - 1, 1 << bits, 1<<bits + 1} {
			for fill := range byte(3) {
				want := bytes.Repeat([]byte{fill}, length)
				m := &wire.Message{}
				if err := (wire.Codec{}).Unmarshal(pieces(want, 1000), m); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(m.Bytes(), want) {
					t.Fatalf("%d bytes of %d: %d others came", length, fill, len(m.Bytes()))
				}
				m.Free()
			}
		}
	}
}

// BenchmarkUnmarshal puts a request together from frames of 16 KiB.
func BenchmarkUnmarshal(b *testing.B) {
	for _, kib := range []int{28, 350} {
		b.Run(fmt.Sprintf("%dKiB", kib), func(b *testing.B) {
			data := pieces(make([]byte, kib<<10), 16<<10)
			b.SetBytes(int64(kib << 10))
			b.ReportAllocs()
			for b.Loop() {
				m := &wire.Message{}
				if err := (wire.Codec{}).Unmarshal(data, m); err != nil {
					b.Fatal(err)
				}
				m.Free()
			}
		})
	}
}

// TestAnOwnedBufferGoesBack: to the pool that it is of, and not before the message is freed.
func TestAnOwnedBufferGoesBack(t *testing.T) {
	const length = 5_000_000
	buffer := codec.Buffers.Get(length)
	m := wire.Owned(buffer)
	if len(m.Bytes()) != length || &m.Bytes()[0] != &(*buffer)[0] {
		t.Fatalf("a message of %d bytes, or a copy", len(m.Bytes()))
	}
	if codec.Buffers.Get(length) == buffer {
		t.Fatal("others are given the buffer of a message")
	}
	m.Free()
	if codec.Buffers.Get(length) != buffer {
		t.Error("the buffer does not go back")
	}
}
