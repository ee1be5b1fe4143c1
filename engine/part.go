package engine

import (
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
	"github.com/stoadb/stoa/internal/codec"
)

// Part is what one request had for this shard.
type Part struct {
	// Hash is that of Form; of Request where that is what the log has.
	Hash codec.Hash
	// Bytes is what the spans took in the request, or more: see CountedBytes. Queues and the sealing of
	// memtables go by it: it stands in the entry, so that all replicas seal alike.
	Bytes int
	// Form is what the log keeps (span.Batch.AppendBinary). Its memory is the proposer's again
	// once the part is decided: Apply keeps nothing of it.
	Form []byte
	// Request stands in the place of Form in an entry of version 1: an OTLP
	// ExportTraceServiceRequest.
	Request []byte
	// Batch is what Form or Request says. It is nil after DecodeEntry; Apply then reads it.
	Batch *span.Batch
}

// CountedBytes is what a part counts whose spans took so many bytes in the request: twice what they take
// in memory, where that is more, up to what an entry may say. Most spans take half of their requests; those whose
// keys and values never repeat, or whose requests are short beside them, take as much and more (decision 0042).
func CountedBytes(batch *span.Batch, bytes int) int {
	return max(bytes, min(memoryTimes*batch.MemoryBytes(), partBytesMax))
}

// NewPart makes a part of a batch which counts so many bytes. The form is in memory that FreeForm gives back.
func NewPart(batch *span.Batch, bytes int) Part {
	working := workingForms.Get()
	form := batch.AppendBinary((*working)[:0])
	kept := forms.Get(len(form))
	copy(*kept, form)
	p := Part{Hash: codec.HashBytes(*kept), Bytes: bytes, Form: *kept, Batch: batch}
	if *working = form; cap(form) <= formKeptBytesMax {
		workingForms.Put(working)
	}
	return p
}

// FreeForm gives the memory of the form back, at which nobody looks any more. It need not be
// called.
func (p *Part) FreeForm() {
	form := p.Form
	p.Form = nil
	forms.Put(&form)
}

// Forms are made where there is room for any, and kept in memory of their own size.
var (
	workingForms = codec.Held[[]byte]{New: func() *[]byte { return new([]byte) }, Most: workingFormsHeldMax}
	forms        codec.BufferPool
)

// read gives the batch of a part.
func (p *Part) read() (*span.Batch, error) {
	switch {
	case p.Batch != nil:
		return p.Batch, nil
	case p.Request != nil:
		batch, _, err := otlp.Walk(p.Request)
		return batch, err
	}
	return span.DecodeBatch(p.Form, p.batchBytesMax())
}

// batchBytesMax is what the part's batch may take in memory: more than the walk of any
// request makes. Lists take up to 24 times what they took in the request (a link of no
// bytes), texts and envelopes a few times their form, and a message that its attributes
// give what a request holds.
func (p *Part) batchBytesMax() int { return 32*(p.Bytes+len(p.Form)) + otlp.RequestBytesMax }

// setAside is a file of the quarantine.
type setAside struct {
	name    string
	content []byte
}

// Endings of the quarantine's files.
const (
	requestSuffix = ".otlp"
	formSuffix    = ".form"
)

// setAside gives what the quarantine keeps of a part: its spans as an OTLP request; its form
// as it stands where nobody can read it.
func (p *Part) setAside(batch *span.Batch) setAside {
	content, suffix := p.Request, requestSuffix
	switch {
	case p.Request != nil:
	case batch != nil:
		rows := make([]span.Row, batch.Len())
		for i := range rows {
			rows[i] = span.Row{Batch: batch, Pos: i}
		}
		content = otlp.AppendTraces(nil, rows)
	default:
		content, suffix = append([]byte(nil), p.Form...), formSuffix // the proposer uses its memory again
	}
	return setAside{codec.HashBytes(content).String() + suffix, content}
}
