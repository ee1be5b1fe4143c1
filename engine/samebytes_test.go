package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span/otlp"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// sameBytesSpans is how many spans of the recording are stored: enough for some row groups
// in each segment. The long run takes all of it.
const sameBytesSpans = 14_000

// TestSameEntriesGiveTheSameBytes: flush and merge write the same files from the same
// entries, in every process, on any number of processors, and in a build without assembly.
// Replicas compare their files by that.
func TestSameEntriesGiveTheSameBytes(t *testing.T) {
	if os.Getenv("STOA_TEST_HASHES") != "" {
		fmt.Println(strings.Join(fileHashes(t), "\n"))
		return
	}
	if testing.Short() {
		t.Skip("SKIP: builds the test again")
	}
	want := fileHashes(t)
	if len(want) < 4 {
		t.Fatalf("files %q only", want)
	}
	plain := filepath.Join(t.TempDir(), "noasm.test")
	build := exec.Command("go", "test", "-c", "-tags", "noasm", "-o", plain, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Skipf("SKIP: a build without assembly: %v\n%s", err, out)
	}
	for _, run := range [][2]string{{os.Args[0], "1"}, {plain, "2"}} {
		child := exec.Command(run[0], "-test.run", "^TestSameEntriesGiveTheSameBytes$")
		child.Env = append(os.Environ(), "STOA_TEST_HASHES=1", "GOMAXPROCS="+run[1])
		out, err := child.Output()
		if err != nil {
			t.Fatalf("%s: %v\n%s", run, err, out)
		}
		got := bytes.Split(out, []byte("\n"))
		for i, line := range want {
			if i >= len(got) || string(got[i]) != line {
				t.Fatalf("%s: %q, here it is %q", run, got[min(i, len(got)-1)], line)
			}
		}
	}
}

// fileHashes stores loads, with a flush after each third and a merge at the end, and tells
// every file that was there by name and hash.
func fileHashes(t *testing.T) (lines []string) {
	t.Helper()
	for seed, mix := range []enginetest.Mix{enginetest.MixPlain, enginetest.MixNames, enginetest.MixAll} {
		gen := enginetest.NewGenerator(uint64(seed), 40)
		var parts []otlp.Part
		for range 12 {
			cut, _, err := otlp.Cut(enginetest.Payload(gen.Mixed(mix, 60)), 1, firstShard)
			if err != nil {
				t.Fatal(err)
			}
			parts = append(parts, cut...)
		}
		lines = append(lines, hashesOf(t, fmt.Sprint("mix ", mix), parts)...)
	}
	if _, err := os.Stat("../../shared/data/" + hotrod); err == nil {
		var parts []otlp.Part
		spans := 0
		eachRequest(t, hotrod, func(request []byte) {
			if spans > sameBytesSpans && os.Getenv("STOA_TEST_SEEDS") == "" {
				return
			}
			cut, _, err := otlp.Cut(request, 1, firstShard)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range cut {
				spans += p.Spans
			}
			parts = append(parts, cut...)
		})
		lines = append(lines, hashesOf(t, hotrod, parts)...)
	}
	return lines
}

func hashesOf(t *testing.T, load string, parts []otlp.Part) (lines []string) {
	t.Helper()
	disk := vfs.NewCrash(1)
	s, err := engine.Open(engine.Options{FS: disk, Dir: worldDir, Log: slog.New(slog.DiscardHandler), ManualCompaction: true, MemtableBytesMax: 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	note := func(when string) {
		names, err := disk.List(worldDir)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(names)
		for _, name := range names {
			if !strings.HasSuffix(name, ".seg") {
				continue
			}
			content, err := vfs.ReadFile(disk, worldDir+"/"+name, 1<<30)
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, fmt.Sprintf("%s, %s: %s, %d bytes: %s", load, when, name, len(content), codec.HashBytes(content)))
		}
	}
	ctx := context.Background()
	for i, p := range parts {
		e := &engine.Entry{Received: 1_767_225_600_000_000_000 + int64(i), Parts: []engine.Part{engine.NewPart(p.Batch, p.Bytes)}}
		if _, err := s.Apply(uint64(i+1), e); err != nil {
			t.Fatal(err)
		}
		if (i+1)%((len(parts)+2)/3) == 0 || i == len(parts)-1 {
			if err := s.Flush(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	note("flushed")
	if err := s.Compact(ctx); err != nil {
		t.Fatal(err)
	}
	note("merged")
	return lines
}
