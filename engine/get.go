package engine

import (
	"context"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
	"github.com/stoadb/stoa/internal/codec"
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
	return v.mergeRows(ctx, id, allColumns, visit)
}

// encode yields the messages of a trace.
func (v *view) encode(ctx context.Context, id span.TraceID, yield func(chunk []byte) error) error {
	encoder := encoders.Get()
	defer func() {
		encoder.Reset(nil)
		if encoder.MemoryBytes() <= encoderKeptBytesMax {
			encoders.Put(encoder)
		}
	}()
	encoder.Reset(yield)
	if err := v.mergeRows(ctx, id, answerColumns, encoder.Add); err != nil {
		return err
	}
	return encoder.Flush()
}

// encoders keep their buffers from trace to trace: growing new ones to the size of a large
// trace takes as long as filling them.
var encoders = codec.Held[otlp.Encoder]{New: func() *otlp.Encoder { return new(otlp.Encoder) }, Most: encodersHeldMax}

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
	split, err := v.splitTraces(ctx)
	if err != nil {
		return err
	}
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
	ids, err := v.inRowOrder(found)
	if err != nil {
		return err
	}
	for _, id := range ids {
		err := v.mergeRows(ctx, id, allColumns, func(row span.Row) error {
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
