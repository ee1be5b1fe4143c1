package engine

import (
	"context"
	"sync"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// Rows visits a trace's distinct spans, whole, in the order of span.Compare; an unknown id
// has none. Memory is bounded by a row group for each source, whatever the trace's size; a
// row's batch may be kept.
func (s *Shard) Rows(ctx context.Context, id span.TraceID, visit func(row span.Row) error) error {
	v, err := s.view()
	if err != nil {
		return err
	}
	defer v.close()
	return mergeRows(ctx, v.sources(id, allColumns), visit)
}

// encodeRows yields the messages of the rows that one trace has in all sources.
func encodeRows(ctx context.Context, sources []rowSource, yield func(chunk []byte) error) error {
	encoder := encoders.Get().(*otlp.Encoder)
	defer func() {
		encoder.Reset(nil)
		if encoder.MemoryBytes() <= encoderKeptBytesMax {
			encoders.Put(encoder)
		}
	}()
	encoder.Reset(yield)
	if err := mergeRows(ctx, sources, encoder.Add); err != nil {
		return err
	}
	return encoder.Flush()
}

// encoders keep their buffers from trace to trace: growing new ones to the size of a large
// trace takes as long as filling them.
var encoders = sync.Pool{New: func() any { return new(otlp.Encoder) }}

// Spans visits every distinct span on which everything asked holds, in no order; the
// query's limit is ignored. A visited row has its ids, times, kind and status besides
// what the query looked at. It serves counts and checks.
func (s *Shard) Spans(ctx context.Context, q span.Query, visit func(row span.Row) error) error {
	m, err := newMatcher(ctx, q)
	if err != nil {
		return err
	}
	v, err := s.view()
	if err != nil {
		return err
	}
	defer v.close()
	m.wantRows = true
	split := v.splitTraces()
	found := make(map[span.TraceID]bool)
	err = v.scan(ctx, m, func() uint64 { return 0 }, func(h hit) error {
		if split.has(h.id) {
			found[h.id] = true
			return nil
		}
		return visit(h.row)
	})
	if err != nil {
		return err
	}
	rows := m.rows()
	for _, id := range v.inRowOrder(found) {
		err := mergeRows(ctx, v.sources(id, allColumns), func(row span.Row) error {
			if ok, err := rows.matches(row); err != nil || !ok {
				return err
			}
			return visit(row)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
