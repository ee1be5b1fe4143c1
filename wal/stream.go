package wal

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/invariant"
)

var (
	// ErrNotFound: the stream holds no entry of that Seq.
	ErrNotFound = errors.New("no such log entry")
	// ErrOrder: entries must follow each other without a gap.
	ErrOrder = errors.New("log entries out of order")
	// ErrTooLarge: an entry, key or value is over its limit.
	ErrTooLarge = errors.New("too large for the log")
)

// Entry is what a stream holds at one Seq. Type numbers are raft's LogType.
type Entry struct {
	Seq, Term  uint64
	Type       uint8
	Payload    []byte
	Extensions []byte
	AppendedAt int64 // Unix nanoseconds, as the appender stamped it
}

// Stream is one shard's view of the log: entries with consecutive Seq, and a few
// stable keys. All methods may be called from several goroutines. What they show is
// what is durable; appends in flight are not seen until they are.
type Stream struct {
	log   *Log
	shard uint32

	// All below is guarded by log.mu.
	queued  bounds // with everything that waits for the committer
	durable bounds
	entries []position // of the Seqs durable.last-len(entries)+1 .. durable.last
	keys    map[string][]byte
	staged  uint64 // commit for the next entries to carry
	commit  uint64 // carried by a durable entry
	used    bool   // something was ever recorded: it belongs into state records
}

// position is where a record stands.
type position struct {
	file           uint64
	offset, length uint32
}

// bounds are the first and last Seq of a stream; 0, 0 when it is empty.
type bounds struct{ first, last uint64 }

func (b *bounds) append(seq uint64) error {
	if seq == 0 || (b.last != 0 && seq != b.last+1) {
		return fmt.Errorf("%w: %d after %d", ErrOrder, seq, b.last)
	}
	if b.last == 0 {
		b.first = seq
	}
	b.last = seq
	return nil
}

func (b *bounds) front(through uint64) {
	switch {
	case through >= b.last:
		*b = bounds{}
	case through >= b.first:
		b.first = through + 1
	}
}

func (b *bounds) back(from uint64) {
	switch {
	case from <= b.first:
		*b = bounds{}
	case from <= b.last:
		b.last = from - 1
	}
}

// First is the lowest Seq, 0 when the stream is empty.
func (s *Stream) First() uint64 {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return s.durable.first
}

// Last is the highest durable Seq, 0 when the stream is empty.
func (s *Stream) Last() uint64 {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return s.durable.last
}

// Append adds entries and returns when they are durable (written, where a sync
// interval was chosen). The first follows Last()+1 of everything appended before, or
// is any Seq in an empty stream. All entries of one call reach the disk together or
// not at all. The payloads are copied before Append waits.
func (s *Stream) Append(entries ...Entry) error {
	p, err := s.Queue(entries...)
	if err != nil {
		return err
	}
	return p.Wait()
}

// Queue is the first half of Append: the entries have their place in the order, and
// their bytes are copied. Nothing of them goes to the disk before somebody waits, so who
// queues for several streams, or several appends, and waits then has them in one commit.
func (s *Stream) Queue(entries ...Entry) (Pending, error) {
	if len(entries) == 0 {
		return Pending{}, nil
	}
	var bytes int64
	for i := range entries {
		n := int64(len(entries[i].Payload)) + int64(len(entries[i].Extensions))
		if bytes += n; n > recordBytesMax-recordHeaderBytes || bytes > fileBytesMax/2 {
			return Pending{}, fmt.Errorf("%w: entry %d of %d bytes", ErrTooLarge, entries[i].Seq, n)
		}
	}
	l := s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.admit(); err != nil {
		return Pending{}, err
	}
	after := s.queued
	for i := range entries {
		if err := after.append(entries[i].Seq); err != nil {
			return Pending{}, fmt.Errorf("shard %d: %w", s.shard, err)
		}
	}
	for i := range entries {
		e := &entries[i]
		l.pending.add(s, record{
			kind: kindEntry, typ: e.Type, term: e.Term, seq: e.Seq,
			appendedAt: e.AppendedAt, commit: s.staged, extensions: e.Extensions, payload: e.Payload,
		})
	}
	s.queued = after
	return Pending{l.pending}, nil
}

// TruncateFront gives up all entries up to and including through. Files that nobody
// needs any more are deleted before it returns.
func (s *Stream) TruncateFront(through uint64) error {
	return s.change(record{kind: kindFront, seq: through}, func(b *bounds) { b.front(through) })
}

// TruncateBack gives up all entries from Seq from on: a new leader overrules them.
func (s *Stream) TruncateBack(from uint64) error {
	return s.change(record{kind: kindBack, seq: from}, func(b *bounds) { b.back(from) })
}

// change queues one record other than an entry and waits until it is durable.
func (s *Stream) change(r record, apply func(*bounds)) error {
	l := s.log
	l.mu.Lock()
	if err := l.admit(); err != nil {
		l.mu.Unlock()
		return err
	}
	apply(&s.queued)
	l.pending.add(s, r)
	p := Pending{l.pending}
	l.mu.Unlock()
	return p.Wait()
}

// SetCommit notes that entries up to seq are committed. The next entries of this stream
// carry it to the disk, and nothing else does: a note that outlived the entries it came
// with would vouch for others in their place (raft's CommitTrackingLogStore asks for
// this). It costs no sync of its own.
func (s *Stream) SetCommit(seq uint64) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.staged = max(s.staged, seq)
}

// Commit is the highest Seq that a durable entry has carried as committed.
func (s *Stream) Commit() uint64 {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return s.commit
}

