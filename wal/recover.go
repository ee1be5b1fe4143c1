package wal

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/stoadb/stoa/internal/codec"
)

// recover reads all files, rebuilds the streams, cuts a torn tail, makes sure that what
// it has read is durable, and starts a new file.
//
// Damage is a torn tail only if nothing behind it was ever synced. A later commit header
// that claims more was synced than where we stand, or any header in a later file, means
// that acknowledged entries are damaged: we stop and say where, rather than guess how
// much to throw away.
func (l *Log) recover() (Recovery, error) {
	rec := Recovery{}
	if err := l.fs.MkdirAll(l.dir); err != nil {
		return rec, err
	}
	stale, ids, err := l.list()
	if err != nil {
		return rec, err
	}
	gap := len(stale) > 0
	var (
		walks []*walk
		r     = replay{log: l}
	)
	for i, id := range ids {
		w, err := l.open(id)
		if err != nil {
			return rec, err
		}
		walks = append(walks, w)
		err = r.file(w, i == 0)
		if err == nil {
			w.in.buf = nil // not one buffer for each file
			continue
		}
		if !errors.Is(err, errTorn) {
			return rec, err
		}
		if err := l.tornTail(w, ids[i+1:], &rec); err != nil {
			return rec, err
		}
		stale = append(stale, ids[i+1:]...)
		break
	}
	if gap && walks[0].at == 0 {
		return rec, codec.At(errGap, l.path(ids[0]-1), 0)
	}
	if err := l.complete(ids); err != nil {
		return rec, err
	}
	rec.Clean = len(ids) == 0 || (r.ended && rec.TornBytes == 0)
	for _, w := range walks {
		rec.Files++
		rec.Bytes += w.at
		l.files[w.id].bytes = w.at
	}
	for _, s := range l.streams {
		s.queued = s.durable
		rec.Entries += uint64(len(s.entries))
	}
	l.stats.TornBytes = rec.TornBytes
	return rec, l.settle(walks, stale)
}

// list names the files to read, one run of ids without a gap, and the stale ones in
// front of it: files are deleted from the front, and a power cut may bring one back.
func (l *Log) list() (stale, ids []uint64, err error) {
	names, err := l.fs.List(l.dir)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range names {
		if id, ok := parseFileName(name); ok {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	start := 0
	for i := 1; i < len(ids); i++ {
		if ids[i] != ids[i-1]+1 {
			start = i
		}
	}
	return slices.Clone(ids[:start]), ids[start:], nil
}

// errGap is the damage of a gap behind which no commit stands. A file is deleted only when a later one
// holds commits: so what is in front of the gap is not stale, and the file between is missing.
var errGap = codec.Corrupt("file is missing: there are files in front of it, and no commit behind it")

func (l *Log) open(id uint64) (*walk, error) {
	f, err := l.fs.Open(l.path(id))
	if err != nil {
		return nil, err
	}
	l.files[id] = &logFile{id: id, file: f}
	return newWalk(id, l.path(id), f)
}

// errTorn marks bytes that are no commit; the caller finds out what they are.
var errTorn = errors.New("not a commit")

// replay applies records to the streams of a log.
type replay struct {
	log   *Log
	ended bool // the last record was an end record
}

// file replays one file. Its error wraps errTorn if its commits end in other bytes than
// zeros.
func (r *replay) file(w *walk, oldest bool) error {
	for {
		at := w.at
		records, err := w.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, codec.ErrCorrupt):
			return codec.At(fmt.Errorf("%w: %w", errTorn, err), w.path, at)
		case err != nil:
			return codec.At(err, w.path, at)
		}
		for i := range records {
			p := &records[i]
			if err := r.apply(&p.record, p.position, oldest); err != nil {
				return codec.At(err, w.path, int64(p.offset))
			}
		}
	}
}

func (r *replay) apply(rec *record, at position, oldest bool) error {
	first := at.offset == headerBytes
	if first != (rec.kind == kindState) {
		return codec.Corrupt("record of %v at the wrong place", rec.kind)
	}
	if r.ended && !first {
		return codec.Corrupt("record of %v behind the end", rec.kind)
	}
	r.ended = rec.kind == kindEnd
	switch rec.kind {
	case kindEnd:
		return nil
	case kindState:
		return r.state(rec.payload, oldest)
	default:
		return r.log.stream(rec.shard).apply(rec, at)
	}
}

