package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path"
	"slices"
	"sync"
	"syscall"

	"github.com/stoadb/stoa/internal/invariant"
)

// sectorBytes is what a disk writes whole or not at all.
const sectorBytes = 512

// ErrCrashed is what every call answers after StopAt's moment.
var ErrCrashed = errors.New("the machine has stopped")

// Crash is a file system in memory that knows what a power cut would leave. It keeps,
// for every sector and every name, what a program sees now and what is durable; Crash
// draws a disk between the two. A Sync that is made to fail forgets which sectors were
// dirty, as Linux does: what it did not write is lost although it can still be read.
//
// Calls are counted, and can be made to fail at a number. Everything random comes from
// the seed. It is safe for concurrent use.
type Crash struct {
	mu     sync.Mutex
	random *rand.Rand
	now    map[string]*node // names as a program sees them; folders are nodes too
	safe   map[string]*node // names that a power cut leaves
	names  []nameChange     // not yet durable, in order
	locks  map[string]bool
	free   int64 // -1: no limit
	calls  int
	failAt map[int]error
	stopAt int // 0: never
}

// node is a file or a folder. Sectors that are not in dirty and differ between now and
// safe were given up by a failed sync.
type node struct {
	folder    bool
	now, safe []byte
	dirty     map[int64]bool
}

// nameChange sets name to node, or removes it when node is nil; a rename also removes
// old. It happens whole or not at all.
type nameChange struct {
	name, old string
	node      *node
}

func (c nameChange) apply(names map[string]*node) {
	if c.old != "" {
		delete(names, c.old)
	}
	if c.node == nil {
		delete(names, c.name)
	} else {
		names[c.name] = c.node
	}
}

func (c nameChange) in(dir string) bool { return path.Dir(c.name) == dir }

// NewCrash makes an empty file system.
func NewCrash(seed uint64) *Crash {
	c := &Crash{
		random: rand.New(rand.NewPCG(seed, 0)), now: map[string]*node{}, safe: map[string]*node{},
		locks: map[string]bool{}, free: -1, failAt: map[int]error{},
	}
	c.now["."] = &node{folder: true}
	c.safe["."] = c.now["."]
	return c
}

// Calls is how many calls were made so far.
func (c *Crash) Calls() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls
}

// FailAt makes the k-th call from now fail with err, k >= 1. A write that fails may have
// written a part; a sync that fails has synced a part and forgets the rest.
func (c *Crash) FailAt(k int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failAt[c.calls+k] = err
}

// StopAt makes the k-th call from now, and every later one, fail with ErrCrashed: the
// moment of a power cut or a kill.
func (c *Crash) StopAt(k int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopAt = c.calls + k
}

// SetFree limits how many bytes may still be added; then writes fail with ENOSPC. A
// negative number lifts the limit.
func (c *Crash) SetFree(bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.free = bytes
}

// FlipBit flips one bit of a file, durably, as a failing disk does.
func (c *Crash) FlipBit(name string, bit int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.now[path.Clean(name)]
	invariant.Check(n != nil && bit < int64(len(n.now))*8, "no bit %d in %s", bit, name)
	n.now[bit/8] ^= 1 << (bit % 8)
	if bit/8 < int64(len(n.safe)) {
		n.safe[bit/8] ^= 1 << (bit % 8)
	}
}

// KillCopy is the file system as a process finds it that starts after a SIGKILL:
// everything written is there, what is durable is as before. No call fails in it.
func (c *Crash) KillCopy() *Crash {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := NewCrash(c.random.Uint64())
	nodes := map[*node]*node{}
	twin := func(n *node) *node {
		if n != nil && nodes[n] == nil {
			t := &node{folder: n.folder, now: slices.Clone(n.now), safe: slices.Clone(n.safe), dirty: map[int64]bool{}}
			for sector := range n.dirty {
				t.dirty[sector] = true
			}
			nodes[n] = t
		}
		return nodes[n]
	}
	for name, n := range c.now {
		k.now[name] = twin(n)
	}
	for name, n := range c.safe {
		k.safe[name] = twin(n)
	}
	for _, change := range c.names {
		k.names = append(k.names, nameChange{change.name, change.old, twin(change.node)})
	}
	return k
}

