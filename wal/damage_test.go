package wal_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
	"github.com/stoadb/stoa/wal"
)

// sample is a log with everything in it, and what it held after each step.
type sample struct {
	disk    *vfs.Crash
	options wal.Options
	history []string // dumps after 0, 1, 2 ... steps of the last life
}

// newSample writes two lives: one closed, and one that is closed or killed after its
// last step.
func newSample(t *testing.T, o wal.Options, stepsOfLife int, clean bool) sample {
	t.Helper()
	r := rand.New(rand.NewPCG(7, 7))
	s := sample{disk: vfs.NewCrash(1), options: o}
	m := newModel()
	for life := range 2 {
		l, _, err := wal.Open(s.disk, dir, s.options)
		if err != nil {
			t.Fatal(err)
		}
		s.history = []string{m.String()}
		for range stepsOfLife {
			st := randomStep(r, &m)
			for st.what == "commit" { // has no bytes of its own
				st = randomStep(r, &m)
			}
			m.apply(st)
			if err := do(l, st); err != nil {
				t.Fatal(err)
			}
			s.history = append(s.history, m.String())
		}
		if life == 1 && !clean {
			killed := s.disk.KillCopy()
			_ = l.Close()
			s.disk = killed
			return s
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s sample) files(t *testing.T) []string {
	t.Helper()
	names, err := s.disk.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func content(t *testing.T, disk vfs.FS, name string) []byte {
	t.Helper()
	b, err := vfs.ReadFile(disk, path.Join(dir, name), 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// commitsOf are the offsets of a file's commits, and where they end.
func commitsOf(b []byte) (starts []int, end int) {
	for at := 0; at+64 <= len(b) && string(b[at:at+7]) == "STOALOG"; {
		starts = append(starts, at)
		body := int(b[at+32]) | int(b[at+33])<<8 | int(b[at+34])<<16
		at = (at + 64 + body + 4095) / 4096 * 4096
		end = at
	}
	return starts, end
}

func put(t *testing.T, disk vfs.FS, name string, b []byte) {
	t.Helper()
	f, err := disk.Create(path.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 0 {
		if _, err := f.WriteAt(b, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(f.Sync(), disk.SyncDir(dir)); err != nil {
		t.Fatal(err)
	}
}

// opened reopens a log and asks it everything.
func opened(t *testing.T, disk vfs.FS, o wal.Options) (string, wal.Recovery, error) {
	t.Helper()
	l, rec, err := wal.Open(disk, dir, o)
	if err != nil {
		return "", rec, err
	}
	got := dump(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return got, rec, nil
}

// The last file may end anywhere: what is left is what the whole commits in front of
// the cut hold, and the rest is counted to the byte. With zeros in place of the lost
// bytes, as preallocation leaves them, it is the same.
func TestTornTailAtEveryByte(t *testing.T) {
	s := newSample(t, wal.Options{FileBytes: 64 << 10}, 8, false)
	names := s.files(t)
	last := names[len(names)-1]
	whole := content(t, s.disk, last)
	starts, end := commitsOf(whole)
	if len(starts) < 6 || end < 16<<10 {
		t.Fatalf("%d commits in %d bytes are too few for this test", len(starts), end)
	}
	// The file's first commit is its state: it adds nothing to what was there.
	first := len(s.history) - len(starts)
	for cut := 0; cut <= end; cut++ {
		if padding := whole[max(0, cut-1)] == 0 && used(whole[:cut]) < cut-8; (padding || testing.Short()) && cut%61 != 0 {
			continue // cutting zeros is cutting zeros
		}
		for _, zeros := range []int{0, len(whole) - cut} {
			n := 0 // whole commits in front of the cut; padding does not count
			for n < len(starts) && needs(whole, starts[n], zeros > 0) <= cut {
				n++
			}
			from := nth(starts, n, end)
			want := s.history[max(first+n-1, first)]
			disk := s.disk.KillCopy()
			put(t, disk, last, append(slices.Clone(whole[:cut]), make([]byte, zeros)...))
			got, rec, err := opened(t, disk, s.options)
			if err != nil || got != want {
				t.Fatalf("cut at %d with %d zeros: %v; holds\n%s\nwant\n%s", cut, zeros, err, got, want)
			}
			torn := max(0, used(whole[:cut])-from)
			if rec.TornBytes != int64(torn) || (torn > 0 && rec.Offset != int64(from)) {
				t.Fatalf("cut at %d: %d torn bytes at %d reported, %d at %d are", cut, rec.TornBytes, rec.Offset, torn, from)
			}
			if rec.Clean && cut > 0 { // an empty file behind a closed one holds nothing
				t.Fatalf("cut at %d: called clean", cut)
			}
		}
	}
}

// needs is where the commit at start ends; what it ends in zeros for may be zeros of
// another origin.
func needs(whole []byte, start int, zeros bool) int {
	end := start + 64 + (int(whole[start+32]) | int(whole[start+33])<<8 | int(whole[start+34])<<16)
	if zeros {
		return used(whole[:end])
	}
	return end
}

// used is the length without zeros at the end.
func used(b []byte) int {
	n := len(b)
	for n > 0 && b[n-1] == 0 {
		n--
	}
	return n
}

func nth(starts []int, n, end int) int {
	if n < len(starts) {
		return starts[n]
	}
	return end
}

// eachFlip flips every bit of every file in turn; of the zeros that pad commits only
// every 61st. visit tells whether it has changed the disk.
func eachFlip(t *testing.T, s sample, visit func(disk *vfs.Crash, name string, bit int64, whole []byte) bool) (flips int) {
	t.Helper()
	disk := s.disk.KillCopy()
	for _, name := range s.files(t) {
		whole := content(t, s.disk, name)
		for bit := range int64(len(whole)) * 8 {
			at := int(bit / 8)
			padding := whole[at] == 0 && string(whole[max(0, at-40):min(len(whole), at+40)]) == string(make([]byte, min(len(whole), at+40)-max(0, at-40)))
			if (padding && bit%61 != 0) || (testing.Short() && bit%17 != 0) {
				continue
			}
			disk.FlipBit(path.Join(dir, name), bit)
			if visit(disk, name, bit, whole) {
				disk = s.disk.KillCopy()
			} else {
				disk.FlipBit(path.Join(dir, name), bit)
			}
			flips++
		}
	}
	return flips
}

// After a clean shutdown every flipped bit is reported, as damage with file and offset
// or as bytes cut behind the last entry; no flip changes an answer.
func TestFlippedBitInAClosedLog(t *testing.T) {
	flipClosed(t, wal.Options{FileBytes: 16 << 10})
}

// The end record vouches for all before it with a sync interval too.
func TestFlippedBitInAClosedLogWithAnInterval(t *testing.T) {
	flipClosed(t, wal.Options{FileBytes: 16 << 10, SyncInterval: interval})
}

func flipClosed(t *testing.T, o wal.Options) {
	s := newSample(t, o, 2, true)
	want := s.history[len(s.history)-1]
	var refused, cut int
	flips := eachFlip(t, s, func(disk *vfs.Crash, name string, bit int64, _ []byte) bool {
		verified, found := bit%23 == 0, ""
		if verified {
			found = damages(t, disk)
		}
		got, rec, err := opened(t, disk, s.options)
		switch {
		case err != nil:
			namesPlace(t, err, name, bit)
			refused++
			if verified && !strings.Contains(found, name) {
				t.Fatalf("%s bit %d: Open says %v, Verify says %q", name, bit, err, found)
			}
		case got != want:
			t.Fatalf("%s bit %d: a different answer:\n%s\nwant\n%s", name, bit, got, want)
		case rec.TornBytes == 0 || rec.Clean:
			t.Fatalf("%s bit %d: not noticed: %+v", name, bit, rec)
		default:
			cut++
			if found != "" {
				t.Fatalf("%s bit %d: Open cuts, Verify says %q", name, bit, found)
			}
		}
		return err == nil
	})
	t.Logf("%d flips: %d refused, %d in the end record's commit", flips, refused, cut)
}

// damages is what Verify reports, one line each.
func damages(t *testing.T, disk vfs.FS) string {
	t.Helper()
	var b strings.Builder
	_, err := wal.Verify(disk, dir, func(d wal.Damage) { fmt.Fprintf(&b, "%s: offset %d: %v\n", d.File, d.Offset, d.Err) }, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// namesPlace wants an error of damage that names the file and the commit or record.
func namesPlace(t *testing.T, err error, name string, bit int64) {
	t.Helper()
	if !errors.Is(err, codec.ErrCorrupt) && !errors.Is(err, codec.ErrVersion) {
		t.Fatalf("%s bit %d: %v is no error of damage", name, bit, err)
	}
	var offset int64
	at := strings.Index(err.Error(), name+": offset ")
	if at < 0 {
		t.Fatalf("%s bit %d: %v does not name the place", name, bit, err)
	}
	if _, scan := fmt.Sscanf(err.Error()[at:], name+": offset %d:", &offset); scan != nil || offset > bit/8 || offset < bit/8-20_000 {
		t.Fatalf("%s bit %d: %v names offset %d", name, bit, err, offset)
	}
}

// In a killed log a flip in the last group commit looks like a torn write: that commit
// is dropped whole, and said. A flip before it is damage. A flip in the zeros behind it
// is cut.
func TestFlippedBitInAKilledLog(t *testing.T) {
	s := newSample(t, wal.Options{FileBytes: 16 << 10}, 2, false)
	names := s.files(t)
	last := names[len(names)-1]
	n := len(s.history)
	flips := eachFlip(t, s, func(disk *vfs.Crash, name string, bit int64, whole []byte) bool {
		starts, end := commitsOf(whole)
		got, rec, err := opened(t, disk, s.options)
		lastStart := starts[len(starts)-1]
		if name != last || bit/8 < int64(lastStart) {
			if err == nil {
				t.Fatalf("%s bit %d: damage before the tail was not noticed: %+v", name, bit, rec)
			}
			namesPlace(t, err, name, bit)
			return false
		}
		want, from := s.history[n-1], end
		if bit/8 < int64(end) {
			from = lastStart
			if len(starts) > 1 {
				want = s.history[n-2] // otherwise it held the state alone
			}
		}
		if err != nil || got != want {
			t.Fatalf("%s bit %d: %v; holds\n%s\nwant\n%s", name, bit, err, got, want)
		}
		if rec.TornBytes == 0 || rec.Offset != int64(from) || rec.File != path.Join(dir, name) || rec.Clean {
			t.Fatalf("%s bit %d: not said, or wrongly: %+v, cut at %d", name, bit, rec, from)
		}
		return true
	})
	t.Logf("%d flips", flips)
}

// Verify tells everything that is wrong, also behind the first damage, and changes no
// byte.
func TestVerifyReportsEveryDamageAndChangesNothing(t *testing.T) {
	s := newSample(t, wal.Options{FileBytes: 16 << 10}, 20, true)
	if found := damages(t, s.disk); found != "" {
		t.Fatalf("a whole log: %s", found)
	}
	sum, err := wal.Verify(s.disk, dir, func(wal.Damage) {}, nil)
	if err != nil || !sum.Clean || sum.Entries == 0 || sum.Files != len(s.files(t)) || sum.TornBytes != 0 {
		t.Fatalf("summary of a whole log: %+v, %v", sum, err)
	}
	names := s.files(t)
	hurt := []string{names[0], names[len(names)/2], names[len(names)-2]}
	for _, name := range hurt {
		s.disk.FlipBit(path.Join(dir, name), 70*8) // in the first record of the file
	}
	before := map[string]string{}
	for _, name := range names {
		before[name] = string(content(t, s.disk, name))
	}
	found := damages(t, s.disk)
	for _, name := range hurt {
		if !strings.Contains(found, name+": offset 0: ") {
			t.Errorf("Verify does not name %s:\n%s", name, found)
		}
	}
	for _, name := range s.files(t) {
		if before[name] != string(content(t, s.disk, name)) {
			t.Errorf("Verify changed %s", name)
		}
	}
}

// A missing file is fatal and named; a file in front of the run, which a power cut may
// bring back, is not needed and goes.
func TestMissingAndStaleFiles(t *testing.T) {
	s := newSample(t, wal.Options{FileBytes: 16 << 10}, 25, true)
	names := s.files(t)
	for _, name := range names[:len(names)-1] {
		disk := s.disk.KillCopy()
		if err := disk.Remove(path.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		got, _, err := opened(t, disk, s.options)
		if err == nil && got == s.history[len(s.history)-1] {
			continue // nothing in it was live, nor in front of it
		}
		if err == nil || !errors.Is(err, codec.ErrCorrupt) || !strings.Contains(err.Error(), name) {
			t.Fatalf("without %s: %v", name, err)
		}
	}
	// A start that was killed, or found no room, leaves a file without a commit. Those in front of the one that is
	// missing are the log then, and not stale.
	disk := s.disk.KillCopy()
	last := names[len(names)-1]
	if err := disk.Remove(path.Join(dir, last)); err != nil {
		t.Fatal(err)
	}
	for _, begun := range [][]byte{nil, make([]byte, 8192), []byte("no commit")} {
		put(t, disk, "00000000000000ff.log", begun)
		_, _, err := opened(t, disk, s.options)
		if !errors.Is(err, codec.ErrCorrupt) || !strings.Contains(err.Error(), "00000000000000fe.log") {
			t.Fatalf("behind a gap stands a file of %d bytes that is no commit: %v", len(begun), err)
		}
		if found := damages(t, disk); !strings.Contains(found, "00000000000000fe.log: offset 0: ") {
			t.Fatalf("Verify says %q", found)
		}
		for _, name := range names[:len(names)-1] {
			content(t, disk, name) // none is deleted
		}
	}
	disk = s.disk.KillCopy()
	put(t, disk, "0000000000000000.log", []byte("an old file"))
	put(t, disk, "notes.txt", []byte("not ours"))
	l, _, err := wal.Open(disk, dir, s.options)
	if err != nil || dump(t, l) != s.history[len(s.history)-1] {
		t.Fatal("a stale file disturbs", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// The last commit of a file that has a successor is zeroed: nothing in that file tells,
// but the state that opens the next one does. Here it is a vote, which has no Seq that
// could be missed.
func TestLostEndOfAnOlderFileIsNoticed(t *testing.T) {
	disk, o := vfs.NewCrash(1), wal.Options{FileBytes: 16 << 10}
	l, _, err := wal.Open(disk, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	s := l.Stream(1)
	if err := errors.Join(
		s.Append(wal.Entry{Seq: 1, Payload: make([]byte, 3000)}),
		s.Append(wal.Entry{Seq: 2, Payload: make([]byte, 3000)}),
		s.Set([]byte("LastVoteCand"), []byte("node-2")),
		s.Append(wal.Entry{Seq: 3, Payload: make([]byte, 3000)}), // in the next file
		l.Close(),
	); err != nil {
		t.Fatal(err)
	}
	const name = "0000000000000001.log"
	whole := content(t, disk, name)
	starts, _ := commitsOf(whole)
	if len(starts) != 4 {
		t.Fatalf("%d commits in the first file", len(starts))
	}
	clear(whole[starts[3]:])
	put(t, disk, name, whole)
	if _, _, err := opened(t, disk, o); !errors.Is(err, codec.ErrCorrupt) {
		t.Fatalf("a lost vote: %v", err)
	}
	if found := damages(t, disk); !strings.Contains(found, "0000000000000002.log: offset 64: ") {
		t.Fatalf("Verify says %q", found)
	}
}

// Nothing follows an end record in its file.
func TestCommitBehindTheEndIsDamage(t *testing.T) {
	const name = "0000000000000001.log"
	o := wal.Options{FileBytes: 64 << 10}
	file := func(sets int) []byte {
		disk := vfs.NewCrash(1)
		l, _, err := wal.Open(disk, dir, o)
		if err != nil {
			t.Fatal(err)
		}
		for range sets {
			if err := l.Stream(1).Set([]byte("k"), []byte("v")); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return content(t, disk, name)
	}
	short, long := file(1), file(3) // state, set, end; state, set, set, set, end
	disk := vfs.NewCrash(1)
	if err := disk.MkdirAll(dir); err != nil {
		t.Fatal(err)
	}
	put(t, disk, name, append(short, long[len(short):]...))
	if _, _, err := opened(t, disk, o); !errors.Is(err, codec.ErrCorrupt) {
		t.Fatalf("commits behind the end: %v", err)
	}
}
