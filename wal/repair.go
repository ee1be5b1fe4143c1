package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"slices"

	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/invariant"
	"github.com/stoadb/stoa/internal/vfs"
)

// Remains is what whole commits still hold of a log that Open refuses. Survey finds it,
// Renew makes a log of it.
//
// Streams know nothing of each other, so a hole in one takes nothing from another: of each
// the entries stay that follow each other, by their Seq, from what segments hold on. What
// comes behind a hole cannot be applied, however whole it is.
//
// The new log is one file behind all others, and the last step of making it is its name.
// From there on it is refused for as long as any older file with a commit is in front of it:
// it begins with streams that hold nothing, and the files in front do not lead to that. So
// who takes the old files away, oldest first, may be stopped anywhere: what is left is
// damage still, and Survey knows the new file again, or it is the new log alone.
type Remains struct {
	Streams []RemainingStream // by shard
	Unread  []Unread
	// Files are those that have to go once Renew is through, oldest first.
	Files []string
	// Renewed: a Renew before this one came to its end, but for the files in front of its own.
	Renewed bool
	// Halfway: a Renew before this one made a file which has damage itself. The files in front of it hold more than
	// it alone: see SurveyAll.
	Halfway bool

	fs  vfs.FS
	dir string
	ids []uint64 // of all files there are
}

// RemainingStream is what is left of one stream.
type RemainingStream struct {
	Flushed     uint64 // as Survey was told
	First, Last uint64 // what stays; 0, 0 where nothing does
	Known       uint64 // the highest Seq that anything in the log tells of
	GivenUp     uint64 // the highest Seq that was given up because segments held it

	holed   bool // nothing more can follow
	entries []position
	keys    map[string][]byte
}

// Unread are bytes that are no whole commit: damaged, or torn when the log was killed.
type Unread struct {
	File          string
	Offset, Bytes int64
}

// Survey reads the whole commits of the log in dir, also those behind damage, and changes
// nothing. flushed says of each shard up to which Seq segments hold everything. visit sees the
// entries behind that, and the last one before it if it is there, whose slices are valid until it
// returns; follows says that the entry stays. It answers whether the entry can be used: one that
// cannot is a hole. A log of a newer version is codec.ErrVersion. The caller holds the lock of the
// folder.
func Survey(fsys vfs.FS, dir string, flushed []uint64, visit func(shard uint32, e Entry, follows bool) bool) (*Remains, error) {
	return survey(fsys, dir, flushed, visit, false)
}

// SurveyAll is Survey of all files, also of those in front of what a Renew made that was stopped, or had no time to
// stay whole.
func SurveyAll(fsys vfs.FS, dir string, flushed []uint64, visit func(shard uint32, e Entry, follows bool) bool) (*Remains, error) {
	return survey(fsys, dir, flushed, visit, true)
}

