package compaction

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
)

// Traces that were under way when a memtable was flushed, and late spans, stand in two of the
// inputs: some five of a hundred traces, of which the second part has few rows. To put them
// back among the rows of the first part touches nearly every row group that such a part belongs
// to, and a row group that is touched is written anew. Left apart, they touch one: what is late is
// older than all else in its input, so it stands in the first row group there.

// MergeApart writes the distinct spans of the inputs to two segments: each trace of out as the first
// of the inputs (by log entries) that has it holds it, and what the others have of such traces to
// rest. infos are those of out and rest. Nothing is written to rest where no trace is shared, or where
// that would be more than one row of share, from 1 on: then out is what Merge would make. All else is as for
// Merge; that a span stands in both is possible, where it was received twice.
func MergeApart(ctx context.Context, fs vfs.FS, inputs []*segment.Segment, out, rest string, share int, progress func(done, total int)) (infos []segment.Info, err error) {
	m, meta, err := newMerge(ctx, inputs, progress)
	if err != nil {
		return nil, err
	}
	later, err := m.setApart(m.total / share)
	if err != nil {
		return nil, err
	}
	info, err := m.write(fs, out, meta, m.all)
	if err != nil || len(later) == 0 {
		return []segment.Info{info}, err
	}
	meta.Hashes = nil // those of out tell of all that was received
	restInfo, err := m.write(fs, rest, meta, func() error { return m.later(later) })
	if err != nil {
		return nil, errors.Join(err, fs.Remove(out))
	}
	return []segment.Info{info, restInfo}, nil
}

// laterTrace is a trace of which some inputs besides the first have rows.
type laterTrace struct {
	id      span.TraceID
	start   uint64 // of the first row in holders
	holders []holder
}

// setApart finds the traces that several inputs have, and marks them as done in all but the first.
// Where that would leave more than most rows apart it marks none and gives none.
func (m *merge) setApart(most int) ([]laterTrace, error) {
	rows := 0
	var later []laterTrace
	at := make([]int, len(m.inputs)) // in each input's table of traces, sorted by id
	for {
		if err := m.ctx.Err(); err != nil {
			return nil, err
		}
		least, ok := m.leastID(at)
		if !ok {
			break
		}
		var t *laterTrace
		first := true
		for i, in := range m.inputs {
			if at[i] == in.s.TraceCount() || in.s.TraceID(at[i]) != least {
				continue
			}
			if !first {
				if t == nil {
					later = append(later, laterTrace{id: least})
					t = &later[len(later)-1]
				}
				t.holders = append(t.holders, holder{in, at[i]})
				_, n := in.s.TraceRows(at[i])
				rows += n
			}
			first = false
			at[i]++
		}
		if rows > most {
			return nil, nil
		}
	}
	for _, t := range later {
		for _, h := range t.holders {
			h.in.setDone(h.trace)
		}
	}
	return later, nil
}

// leastID gives the smallest trace id that stands at at in some input.
func (m *merge) leastID(at []int) (least span.TraceID, ok bool) {
	for i, in := range m.inputs {
		if at[i] == in.s.TraceCount() {
			continue
		}
		if id := in.s.TraceID(at[i]); !ok || id.Compare(least) < 0 {
			least, ok = id, true
		}
	}
	return least, ok
}

// later hands over what was set apart.
func (m *merge) later(traces []laterTrace) error {
	if err := m.order(traces); err != nil {
		return err
	}
	rows, err := m.rowsOf(traces)
	if err != nil {
		return err
	}
	total := 0
	for _, t := range traces {
		for _, h := range t.holders {
			_, n := h.in.s.TraceRows(h.trace)
			total += n
		}
	}
	m.w.Rehearse(rows, total)
	for _, t := range traces {
		if err := m.unite(t.id, t.holders); err != nil {
			return err
		}
	}
	return nil
}

// order sorts the traces as a segment has them. Those of one row group are asked for their start one
// after another.
func (m *merge) order(traces []laterTrace) error {
	type place struct{ trace, holder, row int }
	byInput := map[*input][]place{}
	for i, t := range traces {
		for k, h := range t.holders {
			first, _ := h.in.s.TraceRows(h.trace)
			byInput[h.in] = append(byInput[h.in], place{i, k, first})
		}
	}
	for _, in := range m.inputs {
		places := byInput[in]
		slices.SortFunc(places, func(a, b place) int { return cmp.Compare(a.row, b.row) })
		for _, p := range places {
			group := in.s.GroupOfRow(p.row)
			batch, err := m.cache.Read(in.s, group)
			if err != nil {
				return err
			}
			t := &traces[p.trace]
			start := batch.Starts[p.row-in.s.Group(group).FirstRow]
			if p.holder == 0 || start < t.start {
				t.start = start
			}
		}
		if err := m.ctx.Err(); err != nil {
			return err
		}
	}
	slices.SortFunc(traces, func(a, b laterTrace) int {
		return cmp.Or(cmp.Compare(a.start, b.start), a.id.Compare(b.id))
	})
	return nil
}

// rowsOf gives the first row of some of the traces, at equal ranks: what the writer is shown before.
func (m *merge) rowsOf(traces []laterTrace) (rows []span.Row, err error) {
	n := min(len(traces), segment.RehearsalRowsMax)
	for i := range n {
		h := traces[i*len(traces)/n].holders[0]
		first, _ := h.in.s.TraceRows(h.trace)
		group := h.in.s.GroupOfRow(first)
		batch, err := m.cache.Read(h.in.s, group)
		if err != nil {
			return nil, err
		}
		rows = append(rows, span.Row{Batch: batch, Pos: first - h.in.s.Group(group).FirstRow})
	}
	return rows, m.ctx.Err()
}
