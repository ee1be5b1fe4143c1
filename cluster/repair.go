package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"time"

	"github.com/stoadb/stoa/cluster/raftstore"
	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/invariant"
	"github.com/stoadb/stoa/internal/vfs"
	"github.com/stoadb/stoa/wal"
)

// RepairedFolder holds what repairs took out of a data folder: one folder for each, by its time, in
// which files stand under the names that they had. Nothing reads it.
const RepairedFolder = "repaired"

// Repair is what it takes to make a damaged folder whole, and what that loses. The folder is
// locked from PlanRepair to Close.
//
// Nothing is deleted: what goes out is renamed. Each step is durable before the next begins,
// and the order is such that a repair stopped anywhere leaves a folder that a start refuses, or a whole
// one, and that the next repair comes to the same end:
//
//  1. The import ledger goes first: it says that records are stored which the steps below drop. A
//     folder without one is whole; an import that is done again stores nothing twice.
//  2. The log: see wal.Remains.
//  3. Damaged parts go out of quarantine. Nothing else names them.
//  4. In a shard that loses a segment, segments that no manifest names go first: the next start would remove
//     them. Then goes the damaged segment's file, and then the manifest forgets it: in between it is a
//     segment that is missing. The other way round a start would take the file for a stray.
type Repair struct {
	Damages  int // as Verify counts them
	Log      *LogRepair
	Parts    []*engine.DamagedPart
	Segments []*engine.DamagedSegment
	// Strays are segments that no manifest names, in the folders of shards that lose one. A start would
	// remove them, and they may hold what is lost: what a merge read that did not come to its end.
	Strays []string
	Ledger bool // the import ledger goes

	disk     vfs.FS
	lock     io.Closer
	readOnly bool
	ledger   bool // it is damaged itself
	log      bool // the log is damaged, or does not reach to where segments do
	shards   int
	aside    string
	say      func(string)
}

// LogRepair is what becomes of a log. It begins anew, with the entries that are whole, that segments
// do not hold, and that follow each other.
type LogRepair struct {
	Unread  []wal.Unread // what is in them nobody can tell
	Streams []LostEntries
	Files   []string // those that go out
	// Stopped: a repair has written the new log, and was stopped before all old files were out. What it drops
	// stands in them, and was told by that one.
	Stopped bool

	remains *wal.Remains
}

// LostEntries are those of one shard that a repair drops.
type LostEntries struct {
	Shard       int
	Kept        int    // entries that segments do not hold, and that stay
	First, Last uint64 // Seq of what is dropped, as far as the log tells; 0, 0 where it tells of none
	// Entries of them stand in whole commits, Unread of which cannot be read in whole or in part,
	// with Spans in what can be read, received from ReceivedMin to ReceivedMax, unix nanoseconds.
	Entries, Unread, Spans   int
	ReceivedMin, ReceivedMax int64
	// Begins: the log has nothing of the shard that can stay, and begins anew behind Anew, the Seq up to which segments
	// hold everything; 0 where there are none.
	Begins bool
	Anew   uint64
}

// ErrNoRepair marks what cannot be repaired without guessing.
var ErrNoRepair = errors.New("this cannot be repaired")

// PlanRepair reads what Verify reads, hands each damage to report, and finds out what would
// have to go. It changes nothing but the lock file; who will not Do it asks to read only, which a folder that
// this process may not write to allows too.
func PlanRepair(disk vfs.FS, readOnly bool, report func(damage error)) (*Repair, error) {
	if err := checkFolder(disk, false); err != nil {
		return nil, err
	}
	take := disk.Lock
	if readOnly {
		take = disk.LockToRead
	}
	lock, err := take(lockFile)
	if err != nil {
		return nil, err
	}
	r := &Repair{disk: disk, lock: lock, readOnly: readOnly}
	if err := r.plan(report); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return r, nil
}

// Close lets go of the folder.
func (r *Repair) Close() error { return r.lock.Close() }

func (r *Repair) plan(report func(error)) error {
	var refusals []error
	var done Verified
	err := verify(r.disk, func(damage error) {
		r.Damages++
		report(damage)
		refusals = append(refusals, r.judge(damage))
	}, &done)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoRepair, err)
	}
	if err := errors.Join(refusals...); err != nil {
		return err
	}
	r.shards = done.Shards
	if err := r.planStrays(); err != nil {
		return err
	}
	if r.log {
		if r.Log, err = planLog(r.disk, done.Shards); err != nil {
			return fmt.Errorf("%w: %w", ErrNoRepair, err)
		}
	}
	names, err := r.disk.List(".")
	r.Ledger = slices.Contains(names, importsFile) && (r.ledger || r.log || len(r.Segments) > 0)
	return err
}