// Crash is a file system as a power cut may leave it: what was synced, and of the rest
// a random subset of sectors and names. Calling it again draws another one.
func (c *Crash) Crash() *Crash {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := NewCrash(c.random.Uint64())
	names := map[string]*node{}
	for name, n := range c.safe {
		names[name] = n
	}
	keep := c.random.Uint32() // of 2^32: each image has its own share of what survives
	for _, change := range c.names {
		if c.random.Uint32() < keep {
			change.apply(names)
		}
	}
	for _, name := range sortedNames(names) {
		n := names[name]
		if name != "." && k.now[path.Dir(name)] == nil {
			continue // its folder did not survive
		}
		left := &node{folder: n.folder, now: c.survivor(n, keep), dirty: map[int64]bool{}}
		left.safe = slices.Clone(left.now)
		k.now[name], k.safe[name] = left, left
	}
	return k
}

// survivor draws the bytes of a file after a power cut.
func (c *Crash) survivor(n *node, keep uint32) []byte {
	size := len(n.safe)
	if len(n.now) != size && c.random.Uint32() < keep {
		size = len(n.now)
	}
	out := make([]byte, size)
	copy(out, n.safe)
	for at := 0; at < size; at += sectorBytes {
		if n.dirty[int64(at/sectorBytes)] && c.random.Uint32() < keep {
			sector := out[at:min(at+sectorBytes, size)]
			clear(sector)
			if at < len(n.now) {
				copy(sector, n.now[at:])
			}
		}
	}
	return out
}

func sortedNames(names map[string]*node) []string {
	sorted := make([]string, 0, len(names))
	for name := range names {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted)
	return sorted
}

// call counts and decides about one call; the caller holds mu.
func (c *Crash) call(op, name string) error {
	c.calls++
	if c.stopAt > 0 && c.calls >= c.stopAt {
		return &fs.PathError{Op: op, Path: name, Err: ErrCrashed}
	}
	if err := c.failAt[c.calls]; err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return nil
}

// stopped tells whether the machine stopped before this call: then it has no effect at
// all. The call at which it stops may still have done a part of its work.
func (c *Crash) stopped() bool { return c.stopAt > 0 && c.calls > c.stopAt }

func (c *Crash) enter(op, name string) (string, error) {
	c.mu.Lock()
	name = path.Clean(name)
	invariant.Check(fs.ValidPath(name), "file name %q leaves the folder", name)
	return name, c.call(op, name)
}

func (c *Crash) missing(op, name string) error {
	return &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
}

func (c *Crash) change(change nameChange) {
	change.apply(c.now)
	c.names = append(c.names, change)
}

// Create implements FS.
func (c *Crash) Create(name string) (File, error) {
	name, err := c.enter("create", name)
	defer c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if dir := c.now[path.Dir(name)]; dir == nil || !dir.folder {
		return nil, c.missing("create", name)
	}
	n := c.now[name]
	switch {
	case n == nil:
		n = &node{dirty: map[int64]bool{}}
		c.change(nameChange{name: name, node: n})
	case n.folder:
		return nil, &fs.PathError{Op: "create", Path: name, Err: syscall.EISDIR}
	default:
		c.resize(n, 0)
	}
	return &crashFile{fs: c, name: name, node: n}, nil
}

// Open implements FS.
func (c *Crash) Open(name string) (File, error) {
	name, err := c.enter("open", name)
	defer c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	n := c.now[name]
	if n == nil {
		return nil, c.missing("open", name)
	}
	if n.folder {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EISDIR}
	}
	return &crashFile{fs: c, name: name, node: n}, nil
}

