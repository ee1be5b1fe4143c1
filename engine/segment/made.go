package segment

import (
	"sync/atomic"

	"github.com/stoadb/stoa/internal/codec"
)

// Made is what a question made of the rows of one trace. It is kept with Pages, within the same bytes, for
// the next who asks the same of the trace.
type Made uint8

const (
	MadeAnswer  Made = iota // the whole trace as messages
	MadeSummary             // its summary
)

// offset gives what is made a place in Pages beside the pages of the file and the blocks of
// templates: first is the trace's first row.
func (m Made) offset(first int) int64 { return -int64(m+1)<<40 - int64(first) }

// Number tells the segment from all others that are open, or were.
func (s *Segment) Number() uint64 { return s.own.number }

// Kept gives what Keep kept of trace i; nil where nothing is kept, or not any more. It is shared,
// and not to be changed.
func (s *Segment) Kept(m Made, i int) any {
	if s.pages == nil {
		return nil
	}
	first, _ := s.TraceRows(i)
	_, made := s.pages.use(pageKey{&s.own, m.offset(first)})
	return made
}

// Keep keeps what was made of trace i, in so many bytes, unless these are more than MadeBytesMax, instead
// of what was kept of it before.
func (s *Segment) Keep(m Made, i int, made any, bytes int) {
	if bytes > s.MadeBytesMax() {
		return
	}
	first, _ := s.TraceRows(i)
	s.pages.putMade(pageKey{&s.own, m.offset(first)}, made, bytes+madeOverheadBytes)
}

// MadeBytesMax is how much Keep takes of one trace, in bytes: a part of what is kept together, so that
// a large trace does not push out all else. Negative: nothing is kept.
func (s *Segment) MadeBytesMax() int {
	if s.pages == nil || s.pages.forgetsMade {
		return -1
	}
	return s.pages.shards[0].bytesMax / madeShare
}

// AskedAgain notes that somebody asks for trace i, and reports whether somebody did not long ago.
func (s *Segment) AskedAgain(i int) bool {
	if s.MadeBytesMax() < 0 {
		return false
	}
	first, _ := s.TraceRows(i)
	return s.pages.asked.again(codec.Mixed(s.own.number, uint64(first)))
}

// askedLately knows the hashes that came lately, each until another one comes to its place.
type askedLately [askedPlaces]atomic.Uint32

func (a *askedLately) again(hash uint64) bool {
	mark := uint32(hash>>32) | 1
	return a[hash%askedPlaces].Swap(mark) == mark
}
