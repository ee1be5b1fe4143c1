package segment_test

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// printed gives the lines of a segment's print.
func printed(fs vfs.FS, name string, hexBytes int) ([]string, error) {
	var out bytes.Buffer
	err := segment.Print(&out, fs, name, hexBytes)
	return strings.Split(strings.TrimRight(out.String(), "\n"), "\n"), err
}

var partLine = regexp.MustCompile(`^ *(\d+) +(\d+)  \S`)

// Every byte of a file belongs to one part of its print.
func TestThePrintGoesOverEveryByte(t *testing.T) {
	fs := vfs.NewCrash(1)
	info := write(t, fs, "s", inOrder(newOdd(3).batch(6000)), 10)
	lines, err := printed(fs, "s", 0)
	if err != nil {
		t.Fatal(err)
	}
	next := 0
	for _, line := range lines {
		if m := partLine.FindStringSubmatch(line); m != nil {
			at, _ := strconv.Atoi(m[1])
			length, _ := strconv.Atoi(m[2])
			if at != next {
				t.Fatalf("a part at %d, the one before ends at %d", at, next)
			}
			next = at + length
		}
	}
	if int64(next) != info.Bytes {
		t.Errorf("the parts end at %d of %d", next, info.Bytes)
	}
}

// One damaged part leaves the others readable: with the footer in order every part is told.
func TestADamagedFileIsPrintedAsFarAsItCanBeRead(t *testing.T) {
	data, _ := small(t)
	whole, err := printed(with(t, "s", data), "s", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range whole {
		m := partLine.FindStringSubmatch(line)
		if m == nil || strings.Contains(line, "header") || strings.Contains(line, "tail:") || strings.Contains(line, "footer:") {
			continue
		}
		at, _ := strconv.Atoi(m[1])
		length, _ := strconv.Atoi(m[2])
		damaged := bytes.Clone(data)
		damaged[at+length-1] ^= 4
		lines, err := printed(with(t, "s", damaged), "s", 0)
		if !errors.Is(err, codec.ErrCorrupt) || !strings.Contains(err.Error(), "s: offset "+m[1]+":") {
			t.Errorf("damaged at %d, in %q: %v", at, line, err)
		}
		said := strings.Join(lines, "\n")
		if !strings.Contains(said, "DAMAGED") || !strings.Contains(said, "tail: footer at") || !strings.Contains(said, "batch hashes: ") {
			t.Errorf("damaged at %d, in %q, it says\n%s", at, line, said)
		}
	}
}

// Cuts and flips end with an error or with a print, never otherwise.
func TestThePrintOfWrongBytesIsAnErrorOrHarmless(t *testing.T) {
	data, _ := small(t)
	for cut := range data {
		if err := segment.Print(io.Discard, with(t, "s", data[:cut]), "s", 8); !errors.Is(err, codec.ErrCorrupt) {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
	for bit := 0; bit < 8*len(data); bit += 13 {
		damaged := bytes.Clone(data)
		damaged[bit/8] ^= 1 << (bit % 8)
		err := segment.Print(io.Discard, with(t, "s", damaged), "s", -1)
		if !errors.Is(err, codec.ErrCorrupt) && !errors.Is(err, codec.ErrVersion) {
			t.Errorf("bit %d flipped: %v", bit, err)
		}
	}
}

// Forged payloads under right checksums are reported, or print as something else.
func TestThePrintOfForgedPagesIsAnErrorOrHarmless(t *testing.T) {
	fs := vfs.NewCrash(1)
	write(t, fs, "s", inOrder(readable()), 10)
	for n := 0; ; n++ {
		for _, change := range []func([]byte) []byte{
			func(p []byte) []byte { return p[:len(p)/2] },
			func([]byte) []byte { return nil },
			func(p []byte) []byte { return append(p, 1) },
			func(p []byte) []byte { return bytes.Repeat([]byte{0xff}, len(p)) },
		} {
			forged, ok := segment.Forge(fs, "s", n, change)
			if !ok {
				if n < 20 {
					t.Fatalf("only %d pages were forged", n)
				}
				return
			}
			if err := segment.Print(io.Discard, with(t, "f", forged), "f", 0); err != nil && !errors.Is(err, codec.ErrCorrupt) {
				t.Errorf("page %d: %v", n, err)
			}
		}
	}
}

// The analysis accounts for every byte, and the index keeps to its tenth where there is more
// than a little.
func TestTheAnalysisAccountsForEveryByte(t *testing.T) {
	for _, name := range realFiles {
		fs := onDisk(t)
		info := write(t, fs, "s", inOrder(realBatches(t, name, 20_000)...), 100)
		s := open(t, fs, "s")
		defer s.Close()
		a, err := s.Analyze()
		if err != nil {
			t.Fatal(err)
		}
		sum := int64(0)
		for _, p := range a.Parts {
			sum += p.Bytes
		}
		if sum != info.Bytes || a.Info.Rows != info.Rows {
			t.Errorf("%s: the parts have %d bytes, the file %d", name, sum, info.Bytes)
		}
		if a.IndexBytes > max(info.Bytes/10, 32<<10) {
			t.Errorf("%s: the index takes %d of %d bytes", name, a.IndexBytes, info.Bytes)
		}
		spans := a.Templates[0]
		if int(spans.Items) != info.Rows || spans.MostUsed+spans.OwnItems > spans.Items || spans.Shared == 0 {
			t.Errorf("%s: %+v for %d spans", name, spans, info.Rows)
		}
		t.Logf("%s: index %.1f %% of %d bytes; %d templates, %.1f %% of spans in 10 of them", name,
			100*float64(a.IndexBytes)/float64(info.Bytes), info.Bytes, spans.Shared, 100*float64(spans.MostUsed)/float64(spans.Items))
	}
}
