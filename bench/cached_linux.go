package bench

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// DropCached lets the kernel forget what it keeps of the files below a folder, which no
// process has open: posix_fadvise with POSIX_FADV_DONTNEED, which needs no rights but
// those of the files. What is not written back yet stays.
func DropCached(folder string) error {
	return filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		if _, _, errno := syscall.Syscall6(syscall.SYS_FADVISE64, f.Fd(), 0, 0, fadviseDontNeed, 0, 0); errno != 0 {
			err = errno
		}
		return errors.Join(err, f.Close())
	})
}

// fadviseDontNeed is POSIX_FADV_DONTNEED (linux/fadvise.h).
const fadviseDontNeed = 4
