package span

import (
	"encoding/binary"
	"sync"

	"github.com/stoadb/stoa/internal/codec"
)

// The form of a batch is what the log keeps of it: all that the batch says, in a few dozen
// bytes a row. It is a function of the batch alone, the same in every build, so a hash of it
// names its content. Everything is read in one go, and only whole.
//
//	rows      v
//	texts     v, the empty one not counted
//	lengths   numbers: of each text its bytes, 0 for a message that its attributes give
//	resources, scopes          form_envelopes.go
//	traces, spans, parents     form_ids.go
//	starts    v, the first; numbers: each other less the one before, zigzag
//	durations numbers: end less start
//	rows' columns              form_rows.go
//	events' and links' columns form_rows.go
//	shapes, values             form_shapes.go
//	strays    v, numbers       form_texts.go
//	text      the bytes of all texts that have a length, to the end
//
// v is a varint in the fewest bytes, numbers are those of form_numbers.go; differences wrap.
// Zigzag puts 0, -1, 1, -2 to 0, 1, 2, 3.
//
// The simpler way is to compress columns as they stand in memory. That takes the time of a
// compressor, whose output is another one in every build, and more bytes: what rises, repeats
// or follows from something else is cheaper told as what it is.

// AppendBinary appends the form of the batch to dst. The batch is as a walker makes it: whole,
// its rows with ids, no text in the table empty.
func (b *Batch) AppendBinary(dst []byte) []byte {
	w := formWriters.Get()
	dst = w.append(dst, b)
	if w.memoryBytes() <= formScratchBytesMax {
		formWriters.Put(w)
	}
	return dst
}

// DecodeBatch gives the batch of a form, in memory of its own and of exactly its size. Bytes
// that AppendBinary does not write are codec.ErrCorrupt, and so is a form whose batch would
// take more than bytesMax of memory, or more than 2 GiB.
func DecodeBatch(form []byte, bytesMax int) (*Batch, error) {
	f := formReaders.Get().(*formReader)
	b, err := f.read(form, bytesMax)
	if f.memoryBytes() <= formScratchBytesMax {
		formReaders.Put(f)
	}
	return b, err
}

// formScratchBytesMax is the working memory above which it is not kept for the next form: one
// odd batch must not make every later one hold its memory.
const formScratchBytesMax = 4 << 20

// formWritersHeldMax of them outlive collections of garbage: two processors make two forms at once.
const formWritersHeldMax = 2

var (
	formWriters = codec.Held[formWriter]{New: func() *formWriter { return new(formWriter) }, Most: formWritersHeldMax}
	formReaders = sync.Pool{New: func() any { return new(formReader) }}
)

// formScratch is the working memory of both sides.
type formScratch struct {
	numbers  []uint64 // of the column under way
	rows     [rowColumns][]uint64
	events   [eventColumns][]uint64
	links    [linkColumns][]uint64
	values   []uint64 // of all attributes, by column
	shapes   shapes
	table    idTable
	traces   []TraceID
	marks    []uint8  // by TextID; see form_envelopes.go
	derived  []TextID // messages that their attributes give
	rowTexts [formTextColumns]textColumn
	attrs    []Attr // of the span under way, or all of the batch
}

func (s *formScratch) memoryBytes() int {
	n := cap(s.numbers) + cap(s.values)
	for _, columns := range [][][]uint64{s.rows[:], s.events[:], s.links[:]} {
		for _, c := range columns {
			n += cap(c)
		}
	}
	return 8*n + s.shapes.memoryBytes() + 4*cap(s.table) + 16*cap(s.traces) + cap(s.marks) + 4*cap(s.derived) + 16*cap(s.attrs)
}

// formWriter is the working memory of AppendBinary.
type formWriter struct {
	formScratch
	order    textOrder
	literals []byte
	message  []byte
}

func (w *formWriter) memoryBytes() int {
	return w.formScratch.memoryBytes() + 8*(cap(w.order.last)+cap(w.order.before)) + 8*cap(w.order.strays) + cap(w.literals) + cap(w.message)
}

func (w *formWriter) append(dst []byte, b *Batch) []byte {
	texts := max(len(b.TextEnd), 1) - 1
	dst = binary.AppendUvarint(dst, uint64(b.Len()))
	dst = binary.AppendUvarint(dst, uint64(texts))
	w.findDerived(b)
	dst = w.appendLengths(dst, b)
	dst = appendEnvelopes(dst, b)
	dst = w.appendTraces(dst, b.TraceIDs)
	dst = w.appendSpans(dst, b.SpanIDs, b.ParentIDs)
	dst = w.appendTimes(dst, b)
	there := rowsThere(b)
	w.fill(b, there)
	dst = appendColumns(dst, w.rows[:], there)
	dst = appendColumns(dst, w.events[:], columnsThere(w.events[:]))
	dst = appendLinkIDs(dst, b.Links)
	dst = appendColumns(dst, w.links[:], columnsThere(w.links[:]))
	dst = w.shapes.append(dst)
	dst = w.appendValues(dst)
	dst = binary.AppendUvarint(dst, uint64(len(w.order.strays)))
	dst = appendNumbers(dst, w.order.strays)
	return w.appendText(dst, b)
}

// appendLengths appends the lengths of all texts.
func (w *formWriter) appendLengths(dst []byte, b *Batch) []byte {
	if len(b.TextEnd) == 0 {
		return dst
	}
	lengths := sized(w.numbers, len(b.TextEnd)-1)
	w.numbers = lengths
	before := uint32(0)
	for i, end := range b.TextEnd[1:] {
		lengths[i] = uint64(end - before)
		if w.marks[i+1]&textDerived != 0 {
			lengths[i] = 0
		}
		before = end
	}
	return appendNumbers(dst, lengths)
}

// appendText appends the bytes of all texts that have a length.
func (w *formWriter) appendText(dst []byte, b *Batch) []byte {
	from := uint32(0)
	for _, id := range w.derived {
		dst = append(dst, b.Text[from:b.TextEnd[id-1]]...)
		from = b.TextEnd[id]
	}
	return append(dst, b.Text[from:]...)
}

// appendTimes appends starts and durations.
func (w *formWriter) appendTimes(dst []byte, b *Batch) []byte {
	if b.Len() == 0 {
		return dst
	}
	numbers := sized(w.numbers, b.Len())
	w.numbers = numbers
	before := b.Starts[0]
	for i, start := range b.Starts {
		numbers[i] = zigzag(start - before)
		before = start
	}
	dst = appendNumbers(binary.AppendUvarint(dst, b.Starts[0]), numbers[1:])
	for i, start := range b.Starts {
		numbers[i] = b.Ends[i] - start
	}
	return appendNumbers(dst, numbers)
}
