package raftstore_test

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/stoadb/stoa/cluster/raftstore"
	"github.com/stoadb/stoa/internal/vfs"
)

const (
	nodeID  = "node-1"
	address = "node-1:17273"
)

// applied is a state machine that notes what it was given.
type applied struct {
	mu      sync.Mutex
	entries []string
}

func (a *applied) Apply(l *raft.Log) any {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.entries = append(a.entries, fmt.Sprintf("%d: %s", l.Index, l.Data))
	return nil
}

func (a *applied) Snapshot() (raft.FSMSnapshot, error) { return nil, fmt.Errorf("not asked for here") }

func (a *applied) Restore(io.ReadCloser) error { return fmt.Errorf("not asked for here") }

func (a *applied) list() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.entries)
}

// startRaft runs a raft node on the store until the test ends or stop is called.
func startRaft(t *testing.T, s *raftstore.Store) (node *raft.Raft, machine *applied, stop func()) {
	t.Helper()
	c := raft.DefaultConfig()
	c.LocalID = nodeID
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = 50*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
	c.CommitTimeout = 5 * time.Millisecond
	c.LogOutput = io.Discard
	_, transport := raft.NewInmemTransport(address)
	machine = &applied{}
	node, err := raft.NewRaft(c, machine, s, s, raft.NewInmemSnapshotStore(), transport)
	check(t, err)
	stop = sync.OnceFunc(func() {
		if err := node.Shutdown().Error(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return node, machine, stop
}

// A stream of a configuration entry and commands opens with raft: the node becomes
// leader of itself, and its machine is given every command in order. That the direct
// group writes such streams is tested in cluster.
func TestRaftOpensAStreamOfCommands(t *testing.T) {
	disk, err := vfs.NewOS(t.TempDir())
	check(t, err)
	l := openLog(t, disk)
	direct := l.Stream(2)
	check(t, direct.Append(raftstore.ConfigurationEntry(nodeID, address, 1)))
	var want []string
	for seq := uint64(2); seq <= 50; seq++ {
		payload := fmt.Sprintf("command %d", seq)
		check(t, direct.Append(raftstore.CommandEntry(seq, []byte(payload), int64(seq))))
		want = append(want, fmt.Sprintf("%d: %s", seq, payload))
	}
	check(t, l.Close())

	l = openLog(t, disk)
	s := raftstore.New(l.Stream(2))
	node, machine, stop := startRaft(t, s)
	waitFor(t, "leadership", func() bool { return node.State() == raft.Leader })
	check(t, node.Barrier(10*time.Second).Error())
	if got := machine.list(); !slices.Equal(got, want) {
		t.Fatalf("applied %q\nwant %q", got, want)
	}
	members := node.GetConfiguration()
	check(t, members.Error())
	servers := members.Configuration().Servers
	if len(servers) != 1 || servers[0].ID != nodeID || servers[0].Address != address || servers[0].Suffrage != raft.Voter {
		t.Fatalf("members: %+v", servers)
	}

	// It goes on as a raft group, and everything is there after a restart of that.
	f := node.Apply([]byte("by raft"), 10*time.Second)
	check(t, f.Error())
	want = append(want, fmt.Sprintf("%d: by raft", f.Index()))
	stop()
	check(t, l.Close())
	l = openLog(t, disk)
	node, machine, stop = startRaft(t, raftstore.New(l.Stream(2)))
	waitFor(t, "leadership after a restart", func() bool { return node.State() == raft.Leader })
	check(t, node.Barrier(10*time.Second).Error())
	if got := machine.list(); !slices.Equal(got, want) {
		t.Fatalf("after a restart applied %q\nwant %q", got, want)
	}
	stop()
	check(t, l.Close())
}

// voters are raft nodes on logs of their own, connected in memory.
type voters struct {
	nodes      []*raft.Raft
	machines   []*applied
	transports []*raft.InmemTransport
	servers    []raft.Server
}

func startVoters(t *testing.T, count int) *voters {
	t.Helper()
	v := &voters{}
	for i := range count {
		name := fmt.Sprintf("n%d", i)
		_, transport := raft.NewInmemTransport(raft.ServerAddress(name))
		v.transports = append(v.transports, transport)
		v.servers = append(v.servers, raft.Server{ID: raft.ServerID(name), Address: raft.ServerAddress(name)})
	}
	for i, transport := range v.transports {
		v.connect(i)
		_, s := openStore(t, vfs.NewCrash(uint64(i)))
		c := raft.DefaultConfig()
		c.LocalID = v.servers[i].ID
		c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = 300*time.Millisecond, 300*time.Millisecond, 200*time.Millisecond
		c.CommitTimeout, c.LogOutput, c.RestoreCommittedLogs = 5*time.Millisecond, io.Discard, true
		snapshots := raft.NewInmemSnapshotStore()
		check(t, raft.BootstrapCluster(c, s, s, snapshots, transport, raft.Configuration{Servers: v.servers}))
		machine := &applied{}
		node, err := raft.NewRaft(c, machine, s, s, snapshots, transport)
		check(t, err)
		t.Cleanup(func() { _ = node.Shutdown().Error() })
		v.nodes, v.machines = append(v.nodes, node), append(v.machines, machine)
	}
	return v
}

// connect joins voter i and all others in both directions.
func (v *voters) connect(i int) {
	for j := range v.transports {
		if j != i {
			v.transports[j].Connect(v.servers[i].Address, v.transports[i])
			v.transports[i].Connect(v.servers[j].Address, v.transports[j])
		}
	}
}

func (v *voters) disconnect(i int) {
	v.transports[i].DisconnectAll()
	for j := range v.transports {
		v.transports[j].Disconnect(v.servers[i].Address)
	}
}

func (v *voters) leader(t *testing.T) (found *raft.Raft) {
	t.Helper()
	waitFor(t, "a leader", func() bool {
		for _, n := range v.nodes {
			if n.State() == raft.Leader && n.VerifyLeader().Error() == nil {
				found = n
			}
		}
		return found != nil
	})
	return found
}

// Three voters on three logs agree, one falls behind and catches up: conflicting
// suffixes are truncated through the adapter.
func TestThreeVotersOnOwnLogsAgree(t *testing.T) {
	v := startVoters(t, 3)
	done := 0
	for round := range 3 {
		first := v.leader(t)
		at := slices.Index(v.nodes, first)
		if round > 0 { // entries that only the old leader holds are overruled
			v.disconnect(at)
			for i := range 5 {
				first.Apply(fmt.Appendf(nil, "lost %d", i), 0)
			}
			waitFor(t, "the old leader to step down", func() bool { return first.State() != raft.Leader })
		}
		for range 20 {
			if v.leader(t).Apply(fmt.Appendf(nil, "kept %d", done), 10*time.Second).Error() == nil {
				done++
			}
		}
		v.connect(at)
	}
	check(t, v.leader(t).Barrier(10*time.Second).Error())
	waitFor(t, "equal machines", func() bool {
		a := v.machines[0].list()
		return len(a) >= done && slices.Equal(a, v.machines[1].list()) && slices.Equal(a, v.machines[2].list())
	})
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
