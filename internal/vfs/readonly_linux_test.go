package vfs_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stoadb/stoa/internal/vfs"
)

// TestAFolderThatMayOnlyBeReadIsLocked where somebody made the lock file, and otherwise nobody can hold it.
func TestAFolderThatMayOnlyBeReadIsLocked(t *testing.T) {
	for _, locked := range []bool{false, true} {
		root := t.TempDir()
		if locked {
			if err := os.WriteFile(filepath.Join(root, "lock"), nil, 0o444); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(os.Chmod(filepath.Dir(root), 0o755), os.Chmod(root, 0o555)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(root, 0o755) }) // or it could not be removed
		reader, err := vfs.NewOS(root)
		if err != nil {
			t.Fatal(err)
		}
		asNobody(t, func() {
			lock, err := reader.LockToRead("lock")
			if err != nil {
				t.Errorf("lock file there: %v: %v", locked, err)
				return
			}
			if _, err := reader.Lock("lock"); !errors.Is(err, os.ErrPermission) {
				t.Errorf("who writes took the lock of a folder that may only be read: %v", err)
			}
			if _, err := reader.Create("more"); !errors.Is(err, os.ErrPermission) {
				t.Errorf("a folder that may only be read took a file: %v", err)
			}
			if locked {
				if _, err := reader.LockToRead("lock"); !errors.Is(err, vfs.ErrLocked) {
					t.Errorf("locked twice: %v", err)
				}
			}
			if err := lock.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// asNobody calls do with the rights of a user who owns nothing, where this process is root.
func asNobody(t *testing.T, do func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		do()
		return
	}
	runtime.LockOSThread() // what is set is the thread's
	defer runtime.UnlockOSThread()
	if _, err := unix.SetfsuidRetUid(65534); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = unix.SetfsuidRetUid(0) }()
	do()
}
