package vfs

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"syscall"
)

// crashFile is an open file of Crash. All its state is in the node; closed is guarded by
// the file system's lock as well.
type crashFile struct {
	fs     *Crash
	name   string
	node   *node
	closed bool
}

// enter takes the lock and counts the call.
func (f *crashFile) enter(op string) error {
	f.fs.mu.Lock()
	if f.closed {
		return &fs.PathError{Op: op, Path: f.name, Err: fs.ErrClosed}
	}
	return f.fs.call(op, f.name)
}

// ReadAt implements File.
func (f *crashFile) ReadAt(b []byte, offset int64) (int, error) {
	err := f.enter("read")
	defer f.fs.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if offset >= int64(len(f.node.now)) {
		return 0, io.EOF
	}
	n := copy(b, f.node.now[offset:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements File. When made to fail it has written a random part.
func (f *crashFile) WriteAt(b []byte, offset int64) (int, error) {
	err := f.enter("write")
	defer f.fs.mu.Unlock()
	if f.closed || f.fs.stopped() {
		return 0, err
	}
	if grown := offset + int64(len(b)) - int64(len(f.node.now)); err == nil && grown > 0 {
		err = f.take("write", grown)
	}
	written := len(b)
	if err != nil {
		written = f.fs.random.IntN(len(b) + 1)
	}
	end := offset + int64(written)
	if written > 0 && end > int64(len(f.node.now)) {
		f.fs.resize(f.node, end)
	}
	copy(f.node.now[min(offset, int64(len(f.node.now))):], b[:written])
	if written > 0 {
		f.node.touch(offset, end)
	}
	return written, err
}

// take reserves bytes of the free space.
func (f *crashFile) take(op string, bytes int64) error {
	if f.fs.free < 0 {
		return nil
	}
	if f.fs.free < bytes {
		return &fs.PathError{Op: op, Path: f.name, Err: syscall.ENOSPC}
	}
	f.fs.free -= bytes
	return nil
}

// Size implements File.
func (f *crashFile) Size() (int64, error) {
	err := f.enter("size")
	defer f.fs.mu.Unlock()
	return int64(len(f.node.now)), err
}

// Truncate implements File.
func (f *crashFile) Truncate(size int64) error {
	err := f.enter("truncate")
	defer f.fs.mu.Unlock()
	if err != nil {
		return err
	}
	f.fs.resize(f.node, size)
	return nil
}

// Preallocate implements File.
func (f *crashFile) Preallocate(size int64) error {
	err := f.enter("preallocate")
	defer f.fs.mu.Unlock()
	if err != nil {
		return err
	}
	if grown := size - int64(len(f.node.now)); grown > 0 {
		if err := f.take("preallocate", grown); err != nil {
			return err
		}
		f.fs.resize(f.node, size)
	}
	return nil
}

// Sync implements File. When made to fail it has written a random part of the sectors,
// and the others will not be tried again unless they are written again. When the machine
// stops in it, they are as dirty as before.
func (f *crashFile) Sync() error {
	err := f.enter("sync")
	defer f.fs.mu.Unlock()
	if f.closed || f.fs.stopped() {
		return err
	}
	n := f.node
	if err == nil {
		n.safe = resized(n.safe, int64(len(n.now)))
	}
	sectors := make([]int64, 0, len(n.dirty))
	for sector := range n.dirty {
		sectors = append(sectors, sector)
	}
	slices.Sort(sectors)
	for _, sector := range sectors {
		at := sector * sectorBytes
		if at >= int64(len(n.safe)) || at >= int64(len(n.now)) || (err != nil && f.fs.random.IntN(2) == 0) {
			continue
		}
		copy(n.safe[at:min(at+sectorBytes, int64(len(n.safe)))], n.now[at:])
		delete(n.dirty, sector)
	}
	if !errors.Is(err, ErrCrashed) {
		clear(n.dirty)
	}
	return err
}

// Close implements File.
func (f *crashFile) Close() error {
	err := f.enter("close")
	defer f.fs.mu.Unlock()
	f.closed = true
	return err
}

// touch marks the sectors of a range as written and not synced.
func (n *node) touch(from, to int64) {
	for sector := from / sectorBytes; sector*sectorBytes < to; sector++ {
		n.dirty[sector] = true
	}
}

// resize sets the length that a program sees. What is cut and grown again reads zero.
func (c *Crash) resize(n *node, size int64) {
	before := int64(len(n.now))
	if size < before {
		clear(n.now[size:])
		n.touch(size, before)
		if c.free >= 0 {
			c.free += before - size
		}
	}
	n.now = resized(n.now, size)
}

// resized gives b another length; new bytes are zero. They come as zeros from the allocator and are not
// touched: a log file is preallocated, and has a hundred MB of them.
func resized(b []byte, size int64) []byte {
	if size <= int64(cap(b)) {
		old := int64(len(b))
		b = b[:size]
		if size > old {
			clear(b[old:])
		}
		return b
	}
	grown := make([]byte, size, max(size, int64(cap(b))*5/4))
	copy(grown, b)
	return grown
}