// planStrays finds segments that no manifest names beside damaged ones.
func (r *Repair) planStrays() error {
	looked := make(map[string][]string)
	for _, segment := range r.Segments {
		dir := path.Dir(segment.File)
		strays, known := looked[dir]
		if !known {
			var err error
			if strays, err = engine.Strays(r.disk, dir); err != nil {
				return fmt.Errorf("%w: %w", ErrNoRepair, err)
			}
			looked[dir] = strays
			r.Strays = append(r.Strays, strays...)
		}
		if segment.Missing && len(strays) > 0 {
			return fmt.Errorf("%w: %s: %s is missing, and %s stands there, which the manifest does not name: another manifest may be in its place, "+
				"and then that segment counts; bring back the right one from a copy of the folder, or move the file away",
				ErrNoRepair, engine.ManifestFile(dir), segment.File, strays[0])
		}
	}
	return nil
}

// judge says what a damage asks for. Its error is for what a repair would have to guess.
func (r *Repair) judge(damage error) error {
	var segment *engine.DamagedSegment
	var part *engine.DamagedPart
	var manifest *engine.DamagedManifest
	var ledger *damagedLedger
	var disk *fs.PathError
	switch {
	case errors.Is(damage, codec.ErrVersion):
		return fmt.Errorf("%w: repair with the Stoa that wrote it: %w", ErrNoRepair, damage)
	case errors.As(damage, &disk):
		return fmt.Errorf("%w: the disk does not give it, so nobody knows whether it is whole; copy the folder to another one: %w", ErrNoRepair, damage)
	case errors.As(damage, &manifest):
		return fmt.Errorf("%w: without its manifest nobody knows which segments of a shard count; bring it back from a copy of the folder: %w", ErrNoRepair, damage)
	case errors.As(damage, &segment):
		r.Segments = append(r.Segments, segment)
	case errors.As(damage, &part):
		r.Parts = append(r.Parts, part)
	case errors.As(damage, &ledger):
		r.ledger = true
	default:
		r.log = true
	}
	return nil
}

// damagedLedger is damage of the import ledger.
type damagedLedger struct{ err error }

func (d *damagedLedger) Error() string { return d.err.Error() }

func (d *damagedLedger) Unwrap() error { return d.err }

// planLog finds what can stay of a log and counts what cannot.
func planLog(disk vfs.FS, shards int) (*LogRepair, error) {
	flushed := make([]uint64, shards)
	l := &LogRepair{Streams: make([]LostEntries, shards)}
	for i := range flushed {
		l.Streams[i].Shard = i
		var err error
		if flushed[i], err = engine.ManifestFlushed(disk, shardDir(i)); err != nil {
			return nil, err
		}
	}
	var newer error
	visit := func(shard uint32, e wal.Entry, follows bool) bool {
		usable, err := l.Streams[shard].count(e, follows, flushed[shard])
		if errors.Is(err, codec.ErrVersion) {
			newer = fmt.Errorf("%s: shard %d: Seq %d: %w", logDir, shard, e.Seq, err)
		}
		return usable
	}
	remains, err := wal.Survey(disk, logDir, flushed, visit)
	if err == nil && remains.Halfway {
		for i := range l.Streams {
			l.Streams[i] = LostEntries{Shard: i}
		}
		remains, err = wal.SurveyAll(disk, logDir, flushed, visit)
	}
	if err = errors.Join(err, newer); err != nil {
		return nil, err
	}
	l.remains, l.Unread, l.Files, l.Stopped = remains, remains.Unread, remains.Files, remains.Renewed
	for i := range remains.Streams {
		s, lost := &remains.Streams[i], &l.Streams[i]
		if s.GivenUp > flushed[i] {
			return nil, fmt.Errorf("%s: the log has given up entries up to Seq %d, because segments held them, but this one knows of them up to %d only: "+
				"an older manifest, or none, is in its place; bring back the right one from a copy of the folder",
				engine.ManifestFile(shardDir(i)), s.GivenUp, flushed[i])
		}
		last := max(s.Last, flushed[i])
		lost.Kept = int(last - flushed[i])
		if s.Known > last {
			lost.First, lost.Last = last+1, s.Known
		}
		if s.First == 0 {
			lost.Begins, lost.Anew = true, flushed[i]
		}
	}
	return l, nil
}

// count looks at an entry, which the log can keep if it follows what it has and can be read.
func (l *LostEntries) count(e wal.Entry, follows bool, flushed uint64) (usable bool, err error) {
	var entry *engine.Entry
	if raftstore.IsCommand(e) {
		entry, err = engine.DecodeEntry(e.Payload)
	}
	if follows && err == nil || e.Seq <= flushed {
		return err == nil, err
	}
	l.Entries++
	if err != nil {
		l.Unread++
		return false, err
	}
	if entry == nil {
		return false, nil // of the group's own
	}
	spans, unread := entry.Spans()
	if l.Spans += spans; unread > 0 {
		l.Unread++
	}
	if l.ReceivedMin == 0 || entry.Received < l.ReceivedMin {
		l.ReceivedMin = entry.Received
	}
	l.ReceivedMax = max(l.ReceivedMax, entry.Received)
	return false, nil
}

