package cluster

import (
	"context"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/span"
)

// Keys gives every attribute key with how many values it has, by level, key and type.
func (s *Store) Keys(ctx context.Context) (span.AttributeKeys, error) {
	counter := engine.NewKeyCounter()
	err := s.ask(ctx, func(ctx context.Context, i int) error { return s.shards[i].Keys(ctx, counter) })
	if err != nil {
		return span.AttributeKeys{}, err
	}
	return counter.Keys(), nil
}

// Values gives at most limit values of a key on these levels, on all where none is given, most
// frequent first.
func (s *Store) Values(ctx context.Context, key string, levels []span.Level, limit int) (span.AttributeValues, error) {
	counter := engine.NewValueCounter(key, levels...)
	err := s.ask(ctx, func(ctx context.Context, i int) error { return s.shards[i].Values(ctx, counter) })
	if err != nil {
		return span.AttributeValues{}, err
	}
	return counter.Values(limit), nil
}
