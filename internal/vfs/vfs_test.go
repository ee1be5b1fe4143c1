package vfs_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/stoadb/stoa/internal/vfs"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, disk vfs.FS, name, content string, sync bool) {
	t.Helper()
	f, err := disk.Create(name)
	must(t, err)
	_, err = f.WriteAt([]byte(content), 0)
	must(t, err)
	if sync {
		must(t, f.Sync())
	}
	must(t, f.Close())
}

func read(t *testing.T, disk vfs.FS, name string) string {
	t.Helper()
	b, err := vfs.ReadFile(disk, name, 1<<20)
	must(t, err)
	return string(b)
}

// Both file systems answer alike, so that a proof over Crash speaks about OS.
func TestOSAndCrashBehaveAlike(t *testing.T) {
	onDisk, err := vfs.NewOS(filepath.Join(t.TempDir(), "a", "b"))
	must(t, err)
	for name, disk := range map[string]vfs.FS{"OS": onDisk, "Crash": vfs.NewCrash(1)} {
		t.Run(name, func(t *testing.T) { behaves(t, disk) })
	}
}

func behaves(t *testing.T, disk vfs.FS) {
	must(t, disk.MkdirAll("x/y"))
	must(t, disk.MkdirAll("x/y"))
	write(t, disk, "x/two", "22", true)
	write(t, disk, "x/one", "1", true)
	must(t, disk.SyncDir("x"))
	names, err := disk.List("x")
	must(t, err)
	if !slices.Equal(names, []string{"one", "two", "y"}) {
		t.Fatalf("List: %v", names)
	}
	if _, err := disk.List("none"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("List of a missing folder: %v", err)
	}
	if _, err := disk.Open("x/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("Open of a missing file: %v", err)
	}
	if _, err := disk.Create("none/file"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("Create in a missing folder: %v", err)
	}
	if err := disk.Remove("x/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("Remove of a missing file: %v", err)
	}

	f, err := disk.Open("x/two")
	must(t, err)
	must(t, f.Preallocate(10))
	must(t, f.Preallocate(5)) // never shortens
	if size, err := f.Size(); err != nil || size != 10 {
		t.Fatalf("size %d after preallocation: %v", size, err)
	}
	_, err = f.WriteAt([]byte("end"), 12)
	must(t, err)
	b := make([]byte, 20)
	n, err := f.ReadAt(b, 0)
	if want := "22" + string(make([]byte, 10)) + "end"; string(b[:n]) != want || !errors.Is(err, io.EOF) {
		t.Fatalf("read %q, %v", b[:n], err)
	}
	must(t, f.Truncate(1))
	must(t, f.Truncate(3))
	must(t, f.Sync())
	must(t, disk.Rename("x/two", "x/one"))
	if got := read(t, disk, "x/one"); got != "2\x00\x00" {
		t.Fatalf("after rename: %q", got)
	}
	must(t, disk.Remove("x/one"))
	if n, err := f.ReadAt(b[:1], 0); n != 1 || err != nil {
		t.Fatalf("an open handle of a removed file: %d, %v", n, err)
	}
	must(t, f.Close())

	lock, err := disk.Lock("LOCK")
	must(t, err)
	if _, err := disk.Lock("LOCK"); !errors.Is(err, vfs.ErrLocked) {
		t.Fatalf("second lock: %v", err)
	}
	must(t, lock.Close())
	lock, err = disk.Lock("LOCK")
	must(t, err)
	must(t, lock.Close())
	if free, err := disk.Free(); err != nil || free <= 0 {
		t.Fatalf("free %d, %v", free, err)
	}
}

func TestOSRefusesAFileAsFolder(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(name, nil, 0o600))
	if _, err := vfs.NewOS(name); err == nil {
		t.Fatal("a file was taken for a folder")
	}
}

// A power cut keeps what was synced, and of the rest any sector or none.
func TestPowerCutKeepsWhatWasSynced(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(200) {
		disk := vfs.NewCrash(seed)
		write(t, disk, "synced", "safe", true)
		write(t, disk, "lost name", "safe", true)
		must(t, disk.SyncDir("."))
		must(t, disk.Remove("lost name"))
		f, err := disk.Open("synced")
		must(t, err)
		_, err = f.WriteAt(bytes.Repeat([]byte{'x'}, 1024), 512)
		must(t, err)
		if got := read(t, disk.KillCopy(), "synced"); len(got) != 1536 || got[600] != 'x' {
			t.Fatal("a kill lost written bytes")
		}
		after := disk.Crash()
		got := read(t, after, "synced")
		if got[:4] != "safe" {
			t.Fatalf("seed %d: synced bytes are %q", seed, got[:4])
		}
		picture := ""
		for at := 512; at < len(got); at += 512 {
			picture += string(got[at])
		}
		names, err := after.List(".")
		must(t, err)
		seen[picture+string(rune('0'+len(names)))] = true
	}
	for _, want := range []string{"1", "2", "xx1", "xx2", "x\x001", "\x00x2"} {
		if !seen[want] {
			t.Errorf("no power cut of 200 left %q", want)
		}
	}
}

