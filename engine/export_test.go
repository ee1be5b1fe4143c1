package engine

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
