package vfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// dataSync is fdatasync: it writes the bytes and what is needed to find them again
// (length, extents), and spares the journal the modification time.
func dataSync(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}

// preallocate reserves blocks, so that running out of space shows here and not in the
// middle of a group commit. File systems without fallocate get the length alone.
func preallocate(f *os.File, size int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, 0, size)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return f.Truncate(size)
		default:
			return &os.PathError{Op: "fallocate", Path: f.Name(), Err: err}
		}
	}
}
