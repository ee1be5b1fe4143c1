package engine

import (
	"bytes"
	"context"
	"slices"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
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

// answerBytesMax is the longest answer that is to be kept of the trace, in bytes. Few are kept at once,
// many when the trace is asked for again: most of what is found is not, and large ones push out much.
func (p *traceHome) answerBytesMax() int {
	if p.first == nil {
		return -1
	}
	most := p.first.MadeBytesMax()
	if p.first.AskedAgain(p.trace) {
		return most
	}
	return min(most, keptAtOnceBytesMax)
}

// keptAnswer gathers an answer that may be kept; one that is too long is let go of.
type keptAnswer struct {
	chunks          [][]byte
	bytes, bytesMax int
}

// add gives the chunk that a reader is to have, which is the one that is kept.
func (a *keptAnswer) add(chunk []byte) span.Chunk {
	if a.bytes+len(chunk) > a.bytesMax {
		a.chunks, a.bytesMax = nil, -1
		return span.Chunk{Bytes: chunk}
	}
	own := bytes.Clone(chunk)
	a.bytes += cap(own)
	a.chunks = append(a.chunks, own)
	return span.Chunk{Bytes: own, Stays: true}
}

// Get is Rows as OTLP messages (see otlp.Encoder): what a reader of the trace is sent. They are kept for
// the next reader, see answerBytesMax.
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
	if chunks := keptOf[[][]byte](segment.MadeAnswer, &p); chunks != nil {
		return yieldAll(ctx, *chunks, yield)
	}
	answer := keptAnswer{bytesMax: p.answerBytesMax()}
	err = v.encode(ctx, id, func(chunk []byte) error { return yield(answer.add(chunk)) })
	if err == nil && answer.chunks != nil {
		keep(segment.MadeAnswer, &p, answer.chunks, answer.bytes)
	}
	return err
}

func yieldAll(ctx context.Context, chunks [][]byte, yield func(chunk span.Chunk) error) error {
	for _, chunk := range chunks {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := yield(span.Chunk{Bytes: chunk, Stays: true}); err != nil {
			return err
		}
	}
	return nil
}
