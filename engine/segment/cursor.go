package segment

import (
	"sync"

	"github.com/stoadb/stoa/engine/span"
)

// ReadFunc reads a row group of a segment: ReadGroup, or a cache over it.
type ReadFunc func(s *Segment, group int) (*span.Batch, error)

// Cursor goes over the rows of one trace in order, across row groups. It holds one batch
// at a time; a row is good for as long as the caller keeps it, but for attributes that
// Projection.Write has written: those are good until the next Next.
type Cursor struct {
	s         *Segment
	read      ReadFunc   // of whole groups; nil reads the trace's rows alone
	p         Projection // of that
	next, end int        // rows of the segment
	first     int        // row of the segment that is row 0 of batch
	batch     *span.Batch
	written   *[]byte // of batch, where its attributes are written
	row       span.Row
	err       error
}

// Trace gives a cursor over trace i that reads its rows alone, with p.
func (s *Segment) Trace(i int, p Projection) *Cursor {
	first, rows := s.TraceRows(i)
	return &Cursor{s: s, p: p, next: first, end: first + rows}
}

// TraceBetween is Trace without the row groups that have no row which starts in [low, high]:
// of a trace of many, in which rows stand by their starts.
func (s *Segment) TraceBetween(i int, p Projection, low, high uint64) *Cursor {
	c := s.Trace(i, p)
	for c.next < c.end {
		g := s.Group(s.GroupOfRow(c.next))
		if g.MaxStart >= low {
			break
		}
		c.next = min(g.FirstRow+g.Rows, c.end)
	}
	for c.next < c.end {
		g := s.Group(s.GroupOfRow(c.end - 1))
		if g.MinStart <= high {
			break
		}
		c.end = max(g.FirstRow, c.next)
	}
	return c
}

// TraceWith gives a cursor over trace i that reads whole row groups by read: for who comes
// by all of their traces.
func (s *Segment) TraceWith(i int, read ReadFunc) *Cursor {
	first, rows := s.TraceRows(i)
	return &Cursor{s: s, read: read, next: first, end: first + rows}
}

// Next goes to the next row; false at the end or at an error.
func (c *Cursor) Next() bool {
	if c.err != nil || c.next == c.end {
		c.release()
		return false
	}
	if (c.batch == nil || c.next >= c.first+c.batch.Len()) && !c.load() {
		return false
	}
	c.row = span.Row{Batch: c.batch, Pos: c.next - c.first}
	c.next++
	return true
}

// load reads the part of the trace, or the row group, that the next row stands in.
func (c *Cursor) load() bool {
	group := c.s.GroupOfRow(c.next)
	info := c.s.Group(group)
	c.first = info.FirstRow
	if c.read != nil {
		c.batch, c.err = c.read(c.s, group)
		return c.err == nil
	}
	if c.p.Write != nil && c.written == nil {
		c.written = writtenBuffers.Get().(*[]byte)
	}
	var into []byte
	if c.written != nil {
		into = *c.written
	}
	c.batch, c.err = c.s.readRows(group, c.next-c.first, min(c.end-c.first, info.Rows), c.p, into)
	c.first = c.next
	if c.err == nil && c.batch.WrittenEnds != nil {
		*c.written = c.batch.Written
	}
	return c.err == nil
}

// Whole reads the row that Next went to anew, and all that follow, with attributes as lists; it
// does nothing where they are that. What was written is good no more.
func (c *Cursor) Whole() error {
	if c.p.Write == nil {
		return nil
	}
	written := c.batch.WrittenEnds != nil
	if c.p.Write = nil; !written {
		return nil
	}
	c.next, c.batch = c.next-1, nil
	c.release()
	c.Next()
	return c.err
}

// release gives the memory of what was written to other cursors.
func (c *Cursor) release() {
	if c.written != nil && cap(*c.written) <= writtenBytesMax {
		writtenBuffers.Put(c.written)
	}
	c.written = nil
}

// writtenBuffers are for cursors that come one after another: what an answer's attributes take is
// most of it.
var writtenBuffers = sync.Pool{New: func() any { return new([]byte) }}

// Row is the row that Next went to.
func (c *Cursor) Row() span.Row { return c.row }

// Err is why Next stopped early, nil at the end of the trace.
func (c *Cursor) Err() error { return c.err }
