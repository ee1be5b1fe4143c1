package cluster_test

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/stoadb/stoa/cluster/raftstore"
	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
	"github.com/stoadb/stoa/internal/vfs"
	"github.com/stoadb/stoa/wal"
)

var update = flag.Bool("update", false, "write the golden folder again")

const (
	directShards = 2
	directSpans  = 12
	directLog    = "log/0000000000000001.log"
	// The one voter in the configuration entry of every shard, for ever.
	directID, directAddress = "stoa-1", "local"
)

// machine is a raft state machine that decodes the entries of a shard as the direct
// group's replay does, and notes the names of their spans.
type machine struct {
	mu    sync.Mutex
	names []string
	err   error
}

func (m *machine) Apply(l *raft.Log) any {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, err := engine.DecodeEntry(l.Data)
	if err != nil {
		m.err = fmt.Errorf("entry %d: %w", l.Index, err)
		return nil
	}
	for _, part := range e.Parts {
		b, err := batchOf(part)
		if err != nil {
			m.err = fmt.Errorf("entry %d: %w", l.Index, err)
			return nil
		}
		for pos := range b.Len() {
			m.names = append(m.names, string(span.Row{Batch: b, Pos: pos}.Name()))
		}
	}
	return nil
}

// batchOf reads what the log has of a part: a form, or a request in its first version.
func batchOf(p engine.Part) (*span.Batch, error) {
	if p.Form != nil {
		return span.DecodeBatch(p.Form, 1<<20)
	}
	b, _, err := otlp.Walk(p.Request)
	return b, err
}

func (m *machine) Snapshot() (raft.FSMSnapshot, error) { return nil, fmt.Errorf("not asked for here") }

func (m *machine) Restore(r io.ReadCloser) error { return r.Close() }

// writeDirect writes a folder through the direct group and returns it as a kill leaves
// it, and as a clean shutdown does: flushed, with the log's front gone.
func writeDirect(t *testing.T) (killed, closed *vfs.Crash) {
	t.Helper()
	disk := vfs.NewCrash(1)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	o := small(disk)
	o.Shards, o.Log.FileBytes, o.MemtableBytesMax = directShards, 128<<10, 1<<20
	o.Now = func() time.Time { return now }
	s := open(t, o)
	for i := range directSpans {
		write(t, s, enginetest.Numbered(i))
	}
	killed = disk.KillCopy()
	shut(t, s)
	return killed, disk.KillCopy()
}

// startRaft opens one shard's stream with raft, as the only voter.
func startRaft(t *testing.T, s *raftstore.Store, snapshots raft.SnapshotStore) (*raft.Raft, *machine, error) {
	t.Helper()
	c := raft.DefaultConfig()
	c.LocalID = directID
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = 50*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
	c.CommitTimeout, c.LogOutput = 5*time.Millisecond, io.Discard
	_, transport := raft.NewInmemTransport(directAddress)
	m := &machine{}
	node, err := raft.NewRaft(c, m, s, s, snapshots, transport)
	if err != nil {
		return nil, nil, err
	}
	t.Cleanup(func() { _ = node.Shutdown().Error() })
	for deadline := time.Now().Add(30 * time.Second); node.State() != raft.Leader; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain for leadership")
		}
	}
	return node, m, node.Barrier(10 * time.Second).Error()
}

