package engine

import (
	"sync"

	"github.com/stoadb/stoa/internal/codec"
)

// seen is the exactly-once window: the hashes of the parts applied last, at most
// seenHashesMax, and of those the ones no older than seenAge at the entry's own time. Apply
// asks no other clock, but the window after a restart comes from the footers and may hold
// less than before: a copy that it lets through is still dropped by content, at read and
// at merge.
type seen struct {
	mu   sync.Mutex
	ring []seenHash
	next int // position in ring of the oldest, once it is full
	last map[codec.Hash]int64
}

// seenHash is one applied part.
type seenHash struct {
	hash     codec.Hash
	received int64
}

func newSeen() *seen {
	return &seen{last: make(map[codec.Hash]int64)}
}

// has reports whether the part stands in the window at time now.
func (s *seen) has(hash codec.Hash, now int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	received, ok := s.last[hash]
	// A difference that overflows comes from a clock at its ends: not a copy we know.
	age := now - received
	return ok && age <= int64(seenAge)
}

// add notes an applied part.
func (s *seen) add(hash codec.Hash, received int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ring) < seenHashesMax {
		s.ring = append(s.ring, seenHash{hash, received})
	} else {
		old := s.ring[s.next]
		// A hash applied again after its age ran out stands in the ring twice; the
		// younger one is what the map knows.
		if s.last[old.hash] == old.received {
			delete(s.last, old.hash)
		}
		s.ring[s.next] = seenHash{hash, received}
		s.next = (s.next + 1) % len(s.ring)
	}
	s.last[hash] = received
}
