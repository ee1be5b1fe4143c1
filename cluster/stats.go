package cluster

import (
	"errors"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/wal"
)

// Stats is a picture of the node, for /metrics and for people.
type Stats struct {
	Log       wal.Stats
	Recovery  Recovery
	Groups    []GroupStats   // by shard
	Shards    []engine.Stats // by shard
	FreeBytes int64          // of the disk; -1 where it cannot be told
}

// Stats takes the picture.
func (s *Store) Stats() Stats {
	stats := Stats{Log: s.wal.Stats(), Recovery: s.recovery, FreeBytes: -1}
	for i := range s.shards {
		stats.Groups = append(stats.Groups, s.groups.Stats(i))
		stats.Shards = append(stats.Shards, s.shards[i].Stats())
	}
	if free, err := s.o.FS.Free(); err == nil {
		stats.FreeBytes = free
	}
	return stats
}

// TableBytes is what the tables of all live segments take in memory, about.
func (s *Store) TableBytes() (bytes int64) {
	for _, shard := range s.shards {
		bytes += shard.TableBytes()
	}
	return bytes
}

// Ready is nil when the node takes writes and holds all it was given in the open; else
// it says why not.
func (s *Store) Ready() error {
	err := s.writable()
	if err == nil {
		err = s.groups.Err()
	}
	errs := []error{err}
	for _, shard := range s.shards {
		errs = append(errs, shard.Ready())
	}
	return errors.Join(errs...)
}
