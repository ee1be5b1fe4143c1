package cluster

import (
	"errors"
	"io/fs"

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
// file and offset, to report. It changes nothing. The error is for what kept it from
// reading, such as a folder in use.
func Verify(disk vfs.FS, report func(damage error)) (Verified, error) {
	var done Verified
	if err := checkFolder(disk, false); err != nil {
		return done, err
	}
	lock, err := disk.Lock(lockFile)
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
	log, err := wal.Verify(disk, logDir, func(d wal.Damage) { report(codec.At(d.Err, d.File, d.Offset)) })
	if err != nil {
		return err
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
	}
	return nil
}

func verifyImports(disk vfs.FS, report func(error)) error {
	b, err := vfs.ReadFile(disk, importsFile, fileBytesMax)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, vfs.ErrTooLarge):
		report(codec.At(codec.Corrupt("%v", err), importsFile, 0))
		return nil
	case err != nil:
		return err
	}
	if _, err := DecodeImports(importsFile, b); err != nil {
		report(err)
	}
	return nil
}
