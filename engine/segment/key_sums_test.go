package segment_test

import (
	"fmt"
	"testing"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/index"
	"github.com/stoadb/stoa/internal/vfs"
)

// TestCountsBelowZeroAreNone: where an input says under a right checksum that its attributes have no values, and
// each row stands in two inputs, what is taken off is more than there was. Then nothing is said, and rows have to tell.
func TestCountsBelowZeroAreNone(t *testing.T) {
	defer segment.LowerMergeRows(1, 20)()
	for seed := range uint64(8) {
		in := newOddInputs(seed)
		in.fill = false
		var rows []span.Row
		for _, part := range in.parts {
			rows = append(rows, part...)
		}
		in.parts = [][]span.Row{rows, rows}
		fs, names := vfs.NewCrash(1), []string{"in0", "in1"}
		counters := []*segment.KeyCounters{in.writeInput(t, fs, 0), in.writeInput(t, fs, 1)}
		for _, name := range names {
			if err := rewriteSection(fs, name, "keys", withoutValues); err != nil {
				t.Fatal(err)
			}
		}
		out, err := mergedFrom(t, fs, "out", names, counters)
		if err != nil {
			t.Fatal(err)
		}
		if counts, complete, err := out.KeyCounts(); complete || err != nil {
			t.Errorf("seed %d: %d counts, complete %v: %v", seed, len(counts), complete, err)
		}
		out.Close()
	}
}

func withoutValues(payload []byte) []byte {
	counts, _, err := index.DecodeKeyCounts(payload)
	if err != nil {
		return payload
	}
	for i := range counts {
		counts[i].Values = 0
	}
	return index.AppendKeyCounts(nil, counts)
}

// rewriteSection changes a section of a segment, and gives it the checksum of what it says then.
func rewriteSection(fs vfs.FS, name, section string, change func(payload []byte) []byte) error {
	data, ok := segment.ForgeSection(fs, name, section, change)
	if !ok {
		return fmt.Errorf("%s has no section %s", name, section)
	}
	if err := fs.Remove(name); err != nil {
		return err
	}
	f, err := fs.Create(name)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(data, 0); err != nil {
		return err
	}
	return f.Close()
}