func survey(fsys vfs.FS, dir string, flushed []uint64, visit func(shard uint32, e Entry, follows bool) bool, all bool) (*Remains, error) {
	r := &Remains{fs: fsys, dir: dir, Streams: make([]RemainingStream, len(flushed))}
	for i := range r.Streams {
		r.Streams[i] = RemainingStream{Flushed: flushed[i], keys: map[string][]byte{}}
	}
	names, err := fsys.List(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, name := range names {
		if id, ok := parseFileName(name); ok {
			r.ids = append(r.ids, id)
		}
	}
	slices.Sort(r.ids)
	start := 0
	if !all {
		if start, err = r.start(); err != nil {
			return nil, err
		}
	}
	for _, id := range r.ids[start:] {
		err := r.walk(id, func(w *walk) error { return r.file(w, visit) })
		if err != nil {
			return nil, err
		}
	}
	r.Renewed = start > 0 && r.whole(start)
	r.Halfway = start > 0 && !r.Renewed
	old := r.ids
	if r.Renewed {
		old = r.ids[:start]
	}
	for _, id := range old {
		r.Files = append(r.Files, r.path(id))
	}
	if !r.Renewed && !r.Halfway && r.renewedBytes() > fileBytesMax {
		return nil, fmt.Errorf("%w: more than %d bytes of entries stay, which no file holds", ErrTooLarge, int64(fileBytesMax))
	}
	return r, nil
}

// renewedBytes is what Renew may write: records, and for each scanBytes of them a header and what fills its last block.
func (r *Remains) renewedBytes() int64 {
	records := int64(0)
	for i := range r.Streams {
		for _, at := range r.Streams[i].entries {
			records += int64(at.length)
		}
	}
	return records + (records/scanBytes+int64(len(r.Streams))+4)*2*aligned(1)
}

// start is the index of the newest file, but for the first, that begins with streams that hold
// nothing: what Renew made, or one of a log that had taken nothing before it.
func (r *Remains) start() (int, error) {
	for i := len(r.ids) - 1; i > 0; i-- {
		found := false
		err := r.walk(r.ids[i], func(w *walk) error {
			records, err := w.next()
			if err == nil && len(records) > 0 && records[0].kind == kindState {
				states, err := parseState(records[0].payload)
				found = err == nil && len(states) == 0
			}
			if errors.Is(err, io.EOF) || errors.Is(err, codec.ErrCorrupt) {
				return nil // the survey comes by it
			}
			return err
		})
		if found || err != nil {
			return i, err
		}
	}
	return 0, nil
}

// whole tells whether the files from an index on are a log that covers all streams.
func (r *Remains) whole(start int) bool {
	for i := start + 1; i < len(r.ids); i++ {
		if r.ids[i] != r.ids[i-1]+1 {
			return false
		}
	}
	for i := range r.Streams {
		s := &r.Streams[i]
		if s.holed || s.First == 0 && max(s.Flushed, s.Known) > 0 {
			return false
		}
	}
	return len(r.Unread) == 0
}

func (r *Remains) path(id uint64) string { return r.dir + "/" + fileName(id) }

// walk has a file read.
func (r *Remains) walk(id uint64, read func(*walk) error) error {
	f, err := r.fs.Open(r.path(id))
	if err != nil {
		return err
	}
	w, err := newWalk(id, r.path(id), f)
	if err == nil {
		if err = read(w); err != nil {
			err = fmt.Errorf("%s: %w", r.path(id), err)
		}
	}
	return errors.Join(err, f.Close())
}

// file takes every whole commit of a file. Where one is damaged, the next header is looked for.
func (r *Remains) file(w *walk, visit func(uint32, Entry, bool) bool) error {
	for {
		records, err := w.next()
		if err == nil {
			for i := range records {
				if err := r.take(&records[i], visit); err != nil {
					return err
				}
			}
			continue
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if !errors.Is(err, codec.ErrCorrupt) {
			return err
		}
		rest, err := w.rest()
		if err == nil {
			err = rest.newer
		}
		if err != nil {
			return err
		}
		end := rest.next
		if end == 0 {
			end = rest.used
		}
		r.Unread = append(r.Unread, Unread{w.path, w.at, end - w.at})
		if rest.next == 0 {
			return nil
		}
		w.at = rest.next
	}
}

// take notes what a record says of its stream, or of all.
func (r *Remains) take(p *placed, visit func(uint32, Entry, bool) bool) error {
	switch p.kind {
	case kindEnd:
		return nil
	case kindState:
		states, err := parseState(p.payload)
		if err != nil {
			r.Unread = append(r.Unread, Unread{r.path(p.file), int64(p.offset), int64(p.length)})
			return nil
		}
		for _, st := range states {
			s, err := r.stream(st.shard)
			if err != nil {
				return err
			}
			s.Known = max(s.Known, st.bounds.last)
			if st.bounds.first > 0 {
				s.GivenUp = max(s.GivenUp, st.bounds.first-1)
			}
			maps.Copy(s.keys, st.keys)
		}
		return nil
	}
	s, err := r.stream(p.shard)
	if err != nil {
		return err
	}
	switch p.kind {
	case kindEntry:
		s.entry(p, visit)
	case kindFront:
		s.GivenUp = max(s.GivenUp, p.seq)
	case kindBack:
		s.back(p.seq)
	case kindSet:
		rd := codec.NewReader(p.payload)
		if key := string(rd.LengthBytes()); rd.Err() == nil {
			s.keys[key] = slices.Clone(rd.Bytes(rd.Len()))
		}
	}
	return nil
}

func (r *Remains) stream(shard uint32) (*RemainingStream, error) {
	if uint64(shard) >= uint64(len(r.Streams)) {
		return nil, fmt.Errorf("a stream of shard %d in a folder of %d: the log of another folder", shard, len(r.Streams))
	}
	return &r.Streams[shard], nil
}

// entry keeps an entry that follows. The one at Flushed is not needed, but a log that knows
// nothing of it would have to make one up.
func (s *RemainingStream) entry(p *placed, visit func(uint32, Entry, bool) bool) {
	s.Known = max(s.Known, p.seq)
	if p.seq == 0 || p.seq < s.Flushed || s.Last > 0 && p.seq <= s.Last {
		return // none that Open takes, in segments, or there already
	}
	follows := !s.holed
	if s.Last > 0 {
		follows = follows && p.seq == s.Last+1
	} else {
		follows = follows && p.seq <= s.Flushed+1
	}
	if usable := visit(p.shard, p.entry(), follows); !follows || !usable {
		s.holed = s.holed || p.seq > s.Flushed
		return
	}
	if s.Last = p.seq; s.First == 0 {
		s.First = p.seq
	}
	s.entries = append(s.entries, p.position)
}

// back gives up the entries from Seq from on, which a leader overruled: those of a hole too.
func (s *RemainingStream) back(from uint64) {
	if from > max(s.Last, s.Flushed)+1 {
		return // behind the hole, where all goes anyway
	}
	switch {
	case s.Last == 0 || from > s.Last:
	case from <= s.First:
		s.First, s.Last, s.entries = 0, 0, nil
	default:
		s.entries = s.entries[:from-s.First]
		s.Last = from - 1
	}
	s.Known = min(s.Known, from-1)
	s.holed = false
}

// Renew writes a log of what remains and gives it its name, or leaves it where that is done
// already. begin makes the entry at Flushed of a shard whose segments hold something and of
// which the log has nothing to keep: Open wants a log that reaches so far. The log is whole once
// Files are gone, oldest first.
func (r *Remains) Renew(begin func(shard uint32, seq uint64) Entry) error {
	if r.Renewed {
		return nil
	}
	id := uint64(1)
	if n := len(r.ids); n > 0 {
		id = r.ids[n-1] + 1
	}
	if err := r.fs.MkdirAll(r.dir); err != nil {
		return err
	}
	name := r.path(id)
	f, err := r.fs.Create(name + vfs.NewSuffix)
	if err != nil {
		return err
	}
	w := renewal{remains: r, file: f, id: id}
	err = w.write(begin)
	if err = errors.Join(err, f.Close(), w.closeOld()); err != nil {
		// It may be what fills the disk.
		return errors.Join(fmt.Errorf("write %s: %w", name+vfs.NewSuffix, err), r.fs.Remove(name+vfs.NewSuffix))
	}
	if err := r.fs.Rename(name+vfs.NewSuffix, name); err != nil {
		return err
	}
	return r.fs.SyncDir(r.dir)
}

// renewal writes the new log's file.
type renewal struct {
	remains *Remains
	file    vfs.File
	id      uint64
	at      int64
	block   []byte // the commit at hand, behind room for its header
	records int

	old   vfs.File // that was read from last
	oldID uint64
	buf   []byte
}

func (w *renewal) write(begin func(uint32, uint64) Entry) error {
	w.block = make([]byte, headerBytes)
	w.add(appendRecord(nil, &record{kind: kindState, payload: appendState(nil, nil)}))
	if err := w.commit(); err != nil {
		return err
	}
	for i := range w.remains.Streams {
		if err := w.stream(uint32(i), &w.remains.Streams[i], begin); err != nil {
			return err
		}
	}
	if err := w.commit(); err != nil {
		return err
	}
	// As a log that was closed: the end's header vouches for all before it.
	w.add(appendRecord(nil, &record{kind: kindEnd}))
	if err := w.commit(); err != nil {
		return err
	}
	return w.file.Sync()
}

func (w *renewal) stream(shard uint32, s *RemainingStream, begin func(uint32, uint64) Entry) error {
	for _, key := range slices.Sorted(maps.Keys(s.keys)) {
		payload := append(codec.AppendLengthBytes(nil, []byte(key)), s.keys[key]...)
		w.add(appendRecord(nil, &record{kind: kindSet, shard: shard, payload: payload}))
	}
	if s.First == 0 && s.Flushed > 0 {
		e := begin(shard, s.Flushed)
		invariant.Check(e.Seq == s.Flushed, "the entry at Seq %d is of %d", s.Flushed, e.Seq)
		w.add(appendRecord(nil, &record{
			kind: kindEntry, shard: shard, typ: e.Type, term: e.Term, seq: e.Seq,
			appendedAt: e.AppendedAt, extensions: e.Extensions, payload: e.Payload,
		}))
	}
	for _, at := range s.entries {
		if err := w.copy(at); err != nil {
			return err
		}
		if len(w.block) >= scanBytes {
			if err := w.commit(); err != nil {
				return err
			}
		}
	}
	return nil
}

// copy takes a record over as it stands.
func (w *renewal) copy(at position) error {
	if w.old == nil || w.oldID != at.file {
		if err := w.closeOld(); err != nil {
			return err
		}
		f, err := w.remains.fs.Open(w.remains.path(at.file))
		if err != nil {
			return err
		}
		w.old, w.oldID = f, at.file
	}
	w.buf = slices.Grow(w.buf[:0], int(at.length))[:at.length]
	_, err := w.old.ReadAt(w.buf, int64(at.offset))
	if err == nil {
		_, _, err = parseRecord(w.buf)
	}
	if err != nil {
		return codec.At(err, w.remains.path(at.file), int64(at.offset))
	}
	w.add(w.buf)
	return nil
}

func (w *renewal) closeOld() error {
	if w.old == nil {
		return nil
	}
	old := w.old
	w.old = nil
	return old.Close()
}

func (w *renewal) add(record []byte) {
	w.block = append(w.block, record...)
	w.records++
}

// commit writes what was added. Its header says that all before it is synced: so it will be
// when the file has its name.
func (w *renewal) commit() error {
	if w.records == 0 {
		return nil
	}
	if w.at+aligned(int64(len(w.block))) > min(fileBytesMax, math.MaxUint32) {
		return fmt.Errorf("%w: more than %d bytes of entries stay, which no file holds", ErrTooLarge, int64(fileBytesMax))
	}
	putHeader(w.block, header{
		fileID: w.id, offset: w.at, syncedUpTo: w.at,
		bodyBytes: int64(len(w.block)) - headerBytes, records: w.records,
	})
	w.block = padded(w.block)
	if _, err := w.file.WriteAt(w.block, w.at); err != nil {
		return err
	}
	w.at += int64(len(w.block))
	w.block, w.records = w.block[:headerBytes], 0
	return nil
}
