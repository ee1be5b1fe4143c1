package engine

import "sync"

// memtableRoom is what the memtables of all shards of a gate may hold together, frozen ones too.
//
// Flushes give way to requests, so under full load every memtable would fill while the frozen
// ones wait, and a node would hold twice what its shards seal at. Where the room is taken, Apply
// waits until a flush has ended. When that is changes no segment: sealing goes by what was
// applied.
type memtableRoom struct {
	mu       sync.Mutex
	taken    int64         // bytes, as parts count them
	most     int64         // the shards' Options.RoomBytes together; 0 is no bound
	draining int           // shards of which a flush will give room back
	changed  chan struct{} // closed and replaced when who waits shall look again
}

// roomTaken is one shard's part.
type roomTaken struct {
	bytes, most int64
	draining    bool
}

func newRoom() *memtableRoom { return &memtableRoom{changed: make(chan struct{})} }

// replace puts a shard's part in the place of what it was.
func (r *memtableRoom) replace(was *roomTaken, now roomTaken) {
	if *was == now {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken += now.bytes - was.bytes
	r.most += now.most - was.most
	if was.draining {
		r.draining--
	}
	if now.draining {
		r.draining++
	}
	if now.bytes < was.bytes || now.most != was.most || was.draining && !now.draining {
		r.signal()
	}
	*was = now
}

// look has all who wait look again.
func (r *memtableRoom) look() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.signal()
}

func (r *memtableRoom) signal() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// full tells whether Apply shall wait, and what is closed when it shall look again.
func (r *memtableRoom) full() (changed <-chan struct{}, full bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed, r.most > 0 && r.taken >= r.most && r.draining > 0
}

// takeRoom tells the gate what the shard holds; s.mu is held.
func (s *Shard) takeRoom() {
	var now roomTaken
	if !s.closed {
		now = roomTaken{bytes: s.memBytes, most: s.o.RoomBytes, draining: len(s.frozen) > 0 && s.flushErr == nil}
		for _, m := range s.frozen {
			now.bytes += m.bytes
		}
	}
	s.o.Gate.room.replace(&s.taken, now)
}

// awaitRoom waits while the gate's room is taken and a flush will change that, or until the
// shard is closed.
func (s *Shard) awaitRoom() {
	for {
		changed, full := s.o.Gate.room.full()
		if !full {
			return
		}
		s.mu.Lock()
		closed := s.closed
		s.mu.Unlock()
		if closed {
			return
		}
		s.o.Gate.held.Add(1)
		<-changed
		s.o.Gate.held.Add(-1)
	}
}
