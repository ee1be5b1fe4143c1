package engine

import (
	"bytes"
	"context"
	"slices"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// What is made of a trace's rows is good as long as these stand in the same segments, and nowhere else:
// segments never change. So answers are kept with the segments, and found again by them.

// traceHome is where a trace stands, if it stands in segments only.
type traceHome struct {
	first  *segment.Segment // nil where it stands in none, or in a memtable too
	trace  int              // its number there
	others []uint64         // numbers of the other segments
	few    [6]uint64        // others, where it has room
}

func (p *traceHome) find(v *view, id span.TraceID) error {
	for _, t := range v.tables {
		if t.holds(id, t.count) {
			return nil
		}
	}
	p.others = p.few[:0]
	for _, l := range v.segments {
		s, i, err := l.FindTrace(id)
		switch {
		case err != nil:
			return err
		case s == nil:
		case p.first == nil:
			p.first, p.trace = s, i
		default:
			p.others = append(p.others, s.Number())
		}
	}
	return nil
}

// kept is what was made of a trace, and what makes it good beside the segment that it is kept with.
type kept[T any] struct {
	others []uint64
	made   T
}

// keptOf gives what is kept of a trace, nil where nothing is that is good.
func keptOf[T any](m segment.Made, p *traceHome) *T {
	if p.first == nil {
		return nil
	}
	if k, ok := p.first.Kept(m, p.trace).(*kept[T]); ok && slices.Equal(k.others, p.others) {
		return &k.made
	}
	return nil
}

func keep[T any](m segment.Made, p *traceHome, made T, bytes int) {
	if p.first != nil {
		p.first.Keep(m, p.trace, &kept[T]{slices.Clone(p.others), made}, bytes+8*len(p.others))
	}
}

// keptAnswer gathers the messages of a trace that may be kept; an answer that is too long is let go of.
// Few are kept at once, many when the trace is asked for again: most of what is found is not.
type keptAnswer struct {
	messages        []keptMessage
	bytes, bytesMax int  // of what is kept; below 0: nothing is
	packs           bool // messages that are too long to be kept as they are
}

// keptMessage is one message of an answer: as it is sent, or packed.
type keptMessage struct {
	bytes  []byte
	packed bool // as an S2 block
}

// mayKeep begins an answer that is made of the trace.
func (p *traceHome) mayKeep() keptAnswer {
	if p.first == nil {
		return keptAnswer{bytesMax: -1}
	}
	most := p.first.MadeBytesMax()
	if p.first.AskedAgain(p.trace) {
		return keptAnswer{bytesMax: most, packs: true}
	}
	return keptAnswer{bytesMax: min(most, keptPlainBytesMax)}
}

// give yields a message that was made. Where it is kept as it is, readers get that.
func (a *keptAnswer) give(chunk []byte, yield func(span.Chunk) error) error {
	if len(chunk) <= keptPlainBytesMax && a.bytes+len(chunk) <= a.bytesMax {
		own := bytes.Clone(chunk)
		a.add(keptMessage{bytes: own})
		return yield(span.Chunk{Bytes: own, Stays: true})
	}
	if err := yield(span.Chunk{Bytes: chunk}); err != nil {
		return err
	}
	if !a.packs || a.bytes > a.bytesMax {
		a.letGo()
		return nil
	}
	buffer := codec.Buffers.Get(codec.S2BytesMax(len(chunk)))
	defer codec.Buffers.Put(buffer)
	packed := codec.AppendS2((*buffer)[:0], chunk)
	if a.bytes+len(packed) > a.bytesMax {
		a.letGo()
		return nil
	}
	a.add(keptMessage{bytes.Clone(packed), true})
	return nil
}

func (a *keptAnswer) add(m keptMessage) {
	a.bytes += cap(m.bytes)
	a.messages = append(a.messages, m)
}

func (a *keptAnswer) letGo() { *a = keptAnswer{bytesMax: -1} }

// yieldKept yields the messages of an answer that was kept.
func yieldKept(ctx context.Context, messages []keptMessage, yield func(chunk span.Chunk) error) error {
	for _, m := range messages {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := m.yield(yield); err != nil {
			return err
		}
	}
	return nil
}

func (m keptMessage) yield(yield func(chunk span.Chunk) error) error {
	if !m.packed {
		return yield(span.Chunk{Bytes: m.bytes, Stays: true})
	}
	size, err := codec.S2ContentBytes(m.bytes)
	if err != nil {
		return err
	}
	buffer := codec.Buffers.Get(size)
	if _, err := codec.DecodeS2((*buffer)[:0], m.bytes); err != nil {
		return err
	}
	return yield(span.Chunk{Bytes: *buffer, Stays: true, Buffer: buffer})
}

// Get is Rows as OTLP messages (see otlp.Encoder): what a reader of the trace is sent. They are kept for
// the next reader, see keptAnswer.
func (s *Shard) Get(ctx context.Context, id span.TraceID, yield func(chunk span.Chunk) error) error {
	v, err := s.view()
	if err != nil {
		return err
	}
	defer v.close()
	var p traceHome
	if err := p.find(v, id); err != nil {
		return err
	}
	if messages := keptOf[[]keptMessage](segment.MadeAnswer, &p); messages != nil {
		return yieldKept(ctx, *messages, yield)
	}
	answer := p.mayKeep()
	err = v.encode(ctx, id, func(chunk []byte) error { return answer.give(chunk, yield) })
	if err == nil && answer.messages != nil {
		keep(segment.MadeAnswer, &p, answer.messages, answer.bytes)
	}
	return err
}
