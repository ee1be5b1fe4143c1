package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/stoadb/stoa/internal/invariant"
)

// ErrLocked says that another process holds the lock file.
var ErrLocked = errors.New("locked by another process")

const (
	fileMode = 0o640 // traces hold customers' data: nothing for the world
	dirMode  = 0o750
)

// osFS is FS over one folder of the operating system.
type osFS struct{ root string }

// NewOS opens the folder root, making it and its parents durably when missing.
func NewOS(root string) (FS, error) {
	abs, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if err := mkdirAllDurably(abs); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	return &osFS{root: abs}, nil
}

func (o *osFS) path(name string) string {
	name = filepath.FromSlash(name)
	if name == "" {
		return o.root
	}
	invariant.Check(filepath.IsLocal(name), "file name %q leaves the folder", name)
	return filepath.Join(o.root, name)
}

// Create implements FS.
func (o *osFS) Create(name string) (File, error) {
	f, err := os.OpenFile(o.path(name), os.O_RDWR|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// Open implements FS. Where the file system or its rights refuse writing, the handle
// is for reading only: verify works on a backup too, and a writer learns of it from
// its first WriteAt.
func (o *osFS) Open(name string) (File, error) {
	f, err := os.OpenFile(o.path(name), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrPermission) || isReadOnly(err) {
		f, err = os.Open(o.path(name))
	}
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// Remove implements FS.
func (o *osFS) Remove(name string) error { return os.Remove(o.path(name)) }

// Rename implements FS.
func (o *osFS) Rename(oldName, newName string) error {
	return os.Rename(o.path(oldName), o.path(newName))
}

// List implements FS.
func (o *osFS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(o.path(dir)) // sorted by name
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

// MkdirAll implements FS.
func (o *osFS) MkdirAll(dir string) error { return mkdirAllDurably(o.path(dir)) }

// SyncDir implements FS.
func (o *osFS) SyncDir(dir string) error { return syncDir(o.path(dir)) }

// Lock implements FS.
func (o *osFS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(o.path(name), os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	return locked(f)
}

// LockToRead implements FS.
func (o *osFS) LockToRead(name string) (io.Closer, error) {
	lock, err := o.Lock(name)
	if !errors.Is(err, fs.ErrPermission) && !isReadOnly(err) {
		return lock, err
	}
	f, err := os.Open(o.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return noLock{}, nil
	}
	if err != nil {
		return nil, err
	}
	return locked(f)
}

func locked(f *os.File) (io.Closer, error) {
	if err := lockFile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", f.Name(), err), f.Close())
	}
	return f, nil // closing the descriptor, or dying, lets go of the lock
}

// noLock is the lock of a folder to which this process cannot add one.
type noLock struct{}

func (noLock) Close() error { return nil }

// Free implements FS.
func (o *osFS) Free() (int64, error) { return freeBytes(o.root) }

// mkdirAllDurably makes dir and its parents; each new name is synced in its parent, and
// the last one also when it is there already: who made it may have died before that. Its
// parents' names were synced before it was made.
func mkdirAllDurably(dir string) error {
	info, err := os.Stat(dir)
	if err == nil {
		if !info.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: dir, Err: errors.New("not a folder")}
		}
		err := syncDir(filepath.Dir(dir))
		if errors.Is(err, fs.ErrPermission) || isReadOnly(err) {
			return nil // not our parent: whoever prepared the folder answers for its name
		}
		return err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if err := mkdirAllDurably(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// osFile is File over a descriptor. The methods it embeds (ReadAt, WriteAt, Close,
// Truncate) are os.File's own; a short write is an error there already.
type osFile struct{ *os.File }

// Size implements File.
func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Preallocate implements File.
func (f osFile) Preallocate(size int64) error { return preallocate(f.File, size) }

// Sync implements File.
func (f osFile) Sync() error { return dataSync(f.File) }
