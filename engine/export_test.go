package engine

import "unsafe"

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