// state begins with the oldest file's state; that of each later file must be what the
// files before it led to.
func (r *replay) state(payload []byte, oldest bool) error {
	states, err := parseState(payload)
	if err != nil {
		return err
	}
	if oldest {
		for _, st := range states {
			r.log.stream(st.shard).adopt(st)
		}
	}
	if got := appendState(nil, r.log.usedStreams()); string(got) != string(payload) {
		return codec.Corrupt("the files before this one lack something: %s", r.difference(states))
	}
	return nil
}

func (r *replay) difference(states []streamState) string {
	for _, st := range states {
		if s := r.log.stream(st.shard); s.durable != st.bounds {
			return fmt.Sprintf("shard %d holds Seq %d to %d, should hold %d to %d",
				st.shard, s.durable.first, s.durable.last, st.bounds.first, st.bounds.last)
		}
	}
	return "stable keys or streams differ"
}

// tornTail decides about the bytes at w.at: nil means a torn tail, described in rec.
func (l *Log) tornTail(w *walk, later []uint64, rec *Recovery) error {
	rest, err := w.rest()
	if err != nil {
		return err
	}
	if rest.newer != nil {
		return rest.newer
	}
	if rest.found {
		return codec.At(codec.Corrupt("damaged commit: the one at offset %d says that all before %d was synced",
			rest.later.offset, rest.later.syncedUpTo), w.path, w.at)
	}
	rec.File, rec.Offset, rec.TornBytes = w.path, w.at, rest.used-w.at
	for _, id := range later {
		next, err := l.open(id)
		if err != nil {
			return err
		}
		rest, err := next.rest()
		if err != nil {
			return err
		}
		if rest.newer != nil {
			return rest.newer
		}
		if rest.any {
			return codec.At(codec.Corrupt("damaged commit: %s was begun after it was synced", next.path), w.path, w.at)
		}
		rec.TornBytes += rest.used
	}
	return nil
}

// complete checks that no file is missing: every entry that a stream should hold was
// found.
func (l *Log) complete(ids []uint64) error {
	for _, s := range l.usedStreams() {
		if s.complete() {
			continue
		}
		missing := uint64(0)
		if len(ids) > 0 {
			missing = ids[0] - 1
		}
		return codec.At(codec.Corrupt("file is missing: shard %d should hold Seq %d to %d, %d of them were found",
			s.shard, s.durable.first, s.durable.last, len(s.entries)), l.path(missing), 0)
	}
	return nil
}

// settle makes durable what was read, deletes what was not, and starts the next file.
//
// After a kill the last commits may stand in the page cache alone, and after a failed
// sync the kernel takes them for clean: syncing again would do nothing. So the bytes
// that no header vouches for are written once more, the same bytes in the same place.
func (l *Log) settle(walks []*walk, stale []uint64) error {
	next := uint64(1)
	if n := len(walks); n > 0 && walks[n-1].at == 0 {
		next = walks[n-1].id // not a single commit: its name is used again
		stale = append(stale, next)
		walks = walks[:n-1]
	}
	if n := len(walks); n > 0 {
		next = walks[n-1].id + 1
		if err := l.rewrite(walks[n-1]); err != nil {
			return err
		}
	}
	slices.Sort(stale)
	for _, id := range stale {
		f := l.files[id]
		delete(l.files, id)
		if f == nil { // in front of the run: never opened
			if err := l.fs.Remove(l.path(id)); err != nil {
				return err
			}
		} else if err := l.drop(f); err != nil {
			return err
		}
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return err
	}
	if err := l.startFile(next, 0); err != nil {
		return err
	}
	return l.dropFront()
}

func (l *Log) rewrite(w *walk) error {
	f := l.files[w.id].file
	for at := w.last.syncedUpTo; at < w.at; {
		b, err := w.in.bytes(at, min(w.at-at, scanBytes))
		if err == nil && len(b) > 0 {
			_, err = f.WriteAt(b, at)
		}
		if err != nil {
			return fmt.Errorf("%s: write again at %d: %w", w.path, at, err)
		}
		if len(b) == 0 {
			break // the file ends inside the last padding
		}
		at += int64(len(b))
	}
	if w.in.size > w.at {
		if err := f.Truncate(w.at); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("%s: sync: %w", w.path, err)
	}
	return nil
}
