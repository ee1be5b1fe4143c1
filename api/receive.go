package api

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/stoadb/stoa/api/wire"
	"github.com/stoadb/stoa/internal/invariant"
)

// wireStream is the part of grpc's transport that its own RecvMsg reads from. RecvMsg
// takes a whole message, and inflates it, before anybody learns how long it is: a few
// kilobytes on the wire are 64 MiB in memory by then. So the frame of a message is read
// here:
//
//	1 byte: 1 where the message is compressed | 4 bytes: length, big endian | the message
type wireStream interface {
	ReadMessageHeader(header []byte) error
	Read(n int) (mem.BufferSlice, error)
	RecvCompress() string
}

// receiver receives the one message of a call.
type receiver struct {
	stream   wireStream
	bytesMax int
	held     *holding // of the message that comes next
	header   [5]byte  // of the message that comes next; see readHeader
}

// newReceiver takes at most bytesMax bytes, before and after decompression, and counts
// them in held as they come.
func newReceiver(ctx context.Context, bytesMax int, held *holding) *receiver {
	stream, isWire := grpc.ServerTransportStreamFromContext(ctx).(wireStream)
	invariant.Check(isWire, "grpc's transport stream lacks the methods of wireStream")
	return &receiver{stream: stream, bytesMax: bytesMax, held: held}
}

// receive reads the message into m.
func (r *receiver) receive(m *wire.Message) error {
	if err := r.readHeader(); err != nil {
		return receiveError(err, "no request")
	}
	data, err := r.body()
	if err != nil {
		return err
	}
	defer data.Free()
	if err := r.readHeader(); !errors.Is(err, io.EOF) {
		return receiveError(err, "more than one request")
	}
	return wire.Codec{}.Unmarshal(data, m)
}

// readHeader waits for the header of the next message; io.EOF says that none comes.
func (r *receiver) readHeader() error {
	err := r.stream.ReadMessageHeader(r.header[:])
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return receiveError(err, "the request ends early")
	}
	return err
}

// receiveBody reads the message behind the header into m.
func (r *receiver) receiveBody(m *wire.Message) error {
	data, err := r.body()
	if err != nil {
		return err
	}
	defer data.Free()
	return wire.Codec{}.Unmarshal(data, m)
}

func (r *receiver) body() (mem.BufferSlice, error) {
	header := r.header
	body := body{receiver: r, left: int64(binary.BigEndian.Uint32(header[1:]))}
	if body.left > int64(r.bytesMax) {
		return nil, r.tooLong("a request of %d bytes", body.left)
	}
	switch name := r.stream.RecvCompress(); {
	case header[0] == 0:
		return body.whole()
	case header[0] != 1 || name == "" || name == encoding.Identity:
		return nil, status.Errorf(codes.InvalidArgument, "a request in no known form: flag %d, encoding %q", header[0], name)
	default:
		defer func() { body.piece.Free() }()
		return r.inflate(&body, name)
	}
}

// inflate decompresses the body while it arrives. Of what arrives only the piece at hand
// is in memory. It is counted, and so are what the decompressor holds, as long as it does, and what
// comes out.
func (r *receiver) inflate(b *body, encodingName string) (mem.BufferSlice, error) {
	inflated := &counted{receiver: r, beside: min(b.left, r.held.stepBytes())}
	err := inflated.open(b, encoding.GetCompressor(encodingName))
	if err == nil {
		if closer, ok := inflated.from.(io.Closer); ok {
			defer closer.Close()
		}
		var out mem.BufferSlice
		out, err = mem.ReadAll(inflated, mem.DefaultBufferPool())
		if err == nil {
			return out, nil
		}
		out.Free()
	}
	var withStatus interface{ GRPCStatus() *status.Status }
	if errors.As(err, &withStatus) || errors.Is(err, errNoRoom) {
		return nil, err
	}
	return nil, status.Errorf(codes.InvalidArgument, "request does not decompress: %v", err)
}

func (r *receiver) tooLong(format string, args ...any) error {
	return status.Errorf(codes.ResourceExhausted, "limit exceeded: %s, at most %d", fmt.Sprintf(format, args...), r.bytesMax)
}

