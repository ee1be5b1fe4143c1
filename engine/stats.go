package engine

// Stats is the shard's state in figures, for /metrics and tests.
type Stats struct {
	MemtableRows, MemtableBytes int   // of the memtable and what waits for its flush; bytes as parts count them
	Frozen                      int   // memtables waiting for their flush
	Segments                    int   //
	SegmentRows, SegmentBytes   int64 // rows may stand in several segments
	Traces                      int64 // the same
	TableBytes                  int64 // that open segments hold in memory
	Flushes, FlushFailures      int
	Merges, MergeFailures       int
	Dropped                     int // segments, by retention or disk budget
	Damaged                     int // live segments of which something could not be read
	Quarantined                 int
	QuarantinedSpans            int // set aside by this process; 1 for a part that cannot be walked
	Applied, Flushed            uint64
}

// TableBytes is what the tables of live segments take in memory, about.
func (s *Shard) TableBytes() (bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live == nil {
		return 0
	}
	for _, l := range s.live.segments {
		bytes += l.MemoryBytes()
	}
	return bytes
}

// Stats gives the figures of this moment.
func (s *Shard) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.Applied, st.Flushed, st.Quarantined, st.Frozen = s.applied, s.flushed, s.quarantined, len(s.frozen)
	st.MemtableRows, st.MemtableBytes = s.memRows, int(s.memBytes)
	for _, m := range s.frozen {
		st.MemtableRows += m.rows
		st.MemtableBytes += int(m.bytes)
	}
	if s.live == nil {
		return st
	}
	for _, l := range s.live.segments {
		info := l.Info()
		st.Segments++
		st.SegmentRows += int64(info.Rows)
		st.SegmentBytes += info.Bytes
		st.Traces += int64(info.Traces)
		st.TableBytes += l.MemoryBytes()
		if l.Err() != nil {
			st.Damaged++
		}
	}
	return st
}
