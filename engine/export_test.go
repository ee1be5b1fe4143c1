package engine

import (
	"unsafe"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// KeepsSplitCells tells whether the live version keeps what its split traces count, for the service
// graph and for rates.
func KeepsSplitCells(s *Shard) (edges, rates bool) {
	v := s.live
	keeps := func(k *keptSplit) bool {
		cells := k.cells.Load()
		return cells != nil && cells.parts != nil
	}
	return keeps(&v.splitEdges), keeps(&v.splitRates)
}

// SplitCellsBytes gives what that takes, 0 where nothing is kept.
func SplitCellsBytes(s *Shard) (edges, rates int) {
	v := s.live
	bytes := func(k *keptSplit) int {
		cells := k.cells.Load()
		if cells == nil || cells.parts == nil {
			return 0
		}
		n := cap(cells.names)*int(unsafe.Sizeof(cells.names[0])) + cap(cells.starts)*int(unsafe.Sizeof(timeRange{}))
		for _, o := range cells.names {
			n += len(o.Service) + len(o.Name)
		}
		for _, l := range append(cells.parts[:len(cells.parts):len(cells.parts)], cells.whole) {
			n += int(unsafe.Sizeof(l)) + cap(l.cells)*int(unsafe.Sizeof(splitCell{})) + 2*cap(l.sizes) + 4*cap(l.counts)
		}
		return n
	}
	return bytes(&v.splitEdges), bytes(&v.splitRates)
}

// TakeTurnOfCells takes the turn of who works such cells out; leave gives it back.
func TakeTurnOfCells(g *Gate) (leave func()) {
	g.cells <- struct{}{}
	return func() { <-g.cells }
}

// KeptBytesMax is what may be kept of a trace's answer, in bytes.
func (s *Shard) KeptBytesMax(id span.TraceID) int { return s.homeOf(id).first.MadeBytesMax() }

// KnownTooLong reports whether the shard knows that a trace's answer is too long to be kept.
func (s *Shard) KnownTooLong(id span.TraceID) bool {
	known := keptOf[keptMessages](segment.MadeAnswer, s.homeOf(id))
	return known != nil && known.tooLong
}

func (s *Shard) homeOf(id span.TraceID) *traceHome {
	v, err := s.view()
	if err != nil {
		panic(err)
	}
	defer v.close()
	p := new(traceHome)
	if err := p.find(v, id); err != nil {
		panic(err)
	}
	return p
}
