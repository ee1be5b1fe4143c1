// Package vfs is the only way from the engine, the log and compaction to a disk. OS is
// the real thing; Crash is a file system in memory that forgets what was not synced,
// fails where told, and so lets a test stop the world at every call. Nothing here
// knows what a trace is, and nothing starts a goroutine.
package vfs

import (
	"errors"
	"io"
	"syscall"
)

// FS is a tree of files. Names are slash-separated and relative to its root. All
// methods may be called from several goroutines; errors satisfy errors.Is with
// io/fs.ErrNotExist and io/fs.ErrExist where those apply.
type FS interface {
	// Create makes a new empty file for reading and writing; an existing one is
	// truncated. The name is durable only after SyncDir of its folder.
	Create(name string) (File, error)
	// Open opens an existing file for reading and writing in place.
	Open(name string) (File, error)
	// Remove deletes a file. Open handles go on reading it.
	Remove(name string) error
	// Rename replaces newName by oldName, atomically.
	Rename(oldName, newName string) error
	// List names what a folder holds, sorted; a missing folder is fs.ErrNotExist.
	List(dir string) ([]string, error)
	// MkdirAll makes a folder and its parents, durably.
	MkdirAll(dir string) error
	// SyncDir makes the names in a folder durable.
	SyncDir(dir string) error
	// Lock takes the exclusive lock file name for this process until closed; held
	// elsewhere it is ErrLocked.
	Lock(name string) (io.Closer, error)
	// LockToRead is Lock for who changes nothing. Where this process may not write, it locks the file if
	// there is one; without one there is nobody to keep out, and nothing is locked.
	LockToRead(name string) (io.Closer, error)
	// Free is how many bytes an unprivileged writer may still add.
	Free() (int64, error)
}

// Full tells whether an error says that the disk has no room.
func Full(err error) bool { return errors.Is(err, syscall.ENOSPC) }

// File is an open file. ReadAt may be called concurrently with everything else.
// After a failed Sync nothing about unsynced bytes may be assumed, and Sync must not
// be tried again on the same file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Size is the length in bytes.
	Size() (int64, error)
	// Truncate sets the length.
	Truncate(size int64) error
	// Preallocate reserves blocks up to size and sets the length; new bytes read 0.
	Preallocate(size int64) error
	// Sync makes all written bytes and the length durable (fdatasync).
	Sync() error
}
