package cluster

import (
	"context"
	"fmt"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// Write stores an OTLP ExportTraceServiceRequest: a nil error means that every span not
// counted as dropped is durable and visible. The request may be reused afterwards.
func (s *Store) Write(ctx context.Context, request []byte) (otlp.Counts, error) {
	if err := s.writable(); err != nil {
		return otlp.Counts{}, err
	}
	parts, counts, err := s.cut(ctx, request)
	if err != nil {
		return otlp.Counts{}, err
	}
	if err := s.groups.Propose(ctx, parts); err != nil {
		return otlp.Counts{}, err // parts may be on their way yet
	}
	for _, list := range parts {
		for i := range list {
			freeForm(&list[i])
		}
	}
	return counts, nil
}

// freeForm gives the memory of a decided part's form back. Tests put theirs in its place.
var freeForm = (*engine.Part).FreeForm

// cutRequest walks a request. Tests put one that panics in its place.
var cutRequest = otlp.Cut

// cut makes parts of a request, by shard, when it is its turn: as many are walked at once as there
// are processors. More would take turns anyway, and hold the threads that questions are answered by.
// While questions are in flight it is fewer; see Questions.
func (s *Store) cut(ctx context.Context, request []byte) (parts [][]engine.Part, counts otlp.Counts, err error) {
	leave, err := s.writers.take(ctx, s.o.Questions)
	if err != nil {
		return nil, otlp.Counts{}, err
	}
	defer leave()
	cut, counts, err := cutRequest(request, s.epoch.Shards, func(id span.TraceID) int { return Place(id, "", s.epoch.Shards) })
	if err != nil {
		return nil, otlp.Counts{}, err
	}
	parts = make([][]engine.Part, s.epoch.Shards)
	for _, p := range cut {
		parts[p.Shard] = append(parts[p.Shard], engine.NewPart(p.Batch, engine.CountedBytes(p.Batch, p.Bytes)))
	}
	return parts, counts, nil
}

// writable refuses a write before it could do harm.
func (s *Store) writable() error {
	if s.closing.Load() {
		return errClosed
	}
	if err := s.wal.Err(); err != nil {
		return fmt.Errorf("%w: the log failed: %w", span.ErrUnavailable, err)
	}
	for _, shard := range s.shards {
		if err := shard.Err(); err != nil {
			return fmt.Errorf("%w: %w", span.ErrUnavailable, err)
		}
	}
	return s.room()
}

// room refuses while less than the reserve is free. What is left then is for the log
// file under way and for flushes: those of the log go once all is flushed.
func (s *Store) room() error { return s.roomBeside(0) }

// roomBeside refuses where the disk does not have so many bytes beside the reserve.
func (s *Store) roomBeside(bytes int64) error {
	if s.o.ReserveBytes < 0 {
		return nil
	}
	free, err := s.o.FS.Free()
	if err != nil {
		return fmt.Errorf("%w: free space: %w", span.ErrUnavailable, err)
	}
	if free-bytes >= s.o.ReserveBytes {
		return nil
	}
	return fmt.Errorf("%w: the disk is almost full: %d bytes free, %d stay in reserve",
		span.ErrUnavailable, free, s.o.ReserveBytes)
}