// Get returns a copy of a stable key's value, and whether it was ever set.
func (s *Stream) Get(key []byte) (value []byte, ok bool) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	v, ok := s.keys[string(key)]
	return slices.Clone(v), ok
}

// Set makes a stable key (a vote, a term) durable.
func (s *Stream) Set(key, value []byte) error {
	if len(key) > keyBytesMax || len(value) > valueBytesMax {
		return fmt.Errorf("%w: key of %d bytes, value of %d", ErrTooLarge, len(key), len(value))
	}
	s.log.mu.Lock()
	_, known := s.keys[string(key)]
	full := !known && len(s.keys) >= keysMax
	s.log.mu.Unlock()
	if full {
		return fmt.Errorf("%w: %d stable keys", ErrTooLarge, keysMax)
	}
	payload := append(codec.AppendLengthBytes(nil, key), value...)
	return s.change(record{kind: kindSet, payload: payload}, func(*bounds) {})
}

// Read returns the entry of one Seq; the payload is the caller's own.
func (s *Stream) Read(seq uint64) (Entry, error) {
	e, _, err := s.read(seq, nil)
	return e, err
}

// Scan visits the entries that are durable now, from Seq from (or the first) on. An
// entry's slices are valid until visit returns. An error of visit ends the scan.
func (s *Stream) Scan(from uint64, visit func(Entry) error) error {
	s.log.mu.Lock()
	b := s.durable
	s.log.mu.Unlock()
	if b.last == 0 {
		return nil
	}
	var buf []byte
	for seq := max(from, b.first); seq <= b.last; seq++ {
		e, used, err := s.read(seq, buf)
		if err != nil {
			return err
		}
		if err := visit(e); err != nil {
			return err
		}
		if buf = used; cap(buf) > spareBytesMax {
			buf = nil
		}
	}
	return nil
}

// read fetches one entry into buf, growing it, and checks it again: a disk may rot
// after the log was opened.
func (s *Stream) read(seq uint64, buf []byte) (Entry, []byte, error) {
	l := s.log
	l.mu.Lock()
	at, ok := s.find(seq)
	if !ok {
		l.mu.Unlock()
		return Entry{}, buf, fmt.Errorf("shard %d Seq %d: %w", s.shard, seq, ErrNotFound)
	}
	if l.closed {
		l.mu.Unlock()
		return Entry{}, buf, ErrClosed
	}
	f := l.files[at.file]
	invariant.Check(f != nil, "shard %d Seq %d is in file %d, which is gone", s.shard, seq, at.file)
	f.readers++
	l.mu.Unlock()

	buf = slices.Grow(buf[:0], int(at.length))[:at.length]
	_, err := f.file.ReadAt(buf, int64(at.offset))
	l.release(f)
	if err != nil {
		return Entry{}, buf, codec.At(err, l.path(at.file), int64(at.offset))
	}
	r, _, err := parseRecord(buf)
	if err == nil && (r.kind != kindEntry || r.shard != s.shard || r.seq != seq) {
		err = codec.Corrupt("%v of shard %d Seq %d, wanted shard %d Seq %d", r.kind, r.shard, r.seq, s.shard, seq)
	}
	if err != nil {
		return Entry{}, buf, codec.At(err, l.path(at.file), int64(at.offset))
	}
	return r.entry(), buf, nil
}

func (s *Stream) find(seq uint64) (position, bool) {
	if s.durable.last == 0 || seq < s.durable.first || seq > s.durable.last {
		return position{}, false
	}
	back := s.durable.last - seq
	if back >= uint64(len(s.entries)) {
		return position{}, false // only during replay: complete() refuses such a stream
	}
	return s.entries[uint64(len(s.entries))-1-back], true
}

// apply makes a durable record visible. It is the one way in, for the committer and
// for replay; only replay can meet an error, in bytes that no correct writer left.
func (s *Stream) apply(r *record, at position) error {
	switch r.kind {
	case kindEntry:
		if err := s.durable.append(r.seq); err != nil {
			return codec.Corrupt("shard %d: %v", s.shard, err)
		}
		s.entries = append(s.entries, at)
		s.commit = max(s.commit, r.commit)
	case kindFront:
		s.durable.front(r.seq)
		s.keepNewest()
	case kindBack:
		before := s.durable
		s.durable.back(r.seq)
		gone := before.last - s.durable.last // an empty stream has last 0: all are gone
		s.entries = s.entries[:max(0, len(s.entries)-int(min(gone, uint64(len(s.entries)))))]
	case kindSet:
		rd := codec.NewReader(r.payload)
		key := string(rd.LengthBytes())
		if rd.Err() != nil {
			return codec.Corrupt("shard %d: stable key: %v", s.shard, rd.Err())
		}
		s.keys[key] = slices.Clone(rd.Bytes(rd.Len()))
	default:
		return codec.Corrupt("shard %d: record of %v", s.shard, r.kind)
	}
	s.used = true
	return nil
}

// keepNewest forgets the positions in front of durable.first.
func (s *Stream) keepNewest() {
	live := uint64(0)
	if s.durable.last != 0 {
		live = s.durable.last - s.durable.first + 1
	}
	if drop := uint64(len(s.entries)) - min(live, uint64(len(s.entries))); drop > 0 {
		s.entries = s.entries[drop:]
	}
}

// complete tells whether every entry between first and last has a position.
func (s *Stream) complete() bool {
	return s.durable.last == 0 || uint64(len(s.entries)) == s.durable.last-s.durable.first+1
}

func (s *Stream) sortedKeys() []string { return slices.Sorted(maps.Keys(s.keys)) }

func (s *Stream) adopt(st streamState) {
	s.durable, s.commit, s.keys, s.used = st.bounds, st.commit, st.keys, true
}