// Remove implements FS.
func (c *Crash) Remove(name string) error {
	name, err := c.enter("remove", name)
	defer c.mu.Unlock()
	if err != nil {
		return err
	}
	n := c.now[name]
	if n == nil {
		return c.missing("remove", name)
	}
	if c.free >= 0 {
		c.free += int64(len(n.now))
	}
	c.change(nameChange{name: name})
	return nil
}

// Rename implements FS.
func (c *Crash) Rename(oldName, newName string) error {
	oldName = path.Clean(oldName)
	newName, err := c.enter("rename", newName)
	defer c.mu.Unlock()
	if err != nil {
		return err
	}
	n := c.now[oldName]
	if n == nil {
		return c.missing("rename", oldName)
	}
	invariant.Check(!n.folder, "renaming folder %s is not modelled", oldName)
	c.change(nameChange{name: newName, old: oldName, node: n})
	return nil
}

// List implements FS.
func (c *Crash) List(dir string) ([]string, error) {
	dir, err := c.enter("list", dir)
	defer c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if n := c.now[dir]; n == nil || !n.folder {
		return nil, c.missing("list", dir)
	}
	var names []string
	for name := range c.now {
		if name != "." && path.Dir(name) == dir {
			names = append(names, path.Base(name))
		}
	}
	slices.Sort(names)
	return names, nil
}

// MkdirAll implements FS, step by step as OS does: every step is a call that may fail,
// and a name is durable only after the sync of its parent.
func (c *Crash) MkdirAll(dir string) error {
	dir, err := c.enter("mkdir", dir)
	defer c.mu.Unlock()
	if err != nil {
		return err
	}
	return c.mkdirAll(dir)
}

func (c *Crash) mkdirAll(dir string) error {
	parent := path.Dir(dir)
	if n := c.now[dir]; n == nil {
		if err := c.mkdirAll(parent); err != nil {
			return err
		}
		if err := c.call("mkdir", dir); err != nil {
			return err
		}
		c.change(nameChange{name: dir, node: &node{folder: true}})
	} else if !n.folder {
		return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
	}
	if dir == "." {
		return nil
	}
	return c.syncNames(parent)
}

// SyncDir implements FS. A failed one leaves the names as they were: not durable.
func (c *Crash) SyncDir(dir string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.syncNames(path.Clean(dir))
}

func (c *Crash) syncNames(dir string) error {
	if err := c.call("sync folder", dir); err != nil {
		return err
	}
	if n := c.now[dir]; n == nil || !n.folder {
		return c.missing("sync folder", dir)
	}
	rest := c.names[:0]
	for _, change := range c.names {
		if change.in(dir) {
			change.apply(c.safe)
		} else {
			rest = append(rest, change)
		}
	}
	c.names = rest
	return nil
}

// Lock implements FS.
func (c *Crash) Lock(name string) (io.Closer, error) {
	name, err := c.enter("lock", name)
	defer c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if c.locks[name] {
		return nil, fmt.Errorf("%s: %w", name, ErrLocked)
	}
	if c.now[name] == nil {
		c.change(nameChange{name: name, node: &node{dirty: map[int64]bool{}}})
	}
	c.locks[name] = true
	return crashLock{c, name}, nil
}

// LockToRead implements FS.
func (c *Crash) LockToRead(name string) (io.Closer, error) { return c.Lock(name) }

type crashLock struct {
	fs   *Crash
	name string
}

// Close lets go of the lock.
func (l crashLock) Close() error {
	l.fs.mu.Lock()
	defer l.fs.mu.Unlock()
	delete(l.fs.locks, l.name)
	return nil
}

// Free implements FS.
func (c *Crash) Free() (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.call("free", "."); err != nil {
		return 0, err
	}
	if c.free < 0 {
		return 1 << 50, nil
	}
	return c.free, nil
}
