package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stoadb/stoa/bench"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/internal/vfs"
)

// filesOf is the checksum of every file below folder, but for the lock, which holds nothing.
func filesOf(t *testing.T, folder string) map[string][32]byte {
	t.Helper()
	sums := make(map[string][32]byte)
	err := filepath.WalkDir(folder, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == "lock" {
			return err
		}
		b, err := os.ReadFile(name)
		sums[name] = sha256.Sum256(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sums
}

func unchanged(t *testing.T, folder string, before map[string][32]byte) {
	t.Helper()
	after := filesOf(t, folder)
	for name, sum := range before {
		if after[name] != sum {
			t.Errorf("%s was changed or removed", name)
		}
	}
	for name := range after {
		if _, ok := before[name]; !ok {
			t.Errorf("%s was made", name)
		}
	}
}

// filled is a folder with one trace in a segment, and that segment.
func filled(t *testing.T) (folder, segment string) {
	t.Helper()
	folder = t.TempDir()
	server := startServer(t, folder)
	telling := func(yield func([]byte, error) bool) { yield(enginetest.Telling(), nil) }
	if _, err := bench.Load(t.Context(), server.Storage, 1, telling); err != nil {
		t.Fatal(err)
	}
	stopServer(t, server) // flushes
	segments, err := filepath.Glob(filepath.Join(folder, "shard-*", "*.seg"))
	if err != nil || len(segments) != 1 {
		t.Fatalf("%d segments, %v", len(segments), err)
	}
	return folder, segments[0]
}

// serveOn are the arguments that serve folder on any free ports.
func serveOn(folder string) []string {
	return []string{"serve", "--storage-port=0", "--admin-port=0", "--otlp-grpc-port=0", "--archive-port=0", "--query-port=0", "--data", folder}
}

// TestServeRefusesADamagedFolder and says which file is damaged, and where in it. The
// damaged file stays as it is: it may be all that is left to mend.
func TestServeRefusesADamagedFolder(t *testing.T) {
	folder, segment := filled(t)
	epoch, manifest := filepath.Join(folder, "epoch"), filepath.Join(filepath.Dir(segment), "MANIFEST")
	shard := filepath.Base(filepath.Dir(segment))
	for _, c := range []struct {
		what, file string
		damage     func(b []byte) []byte
		wants      string
	}{
		{"epoch record without its end", epoch, func(b []byte) []byte { return b[:len(b)-1] }, `epoch: offset \d+: corrupt data`},
		{"epoch record without a byte", epoch, func([]byte) []byte { return nil }, "epoch: offset 0: corrupt data"},
		{"one byte of a manifest's body", manifest, flip(func(b []byte) int { return len(b) - 1 }), shard + `/MANIFEST: offset 16: corrupt data: checksum`},
		{"one byte of a manifest's magic", manifest, flip(func([]byte) int { return 0 }), shard + `/MANIFEST: offset 0: corrupt data`},
		{"one byte of a segment's footer", segment, flip(footer), fmt.Sprintf(`%s/%s: offset \d+: corrupt data`, shard, filepath.Base(segment))},
		{"one byte of a segment's tail", segment, flip(func(b []byte) int { return len(b) - 40 }), fmt.Sprintf(`%s/%s: offset \d+: corrupt data`, shard, filepath.Base(segment))},
	} {
		t.Run(c.what, func(t *testing.T) {
			whole, err := os.ReadFile(c.file)
			if err != nil {
				t.Fatal(err)
			}
			damaged := c.damage(bytes.Clone(whole))
			if err := os.WriteFile(c.file, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			wants(t, 1, []string{"data folder " + regexp.QuoteMeta(folder) + ": .*" + c.wants}, serveOn(folder)...)
			if left, err := os.ReadFile(c.file); err != nil || !bytes.Equal(left, damaged) {
				t.Errorf("the damaged file was changed: %v", err)
			}
			if err := os.WriteFile(c.file, whole, 0o600); err != nil {
				t.Fatal(err)
			}
		})
	}
	stopServer(t, startServer(t, folder)) // mended, it starts
	wants(t, 0, []string{"no damage"}, "verify", folder)
	wants(t, 0, []string{"(?m)^shop$"}, "services", "--data", folder)
}

// flip changes one bit of the byte that at chooses.
func flip(at func(b []byte) int) func(b []byte) []byte {
	return func(b []byte) []byte {
		b[at(b)] ^= 0x10
		return b
	}
}

// footer is a byte in the middle of a segment's footer: the tail's 40 bytes begin with its
// offset and length (docs/format/segment.md).
func footer(b []byte) int {
	tail := b[len(b)-40:]
	return int(binary.LittleEndian.Uint64(tail)) + int(binary.LittleEndian.Uint32(tail[8:]))/2
}

// TestServeRefusesAFolderThatItMayNotRead: another user's. Only root can become that user.
func TestServeRefusesAFolderThatItMayNotRead(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIP: only root can run the binary as another user")
	}
	full, _ := filled(t)
	place, err := os.MkdirTemp("", "stoa-test-") // t.TempDir lies below a folder that is closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(place) }) // a temporary folder: the system has the last word
	stoa, folder := filepath.Join(place, "stoa"), filepath.Join(place, "data")
	program, err := os.ReadFile(stoaBinary(t))
	if err := errors.Join(err, os.WriteFile(stoa, program, 0o755), os.CopyFS(folder, os.DirFS(full)),
		os.Chmod(place, 0o755), os.Chmod(folder, 0o700)); err != nil {
		t.Fatal(err)
	}
	before := filesOf(t, folder)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, stoa, serveOn(folder)...)
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	command.Dir = place
	var errs bytes.Buffer
	command.Stderr = &errs
	if err := command.Run(); command.ProcessState == nil {
		t.Skipf("SKIP: the binary does not run as another user: %v", err)
	}
	if code := command.ProcessState.ExitCode(); code != 1 ||
		!strings.Contains(errs.String(), "data folder "+folder) || !strings.Contains(errs.String(), "permission denied") {
		t.Errorf("exit code %d:\n%s", code, errs.String())
	}
	t.Logf("it says: %s", errs.String())
	unchanged(t, folder, before)
}

// TestANodeTellsOfADamagedTable when its stores are open, though nobody asks for what it is of.
func TestANodeTellsOfADamagedTable(t *testing.T) {
	folder, file := filled(t)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	disk, err := vfs.NewOS(filepath.Dir(file))
	if err != nil {
		t.Fatal(err)
	}
	damaged := func(at int) bool {
		if err := os.WriteFile(file, flip(func([]byte) int { return at })(bytes.Clone(whole)), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := segment.OpenFile(disk, filepath.Base(file), nil)
		if err != nil {
			return false
		}
		defer f.Close()
		_, err = f.Segment()
		return err != nil
	}
	at := len(whole) - 1
	for at > 0 && !damaged(at) {
		at -= 7
	}
	n, err := openNode(t.Context(), nodeOptions{data: folder, logger: slog.New(slog.DiscardHandler), archive: true})
	if err != nil {
		t.Fatal(err)
	}
	wants := regexp.MustCompile(regexp.QuoteMeta(filepath.Base(file)) + `: offset \d+: corrupt data`)
	for tries := 0; ; tries++ {
		err := n.Ready()
		if err != nil && wants.MatchString(err.Error()) {
			break
		}
		if tries == 1000 {
			t.Fatalf("ready: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := n.close(t.Context()); err != nil {
		t.Error(err)
	}
}
