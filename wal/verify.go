package wal

import (
	"errors"
	"io"
	"io/fs"

	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// Damage is one place that Open would refuse.
type Damage struct {
	File   string
	Offset int64
	Err    error
}

// Summary is what Verify has read.
type Summary struct {
	Files   int
	Bytes   int64 // of whole commits
	Commits int
	Records int
	Entries uint64 // live ones
	Clean   bool   // the log was closed
	// TornBytes behind the last commit were never synced: Open cuts them.
	TornBytes  int64
	TornFile   string
	TornOffset int64
	// Reaches are those of the streams, by shard; none where there is damage.
	Reaches []Reach
}

// Reach is from which Seq to which a stream holds entries; Last is 0 where it never held any.
type Reach struct {
	Shard       uint32
	First, Last uint64
}

// Verify reads the whole log in dir, reports every damage it finds, also behind the
// first one, and changes nothing. A torn tail is no damage. Where there is none, visit, where not nil, is
// given each live entry, until it gives an error. The caller holds the lock of the folder.
func Verify(fsys vfs.FS, dir string, report func(Damage), visit func(shard uint32, e Entry) error) (Summary, error) {
	l := &Log{fs: fsys, dir: dir, streams: map[uint32]*Stream{}, files: map[uint64]*logFile{}}
	v := verifier{log: l, replay: replay{log: l}, report: report}
	stale, ids, err := l.list()
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // a folder that is missing is one that Open makes
		return v.sum, err
	}
	for i, id := range ids {
		w, err := l.open(id)
		if err != nil {
			v.damage(l.path(id), 0, err)
			continue
		}
		v.file(w, i == 0, ids[i+1:])
	}
	switch err := l.complete(ids); {
	case v.broken:
	case len(stale) > 0 && v.sum.Commits == 0:
		v.damage(l.path(ids[0]-1), 0, errGap)
	case err != nil:
		v.damage(dir, 0, err)
	}
	for _, s := range l.streams {
		v.sum.Entries += uint64(len(s.entries))
	}
	v.sum.Clean = len(ids) == 0 || (v.replay.ended && v.sum.TornBytes == 0 && !v.broken)
	if !v.broken {
		err = v.reaches(visit)
	}
	return v.sum, errors.Join(err, l.closeFiles())
}

// reaches tells how far streams reach, and has their entries visited.
func (v *verifier) reaches(visit func(shard uint32, e Entry) error) error {
	for _, s := range v.log.usedStreams() {
		v.sum.Reaches = append(v.sum.Reaches, Reach{s.shard, s.durable.first, s.durable.last})
		if visit == nil {
			continue
		}
		if err := s.Scan(0, func(e Entry) error { return visit(s.shard, e) }); err != nil {
			return err
		}
	}
	return nil
}

type verifier struct {
	log    *Log
	replay replay
	report func(Damage)
	sum    Summary
	broken bool // what follows a damage cannot be judged by what came before it
}

func (v *verifier) damage(file string, offset int64, err error) {
	v.broken = true
	v.report(Damage{file, offset, err})
}

func (v *verifier) file(w *walk, oldest bool, later []uint64) {
	v.sum.Files++
	for {
		at := w.at
		records, err := w.next()
		if err == nil {
			v.sum.Commits++
			v.sum.Records += len(records)
			v.sum.Bytes += w.at - at
			v.apply(records, w.path, oldest)
			continue
		}
		if errors.Is(err, io.EOF) {
			return
		}
		rest, restErr := w.rest()
		if restErr != nil {
			v.damage(w.path, at, restErr)
			return
		}
		if rest.newer != nil && !errors.Is(err, codec.ErrVersion) {
			v.broken = true
			v.report(Damage{w.path, at, rest.newer})
			return
		}
		if errors.Is(err, codec.ErrCorrupt) && !rest.found && !v.begun(later) {
			if v.sum.TornBytes == 0 {
				v.sum.TornFile, v.sum.TornOffset = w.path, at
			}
			v.sum.TornBytes += rest.used - at
			return
		}
		v.damage(w.path, at, err)
		if rest.next == 0 {
			return
		}
		w.at = rest.next
	}
}

// apply replays a commit as long as all before it was whole.
func (v *verifier) apply(records []placed, path string, oldest bool) {
	for i := range records {
		if v.broken {
			return
		}
		p := &records[i]
		if err := v.replay.apply(&p.record, p.position, oldest); err != nil {
			v.damage(path, int64(p.offset), err)
		}
	}
}

// begun tells whether one of the later files holds a commit header: then the file
// before it was synced whole. A file that cannot be read is reported when its turn
// comes.
func (v *verifier) begun(later []uint64) bool {
	for _, id := range later {
		w, err := v.log.open(id)
		if err != nil {
			continue
		}
		rest, err := w.rest()
		// The handle was for reading, and is opened again when the file's turn comes.
		_ = v.log.files[id].file.Close()
		delete(v.log.files, id)
		if err == nil && rest.any {
			return true
		}
	}
	return false
}
