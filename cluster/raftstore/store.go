// Package raftstore shows one stream of the log to hashicorp/raft: as its LogStore, its
// StableStore and its store of commit indexes. It holds no state of its own and starts
// no goroutines; everything it does is a call of wal.
//
// It also makes the first entry of a stream. The direct group of a single node writes
// the same bytes that raft would, so a folder written without raft opens with it.
package raftstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/stoadb/stoa/wal"
)

// Store is one shard's log, as raft sees it. It is safe for concurrent use.
type Store struct{ stream *wal.Stream }

var (
	_ raft.LogStore               = (*Store)(nil)
	_ raft.StableStore            = (*Store)(nil)
	_ raft.MonotonicLogStore      = (*Store)(nil)
	_ raft.CommitTrackingLogStore = (*Store)(nil)
)

// New shows stream to raft.
func New(stream *wal.Stream) *Store { return &Store{stream} }

// FirstTerm is the term of the configuration entry and of all entries of a direct
// group.
const FirstTerm = 1

// errKeyNotFound has the text by which raft knows a missing key.
var errKeyNotFound = errors.New("not found")

// ConfigurationEntry is the first entry of a new stream: a configuration with this one
// voter. Entries of a direct group follow it from Seq 2 on, with FirstTerm.
func ConfigurationEntry(nodeID, address string, appendedAt int64) wal.Entry {
	configuration := raft.Configuration{Servers: []raft.Server{{
		Suffrage: raft.Voter, ID: raft.ServerID(nodeID), Address: raft.ServerAddress(address),
	}}}
	return wal.Entry{
		Seq: 1, Term: FirstTerm, Type: uint8(raft.LogConfiguration),
		Payload: raft.EncodeConfiguration(configuration), AppendedAt: appendedAt,
	}
}

// CommandEntry is an entry of a direct group, as raft would store it.
func CommandEntry(seq uint64, payload []byte, appendedAt int64) wal.Entry {
	return wal.Entry{
		Seq: seq, Term: FirstTerm, Type: uint8(raft.LogCommand),
		Payload: payload, AppendedAt: appendedAt,
	}
}

// IsCommand tells the entries that a state machine applies from raft's own.
func IsCommand(e wal.Entry) bool { return e.Type == uint8(raft.LogCommand) }

// FirstIndex implements raft.LogStore.
func (s *Store) FirstIndex() (uint64, error) { return s.stream.First(), nil }

// LastIndex implements raft.LogStore.
func (s *Store) LastIndex() (uint64, error) { return s.stream.Last(), nil }

// GetLog implements raft.LogStore.
func (s *Store) GetLog(index uint64, log *raft.Log) error {
	e, err := s.stream.Read(index)
	if errors.Is(err, wal.ErrNotFound) {
		return raft.ErrLogNotFound
	}
	if err != nil {
		return err
	}
	*log = raft.Log{
		Index: e.Seq, Term: e.Term, Type: raft.LogType(e.Type),
		Data: e.Payload, Extensions: e.Extensions, AppendedAt: timeOf(e.AppendedAt),
	}
	return nil
}

// StoreLog implements raft.LogStore.
func (s *Store) StoreLog(log *raft.Log) error { return s.StoreLogs([]*raft.Log{log}) }

// StoreLogs implements raft.LogStore. After an error the log is poisoned and the
// process ends: raft would go on with bytes that may or may not be on the disk.
func (s *Store) StoreLogs(logs []*raft.Log) error {
	entries := make([]wal.Entry, len(logs))
	for i, l := range logs {
		entries[i] = wal.Entry{
			Seq: l.Index, Term: l.Term, Type: uint8(l.Type),
			Payload: l.Data, Extensions: l.Extensions, AppendedAt: nanosOf(l.AppendedAt),
		}
	}
	return s.stream.Append(entries...)
}

// DeleteRange implements raft.LogStore for the ranges that raft asks for: a prefix
// after a snapshot, a suffix that a new leader overrules, or everything.
func (s *Store) DeleteRange(from, through uint64) error {
	first, last := s.stream.First(), s.stream.Last()
	switch {
	case last == 0 || through < first || from > last || from > through:
		return nil
	case from <= first:
		return s.stream.TruncateFront(through)
	case through >= last:
		return s.stream.TruncateBack(from)
	default:
		return fmt.Errorf("raft log %d to %d: cannot delete %d to %d from its middle", first, last, from, through)
	}
}

// IsMonotonic implements raft.MonotonicLogStore: no gaps, so raft empties the log after
// it has restored a snapshot.
func (s *Store) IsMonotonic() bool { return true }

// StageCommitIndex implements raft.CommitTrackingLogStore: the next entries carry it.
func (s *Store) StageCommitIndex(index uint64) error {
	s.stream.SetCommit(index)
	return nil
}

// GetCommitIndex implements raft.CommitTrackingLogStore.
func (s *Store) GetCommitIndex() (uint64, error) {
	return min(s.stream.Commit(), s.stream.Last()), nil
}

// Set implements raft.StableStore.
func (s *Store) Set(key, value []byte) error { return s.stream.Set(key, value) }

// Get implements raft.StableStore.
func (s *Store) Get(key []byte) ([]byte, error) {
	value, ok := s.stream.Get(key)
	if !ok {
		return nil, errKeyNotFound
	}
	return value, nil
}

// SetUint64 implements raft.StableStore.
func (s *Store) SetUint64(key []byte, value uint64) error {
	return s.stream.Set(key, binary.LittleEndian.AppendUint64(nil, value))
}

// GetUint64 implements raft.StableStore.
func (s *Store) GetUint64(key []byte) (uint64, error) {
	value, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	if len(value) != 8 {
		return 0, fmt.Errorf("stable key %q holds %d bytes, not a number", key, len(value))
	}
	return binary.LittleEndian.Uint64(value), nil
}

// nanosOf and timeOf keep the zero time, which raft asks for with IsZero.
func nanosOf(t time.Time) int64 {
	if t.IsZero() || t.Year() < 1679 || t.Year() > 2261 {
		return 0
	}
	return t.UnixNano()
}

func timeOf(nanos int64) time.Time {
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanos)
}
