package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/stoadb/stoa/cluster/raftstore"
	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
	"github.com/stoadb/stoa/wal"
)

// Verified counts what Verify read.
type Verified struct {
	Shards, Segments, Rows, Quarantined int
	LogBytes, SegmentBytes              int64
	LogEntries                          uint64
	LogTornBytes                        int64 // of a log that was killed: the next start cuts them
}

// Verify reads every byte of a folder that no process holds and hands each damage, with
// file and offset, to report. It changes nothing but the lock file. The error is for what kept it from
// reading, such as a folder in use.
func Verify(disk vfs.FS, report func(damage error)) (Verified, error) {
	var done Verified
	if err := checkFolder(disk, false); err != nil {
		return done, err
	}
	lock, err := disk.LockToRead(lockFile)
	if err != nil {
		return done, err
	}
	err = verify(disk, report, &done)
	return done, errors.Join(err, lock.Close())
}

func verify(disk vfs.FS, report func(error), done *Verified) error {
	b, err := vfs.ReadFile(disk, epochFile, fileBytesMax)
	if err != nil {
		return err
	}
	epoch, err := DecodeEpoch(epochFile, b)
	if err != nil {
		return err // nobody knows what else to look for
	}
	done.Shards = epoch.Shards
	if err := verifyImports(disk, report); err != nil {
		return err
	}
	var unread []unreadEntry
	damages := 0
	log, err := wal.Verify(disk, logDir, func(d wal.Damage) {
		damages++
		report(codec.At(d.Err, d.File, d.Offset))
	}, func(shard uint32, e wal.Entry) error {
		if !raftstore.IsCommand(e) {
			return nil
		}
		if _, err := engine.DecodeEntry(e.Payload); err != nil {
			unread = append(unread, unreadEntry{shard, e.Seq, err})
		}
		return nil
	})
	if err != nil {
		return err
	}
	names, err := disk.List(".")
	if err != nil {
		return err
	}
	if log.Files == 0 && damages == 0 && slices.ContainsFunc(names, func(name string) bool { return name == importsFile || name == shardDir(0) }) {
		damages++
		report(fmt.Errorf("%s: no file, but shards or imports that were made behind it: log files are missing", logDir))
	}
	done.LogBytes, done.LogEntries, done.LogTornBytes = log.Bytes, log.Entries, log.TornBytes
	for i := range epoch.Shards {
		shard, err := engine.Verify(disk, shardDir(i), uint32(i), report)
		if err != nil {
			return err
		}
		done.Segments += shard.Segments
		done.Rows += shard.Rows
		done.Quarantined += shard.Quarantined
		done.SegmentBytes += shard.Bytes
		if damages == 0 && !shard.FlushedUnknown { // else nobody knows how far the log reaches, or has to
			verifyReplay(uint32(i), shard.Flushed, log.Reaches, unread, report)
		}
	}
	return nil
}

// unreadEntry is an entry of the log that cannot be applied.
type unreadEntry struct {
	shard uint32
	seq   uint64
	err   error
}

// verifyReplay checks what a start asks of the log for a shard whose segments hold all up to flushed: that it has
// what follows, and that this can be read.
func verifyReplay(shard uint32, flushed uint64, reaches []wal.Reach, unread []unreadEntry, report func(error)) {
	var reach wal.Reach
	for _, r := range reaches {
		if r.Shard == shard {
			reach = r
		}
	}
	if err := checkReach(reach.First, reach.Last, flushed); err != nil {
		report(fmt.Errorf("shard %d: %w", shard, err))
	}
	for _, u := range unread {
		if u.shard == shard && u.seq > flushed {
			report(fmt.Errorf("%s: shard %d: Seq %d: %w", logDir, shard, u.seq, u.err))
		}
	}
}

func verifyImports(disk vfs.FS, report func(error)) error {
	b, err := vfs.ReadFile(disk, importsFile, fileBytesMax)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, vfs.ErrTooLarge):
		report(&damagedLedger{codec.At(codec.Corrupt("%v", err), importsFile, 0)})
		return nil
	case err != nil:
		return err
	}
	if _, err := DecodeImports(importsFile, b); err != nil {
		report(&damagedLedger{err})
	}
	return nil
}