// A sync that fails forgets: the bytes can be read, a later sync does not save them,
// writing them again does.
func TestFailedSyncForgets(t *testing.T) {
	lost := false
	for seed := range uint64(20) {
		disk := vfs.NewCrash(seed)
		f, err := disk.Create("f")
		must(t, err)
		must(t, disk.SyncDir("."))
		_, err = f.WriteAt([]byte("once"), 0)
		must(t, err)
		disk.FailAt(1, syscall.EIO)
		if err := f.Sync(); !errors.Is(err, syscall.EIO) {
			t.Fatalf("injected error: %v", err)
		}
		must(t, f.Sync())
		if read(t, disk, "f") != "once" {
			t.Fatal("unreadable after the failed sync")
		}
		lost = lost || read(t, disk.Crash(), "f") != "once"
		_, err = f.WriteAt([]byte("once"), 0)
		must(t, err)
		must(t, f.Sync())
		if read(t, disk.Crash(), "f") != "once" {
			t.Fatal("written again and synced, and lost")
		}
	}
	if !lost {
		t.Fatal("no failed sync of 20 lost anything")
	}
}

func TestRenameIsWholeOrNotAtAll(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(100) {
		disk := vfs.NewCrash(seed)
		write(t, disk, "name", "old", true)
		must(t, disk.SyncDir("."))
		write(t, disk, "name.new", "new", true)
		must(t, disk.Rename("name.new", "name"))
		seen[read(t, disk.Crash(), "name")]++
	}
	if seen["old"]+seen["new"] != 100 || seen["old"] == 0 || seen["new"] == 0 {
		t.Fatalf("after a power cut the name holds %v", seen)
	}
}

// MkdirAll is durable when it returns, also for a folder whose maker was killed before
// it could sync the name; until then a power cut may take the folder and all in it.
func TestFoldersAreDurableOnceMade(t *testing.T) {
	var gone, left int
	for seed := range uint64(20) {
		for stop := 1; stop <= 6; stop++ { // enter, then a name and a sync for each of a, a/b
			disk := vfs.NewCrash(seed)
			disk.StopAt(stop)
			err := disk.MkdirAll("a/b")
			if (err == nil) != (stop == 6) {
				t.Fatalf("stop at call %d: %v", stop, err)
			}
			after := disk.Crash()
			if _, err := after.List("a/b"); err == nil {
				left++
			} else if stop == 6 {
				t.Fatalf("made durably, and gone: %v", err)
			} else {
				gone++
			}
			killed := disk.KillCopy()
			must(t, killed.MkdirAll("a/b"))
			write(t, killed, "a/b/f", "content", true)
			must(t, killed.SyncDir("a/b"))
			if got := read(t, killed.Crash(), "a/b/f"); got != "content" {
				t.Fatalf("stop at call %d: %q", stop, got)
			}
		}
	}
	if gone == 0 || left == 0 {
		t.Fatalf("%d power cuts took the folder, %d left it", gone, left)
	}
}

func TestFullDisk(t *testing.T) {
	disk := vfs.NewCrash(1)
	disk.SetFree(10)
	f, err := disk.Create("f")
	must(t, err)
	if err := f.Preallocate(11); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("preallocation beyond the disk: %v", err)
	}
	must(t, f.Preallocate(10))
	if _, err := f.WriteAt([]byte("x"), 10); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("write beyond the disk: %v", err)
	}
	must(t, f.Truncate(0))
	_, err = f.WriteAt([]byte("x"), 9)
	must(t, err)
}

func TestStopAtEndsEverything(t *testing.T) {
	disk := vfs.NewCrash(1)
	write(t, disk, "f", "content", true) // create, write, sync, close
	if disk.Calls() != 4 {
		t.Fatalf("%d calls", disk.Calls())
	}
	disk.StopAt(2)
	must(t, disk.SyncDir("."))
	for range 3 {
		if _, err := disk.List("."); !errors.Is(err, vfs.ErrCrashed) {
			t.Fatalf("after the stop: %v", err)
		}
	}
	after := disk.KillCopy()
	if read(t, after, "f") != "content" {
		t.Fatal("the copy has lost the file")
	}
	after.FlipBit("f", 8)
	if read(t, after, "f") != "cnntent" {
		t.Fatal("the bit is as before")
	}
}