// Needed tells whether there is anything to do.
func (r *Repair) Needed() bool { return r.Damages > 0 }

// Do repairs, and tells of each step before it is done. It ends between two steps when ctx does;
// then, as after a kill, a repair goes on where it was.
func (r *Repair) Do(ctx context.Context, now time.Time, say func(step string)) error {
	invariant.Check(!r.readOnly, "a repair that was planned to be read does something")
	r.say = say
	if err := r.syncNames(); err != nil {
		return err
	}
	if err := r.makeAside(now); err != nil {
		return err
	}
	if r.Ledger {
		if err := r.move(ctx, importsFile); err != nil {
			return err
		}
	}
	if r.Log != nil {
		if err := r.renewLog(ctx, now); err != nil {
			return err
		}
	}
	for _, part := range r.Parts {
		if err := r.move(ctx, part.File); err != nil {
			return err
		}
	}
	for len(r.Segments) > 0 {
		dir := path.Dir(r.Segments[0].File)
		var ofShard []*engine.DamagedSegment
		for len(r.Segments) > 0 && path.Dir(r.Segments[0].File) == dir {
			ofShard, r.Segments = append(ofShard, r.Segments[0]), r.Segments[1:]
		}
		if err := r.forget(ctx, dir, ofShard); err != nil {
			return err
		}
	}
	return nil
}

// syncNames makes the names durable that this repair has seen: one before it may have been killed between a rename
// and its sync, and a power cut would bring back what the steps below take for gone.
func (r *Repair) syncNames() error {
	inside := []string{".", logDir}
	for i := range r.shards {
		inside = append(inside, shardDir(i), engine.QuarantineDir(shardDir(i)))
	}
	folders := slices.Clone(inside)
	repaired, err := r.disk.List(RepairedFolder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, name := range repaired {
		for _, dir := range inside {
			folders = append(folders, path.Join(RepairedFolder, name, dir))
		}
	}
	for _, dir := range append(folders, RepairedFolder) {
		_, err := r.disk.List(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err = errors.Join(err, r.disk.SyncDir(dir)); err != nil {
			return err
		}
	}
	return nil
}

// makeAside makes the folder for what goes out, under a name that none has yet.
func (r *Repair) makeAside(now time.Time) error {
	names, err := r.disk.List(RepairedFolder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	name := now.UTC().Format("20060102T150405Z")
	for n := 2; slices.Contains(names, name); n++ {
		name = fmt.Sprintf("%s-%d", now.UTC().Format("20060102T150405Z"), n)
	}
	r.aside = RepairedFolder + "/" + name
	return r.disk.MkdirAll(r.aside)
}

// Aside is the folder of what Do took out.
func (r *Repair) Aside() string { return r.aside }

// move renames a file into the folder of what goes out; one that is missing is gone already.
func (r *Repair) move(ctx context.Context, file string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	to := r.aside + "/" + file
	if err := r.disk.MkdirAll(path.Dir(to)); err != nil {
		return err
	}
	r.say(fmt.Sprintf("move %s to %s", file, to))
	err := r.disk.Rename(file, to)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = r.disk.SyncDir(path.Dir(to))
	}
	if err == nil {
		err = r.disk.SyncDir(path.Dir(file))
	}
	return err
}

func (r *Repair) renewLog(ctx context.Context, now time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !r.Log.Stopped {
		r.say("write the new log")
	}
	err := r.Log.remains.Renew(func(_ uint32, seq uint64) wal.Entry {
		// What a stream begins with. It stands where segments hold everything, so it is never applied.
		e := raftstore.ConfigurationEntry(nodeID, nodeAddress, now.UnixNano())
		e.Seq = seq
		return e
	})
	if err != nil {
		return err
	}
	for _, file := range r.Log.Files {
		if err := r.move(ctx, file); err != nil {
			return err
		}
	}
	return nil
}

// forget takes damaged segments out of a shard. The manifest changes in place, so what it was
// before is copied.
func (r *Repair) forget(ctx context.Context, dir string, damaged []*engine.DamagedSegment) error {
	file := engine.ManifestFile(dir)
	manifest, err := vfs.ReadFile(r.disk, file, engine.ManifestBytesMax)
	if err != nil {
		return err
	}
	to := r.aside + "/" + file
	if err := r.disk.MkdirAll(path.Dir(to)); err != nil {
		return err
	}
	r.say(fmt.Sprintf("copy %s to %s", file, to))
	if err := vfs.ReplaceFile(r.disk, to, manifest); err != nil {
		return err
	}
	files := slices.DeleteFunc(slices.Clone(r.Strays), func(file string) bool { return path.Dir(file) != dir })
	for _, segment := range damaged {
		files = append(files, segment.File)
	}
	for _, file := range files {
		if err := r.move(ctx, file); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	r.say(fmt.Sprintf("take %d segments out of %s", len(damaged), file))
	return engine.Forget(r.disk, dir, damaged)
}
