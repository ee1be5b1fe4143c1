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
		p.first.Keep(m, p.trace, &kept[T]{slices.Clone(p.others), made}, bytes+p.overheadBytes())
	}
}

// overheadBytes is what anything that is kept takes beside what was made.
func (p *traceHome) overheadBytes() int { return 8 * len(p.others) }

// keptMessages are the messages of an answer, or the note that they are too long to be kept.
type keptMessages struct {
	messages []keptMessage
	tooLong  bool
}

// keptMessage is one message of an answer: as it is sent, or packed.
type keptMessage struct {
	bytes  []byte
	packed bool // as an S2 block
}

// keptAnswer gathers the messages of a trace that may be kept; an answer that is too long is let go of.
// Few are kept at once, many when the trace is asked for again: most of what is found is not.
type keptAnswer struct {
	keptMessages
	bytes, bytesMax int
	packs           bool // messages that are too long to be kept as they are
	over            bool // nothing of it is kept
}

// mayKeep begins an answer that is made of the trace; known is what is kept of it already.
func (p *traceHome) mayKeep(known *keptMessages) keptAnswer {
	if p.first == nil || known != nil || p.first.MadeBytesMax() < 0 {
		return keptAnswer{over: true}
	}
	most := p.first.MadeBytesMax() - p.overheadBytes()
	if p.first.AskedAgain(p.trace) {
		return keptAnswer{bytesMax: most, packs: true}
	}
	return keptAnswer{bytesMax: min(most, keptPlainBytesMax)}
}

// give yields a message that was made. Where it is kept as it is, readers get that.
func (a *keptAnswer) give(chunk []byte, yield func(span.Chunk) error) error {
	if !a.over && len(chunk) <= keptPlainBytesMax {
		if own := bytes.Clone(chunk); a.add(keptMessage{bytes: own}) {
			return yield(span.Chunk{Bytes: own, Stays: true})
		}
	}
	if err := yield(span.Chunk{Bytes: chunk}); err != nil {
		return err
	}
	switch {
	case a.over:
	case a.packs:
		buffer := codec.Buffers.Get(codec.S2BytesMax(len(chunk)))
		a.add(keptMessage{bytes.Clone(codec.AppendS2((*buffer)[:0], chunk)), true})
		codec.Buffers.Put(buffer)
	default:
		a.letGo()
	}
	return nil
}

// add keeps a message. Where there is no room for it, nothing of the answer is kept, which is noted if it
// can be no shorter.
func (a *keptAnswer) add(m keptMessage) bool {
	if a.bytes += cap(m.bytes); a.bytes > a.bytesMax {
		a.letGo()
		return false
	}
	a.messages = append(a.messages, m)
	return true
}

func (a *keptAnswer) letGo() {
	a.over, a.keptMessages = true, keptMessages{tooLong: a.packs}
}

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
	return yield(span.Chunk{Bytes: *buffer, Buffer: buffer})
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
	known := keptOf[keptMessages](segment.MadeAnswer, &p)
	if known != nil && !known.tooLong {
		return yieldKept(ctx, known.messages, yield)
	}
	answer := p.mayKeep(known)
	err = v.encode(ctx, id, func(chunk []byte) error { return answer.give(chunk, yield) })
	switch {
	case err != nil:
	case answer.tooLong:
		keep(segment.MadeAnswer, &p, keptMessages{tooLong: true}, 0)
	case answer.messages != nil:
		keep(segment.MadeAnswer, &p, answer.keptMessages, answer.bytes)
	}
	return err
}