// raftNames opens every shard of a folder with raft and returns the names of the spans
// that its machines were given.
func raftNames(t *testing.T, disk vfs.FS) (names []string) {
	t.Helper()
	l, _, err := wal.Open(disk, "log", wal.Options{FileBytes: 128 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	for shard := range uint32(directShards) {
		_, m, err := startRaft(t, raftstore.New(l.Stream(shard)), raft.NewInmemSnapshotStore())
		if err != nil {
			t.Fatal(err)
		}
		m.mu.Lock()
		if m.err != nil || len(m.names) == 0 {
			t.Fatalf("shard %d: %d spans, %v", shard, len(m.names), m.err)
		}
		names = append(names, m.names...)
		m.mu.Unlock()
	}
	slices.Sort(names)
	return names
}

func directNames() (names []string) {
	for i := range directSpans {
		names = append(names, fmt.Sprintf("span %d", i))
	}
	slices.Sort(names)
	return names
}

// A folder that the direct group has just written opens with raft: every shard's node
// leads itself, and its machine is given every span.
func TestRaftOpensAFolderOfTheDirectGroup(t *testing.T) {
	killed, _ := writeDirect(t)
	if *update {
		b, err := vfs.ReadFile(killed, directLog, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		used := len(b)
		for used > 0 && b[used-1] == 0 {
			used--
		}
		if err := os.WriteFile(filepath.Join("testdata", "direct.log"), b[:(used+4095)/4096*4096], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := raftNames(t, killed); !slices.Equal(got, directNames()) {
		t.Fatalf("raft was given %q", got)
	}
}

// A folder that the first release of the direct group wrote opens with raft: these
// bytes are in the world.
func TestRaftOpensTheGoldenFolder(t *testing.T) {
	golden, err := os.ReadFile(filepath.Join("testdata", "direct.log"))
	if err != nil {
		t.Fatal(err)
	}
	disk := vfs.NewCrash(1)
	if err := disk.MkdirAll("log"); err != nil {
		t.Fatal(err)
	}
	if err := vfs.ReplaceFile(disk, directLog, golden); err != nil {
		t.Fatal(err)
	}
	if got := raftNames(t, disk); !slices.Equal(got, directNames()) {
		t.Fatalf("raft was given %q", got)
	}
}

// Once flushed, the configuration entry is gone with the log's front: raft starts from a
// snapshot that says what the manifest says (flushed Seq, term 1, this one voter), and
// not without it.
func TestRaftOpensAFlushedFolderFromASnapshot(t *testing.T) {
	_, closed := writeDirect(t)
	raftOpensFromASnapshot(t, closed)
}

// A log that a repair has begun anew, because it was lost, opens in the same way.
func TestRaftOpensARepairedFolderFromASnapshot(t *testing.T) {
	_, closed := writeDirect(t)
	for _, name := range filesBelow(t, closed, "log") {
		if err := closed.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := repaired(closed); err != nil {
		t.Fatal(err)
	}
	raftOpensFromASnapshot(t, closed)
}

func raftOpensFromASnapshot(t *testing.T, closed *vfs.Crash) {
	t.Helper()
	l, _, err := wal.Open(closed, "log", wal.Options{FileBytes: 128 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	stream := l.Stream(0)
	flushed := stream.Last() // a clean shutdown flushes everything
	if stream.First() < 2 {
		t.Fatalf("the log holds Seq %d to %d: nothing was given up", stream.First(), flushed)
	}
	s := raftstore.New(stream)
	func() {
		defer func() {
			if recover() == nil { // raft's way of refusing a log that does not begin at 1
				t.Fatal("raft started without a snapshot and without the entries that it stands for")
			}
		}()
		_, _, _ = startRaft(t, s, raft.NewInmemSnapshotStore())
	}()
	snapshots := raft.NewInmemSnapshotStore()
	_, transport := raft.NewInmemTransport(directAddress)
	sink, err := snapshots.Create(1, flushed, raftstore.FirstTerm, raft.Configuration{Servers: []raft.Server{
		{Suffrage: raft.Voter, ID: directID, Address: directAddress},
	}}, 1, transport)
	if err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	node, m, err := startRaft(t, s, snapshots)
	if err != nil {
		t.Fatal(err)
	}
	entry := engine.Entry{Received: 1}
	f := node.Apply(entry.AppendBinary(nil), 10*time.Second)
	if err := f.Error(); err != nil || f.Index() <= flushed || m.err != nil || len(m.names) != 0 {
		t.Fatalf("Seq %d after %d, %q given again: %v, %v", f.Index(), flushed, m.names, err, m.err)
	}
}

// A folder whose log the first release wrote is served: its spans are there, new ones join
// them in the same log, and both are there after a kill.
func TestAFolderOfTheFirstReleaseIsServed(t *testing.T) {
	golden, err := os.ReadFile(filepath.Join("testdata", "direct.log"))
	if err != nil {
		t.Fatal(err)
	}
	disk, _ := writeDirect(t)
	if err := vfs.ReplaceFile(disk, directLog, golden); err != nil {
		t.Fatal(err)
	}
	g, m := enginetest.NewGenerator(1, 3), enginetest.NewModel()
	add := func(request []byte) {
		if _, err := m.Add(request); err != nil {
			t.Fatal(err)
		}
	}
	for i := range directSpans {
		add(enginetest.Numbered(i))
	}
	for range 2 {
		o := small(disk)
		o.Shards, o.Log.FileBytes, o.MemtableBytesMax = directShards, 128<<10, 1<<20
		s := open(t, o)
		sameAnswers(t, s, m, g, 10)
		request := enginetest.Payload(g.Spans(20))
		write(t, s, request)
		add(request)
		sameAnswers(t, s, m, g, 10)
		disk = disk.KillCopy()
	}
}