// body is the message as it arrives.
type body struct {
	*receiver
	left  int64           // bytes not received yet
	piece mem.BufferSlice // of a compressed body: the part being read
	from  io.Reader       // reads piece
}

// next receives the next piece.
func (b *body) next() (mem.BufferSlice, error) {
	piece, err := b.stream.Read(int(min(b.left, b.held.stepBytes())))
	if err != nil {
		return nil, receiveError(err, "the request ends early")
	}
	b.left -= int64(piece.Len())
	return piece, nil
}

// whole receives the rest of a body that is not compressed.
func (b *body) whole() (mem.BufferSlice, error) {
	var data mem.BufferSlice
	for total := int64(0); b.left > 0; {
		total += min(b.left, b.held.stepBytes())
		if !b.held.grow(total) {
			data.Free()
			return nil, errNoRoom
		}
		piece, err := b.next()
		if err != nil {
			data.Free()
			return nil, err
		}
		data = append(data, piece...)
	}
	return data, nil
}

// Read gives a compressed body to its decompressor.
func (b *body) Read(p []byte) (int, error) {
	for {
		if b.from != nil {
			if n, err := b.from.Read(p); n > 0 || !errors.Is(err, io.EOF) {
				return n, err
			}
			b.piece.Free()
			b.piece, b.from = nil, nil
		}
		if b.left == 0 {
			return 0, io.EOF
		}
		piece, err := b.next()
		if err != nil {
			return 0, err
		}
		b.piece, b.from = piece, piece.Reader()
	}
}

// counted is a decompressed body: each step is counted before it is made.
type counted struct {
	*receiver
	from   io.Reader
	total  int64
	beside int64 // what else is held until the last byte is out
}

// open begins to decompress a body.
func (c *counted) open(b *body, compressor encoding.Compressor) (err error) {
	measured, isMeasured := compressor.(wire.Measured)
	if !isMeasured { // gzip: 44 KB
		c.from, err = compressor.Decompress(b)
		return err
	}
	c.from, err = measured.DecompressMeasured(b, func(bytes int64) error {
		c.beside += bytes
		if !c.held.grow(c.beside) {
			return errNoRoom
		}
		return nil
	})
	return err
}

// Read implements io.Reader.
func (c *counted) Read(p []byte) (int, error) {
	if !c.held.grow(c.beside + c.total + int64(len(p))) {
		return 0, errNoRoom
	}
	n, err := c.from.Read(p)
	if c.total += int64(n); c.total > int64(c.bytesMax) {
		return n, c.tooLong("a request of more bytes when decompressed")
	}
	return n, err
}

// receiveError is what a call is told whose request did not come; early says what it
// means that the stream ended.
func receiveError(err error, early string) error {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return status.Error(codes.InvalidArgument, early)
	}
	return err
}

// errNoRoom refuses a request whose next bytes are too many beside those in flight.
var errNoRoom = errors.New("no room for the request")

// holding is what one call counts in the budget of bytes in flight. The goroutine that
// receives may be left behind by its call: it gets no more then.
type holding struct {
	mu     sync.Mutex
	budget *budget
	bytes  int64
	step   int64 // receiveStepBytes where 0
	free   int64 // so many are bounded by something else, and not counted
	given  bool
}

func (h *holding) stepBytes() int64 { return cmp.Or(h.step, receiveStepBytes) }

// grow counts n bytes, less those that are free, in whole steps; false where they do not fit.
func (h *holding) grow(n int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n -= h.free; n <= h.bytes {
		return !h.given
	}
	step := h.stepBytes()
	want := (n + step - 1) / step * step
	if h.given || !h.budget.grow(h.bytes, want) {
		return false
	}
	h.bytes = want
	return true
}

// settle counts n bytes exactly, no more than were counted.
func (h *holding) settle(n int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	invariant.Check(n <= h.bytes && !h.given, "a request of %d bytes was counted as %d", n, h.bytes)
	h.budget.give(h.bytes - n)
	h.bytes = n
}

// release gives all back, for good.
func (h *holding) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.budget.give(h.bytes)
	h.bytes, h.given = 0, true
}
