package compaction

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
)

// Merge writes the distinct spans of the inputs to the segment out. Traces stand in the
// order of a segment, a trace's rows in that of span.Compare. When it fails or ctx ends,
// nothing is left behind. progress, which may be nil, hears rows done and rows in all after each 1,024 rows, or a
// row group that is taken over; with as many done as before after other work that takes about as long. Each time
// ctx is looked at. The caller holds the inputs and syncs the folder.
//
// Each input gives its traces by (its own first start, id). The first of all inputs to
// come to a trace is the one with the trace's smallest start, so meeting is ordering: the
// whole trace is written then, from all inputs, and marked as done in each. Two bits a
// trace are all that this holds, where a united trace table would hold them all twice.
func Merge(ctx context.Context, fs vfs.FS, inputs []*segment.Segment, out string, progress func(done, total int)) (segment.Info, error) {
	inputs = slices.Clone(inputs)
	slices.SortFunc(inputs, func(a, b *segment.Segment) int { // so that their order changes nothing
		x, y := a.Info(), b.Info()
		return cmp.Or(cmp.Compare(x.FirstSeq, y.FirstSeq), cmp.Compare(x.LastSeq, y.LastSeq), cmp.Compare(x.CRC, y.CRC))
	})
	meta, err := uniteMeta(inputs)
	if err != nil {
		return segment.Info{}, err
	}
	w, err := segment.NewWriter(fs, out, meta)
	if err != nil {
		return segment.Info{}, err
	}
	// Of resources and scopes the writer asks the inputs themselves, and rows compare by messages.
	whole := segment.Projection{All: true, Messages: true}
	bare := segment.Projection{All: true, Bare: true, Messages: true}
	m := &merge{
		ctx: ctx, w: w, progress: progress,
		cache: segment.NewCache(bare, len(inputs), cacheBytesMax), whole: segment.NewCache(whole, 2, cacheBytesMax),
		columns: &columnCache{groupsMin: min(len(inputs), groupsMin), bytesMax: cacheBytesMax},
	}
	for _, s := range inputs {
		m.inputs = append(m.inputs, &input{s: s, done: make([]uint64, (s.TraceCount()+63)/64), group: -1})
		m.total += s.Info().Rows
	}
	if err = markShared(m.inputs, m.told); err == nil {
		err = m.prepare(inputs)
	}
	if err == nil {
		err = m.run()
	}
	if err != nil {
		w.Abort()
		return segment.Info{}, err
	}
	return w.Finish()
}

// merge is one run of Merge.
type merge struct {
	ctx      context.Context
	w        *segment.Writer
	inputs   []*input
	cache    *segment.Cache // of rows for the writer
	whole    *segment.Cache // of rows to compare
	columns  *columnCache   // of rows that are copied
	progress func(done, total int)
	rows     []span.Row // for the writer
	holders  []holder   // of the trace at hand
	read     int
	toldOf   int // of those read, progress was
	noted    int // rows that were read for what is taken off, since progress was told of them
	total    int
}

// holder is an input that has rows of a trace.
type holder struct {
	in    *input
	trace int
}

// input is a segment and where its own order of traces stands.
type input struct {
	s      *segment.Segment
	next   int      // in row order
	done   []uint64 // bits by trace
	shared []uint64 // the same, of traces that another input has too
	group  int      // of starts
	starts []uint64 // of that group's rows
	start  uint64   // of the next trace's first row
	id     span.TraceID
}

// settle goes to the next trace that is not done; false at the end.
func (in *input) settle() (bool, error) {
	for ; in.next < in.s.TraceCount(); in.next++ {
		i := in.s.TraceInOrder(in.next)
		if isMarked(in.done, i) {
			continue
		}
		first, _ := in.s.TraceRows(i)
		if group := in.s.GroupOfRow(first); group != in.group {
			starts, err := in.s.ReadStarts(group, in.starts)
			if err != nil {
				return false, err
			}
			in.group, in.starts = group, starts
		}
		in.start, in.id = in.starts[first-in.s.Group(in.group).FirstRow], in.s.TraceID(i)
		return true, nil
	}
	return false, nil
}

func isMarked(bits []uint64, i int) bool { return bits[i/64]>>(i%64)&1 != 0 }

func mark(bits []uint64, i int) { bits[i/64] |= 1 << (i % 64) }

func (in *input) before(other *input) bool {
	return cmp.Or(cmp.Compare(in.start, other.start), in.id.Compare(other.id)) < 0
}

// prepare tells the writer what it has to know before the first row: where all rows can be copied, as the
// inputs are, their cells; else rows for a rehearsal.
func (m *merge) prepare(inputs []*segment.Segment) error {
	for _, s := range inputs {
		for group := range s.Groups() {
			if !s.HasColumns(group) {
				return m.rehearse()
			}
		}
	}
	_, err := m.w.SumKeys(inputs, m.told)
	if err == nil {
		_, err = m.w.SumCells(inputs, m.told)
	}
	return cmp.Or(err, m.ctx.Err())
}

// rehearse shows the writer rows of all inputs: of some row groups, at equal ranks over all
// groups, so that each input has its share.
func (m *merge) rehearse() error {
	type place struct {
		in    *input
		group int
	}
	var places []place
	for _, in := range m.inputs {
		for group := range in.s.Groups() {
			places = append(places, place{in, group})
		}
	}
	var rows []span.Row
	n := min(len(places), rehearsalGroupsMax)
	for i := range n {
		p := places[i*len(places)/n]
		batch, err := m.cache.Read(p.in.s, p.group)
		if err != nil {
			return err
		}
		each := min(segment.RehearsalRowsMax/n, batch.Len())
		for k := range each {
			rows = append(rows, span.Row{Batch: batch, Pos: k * batch.Len() / each})
		}
	}
	total := 0
	for _, in := range m.inputs {
		total += in.s.Info().Rows
	}
	m.w.Rehearse(rows, total)
	return m.ctx.Err()
}

func (m *merge) run() error {
	for {
		if err := m.ctx.Err(); err != nil {
			return err
		}
		var first *input
		for _, in := range m.inputs {
			more, err := in.settle()
			if err != nil {
				return err
			}
			if more && (first == nil || in.before(first)) {
				first = in
			}
		}
		if first == nil {
			return m.told()
		}
		trace := first.s.TraceInOrder(first.next)
		if !isMarked(first.shared, trace) {
			mark(first.done, trace)
			if err := m.alone(first, trace); err != nil {
				return err
			}
			continue
		}
		if err := m.trace(first.id); err != nil {
			return err
		}
	}
}

// trace writes one trace from all inputs that have rows of it, which are several.
func (m *merge) trace(id span.TraceID) error {
	m.holders = m.holders[:0]
	for _, in := range m.inputs {
		if i, ok := in.s.FindTrace(id); ok {
			mark(in.done, i)
			m.holders = append(m.holders, holder{in, i})
		}
	}
	if done, err := m.uniteColumns(id); done || err != nil {
		return err
	}
	var parts []*segment.Cursor
	for _, h := range m.holders {
		c := h.in.s.TraceWith(h.trace, m.cache.Read)
		if c.Next() {
			parts = append(parts, c)
		} else if c.Err() != nil {
			return c.Err()
		}
	}
	var last span.Row
	for len(parts) > 0 {
		least := 0
		for k := 1; k < len(parts); k++ {
			c, err := segment.Compare(parts[k].Row(), parts[least].Row(), m.whole.Read)
			if err != nil {
				return err
			}
			if c < 0 {
				least = k
			}
		}
		row, c := parts[least].Row(), -1
		if last.Batch != nil {
			var err error
			if c, err = segment.Compare(last, row, m.whole.Read); err != nil {
				return err
			}
		}
		if c != 0 {
			m.rows = append(m.rows, row)
			last = row
		}
		if err := m.passed(1); err != nil {
			return err
		}
		if !parts[least].Next() {
			if err := parts[least].Err(); err != nil {
				return err
			}
			parts = slices.Delete(parts, least, least+1)
		}
		if len(m.rows) == chunkRowsMax {
			if err := m.hand(id); err != nil {
				return err
			}
		}
	}
	return m.hand(id)
}

// hand gives the collected rows to the writer.
func (m *merge) hand(id span.TraceID) error {
	err := m.w.Add(id, m.rows)
	clear(m.rows)
	m.rows = m.rows[:0]
	return err
}

// passed counts rows that were read, and tells of them when they are many.
func (m *merge) passed(rows int) error {
	if m.read += rows; m.read-m.toldOf < chunkRowsMax {
		return nil
	}
	return m.told()
}

// told tells the progress, and whether to go on.
func (m *merge) told() error {
	m.toldOf = m.read
	if m.progress != nil {
		m.progress(m.read, m.total)
	}
	return m.ctx.Err()
}

// uniteMeta gives the output's meta: a function of the set of inputs, not of their order.
func uniteMeta(inputs []*segment.Segment) (segment.Meta, error) {
	var meta segment.Meta
	for i, s := range inputs {
		info := s.Info()
		if i == 0 {
			meta = segment.Meta{
				Shard: info.Shard, Tenant: info.Tenant, FirstSeq: info.FirstSeq, LastSeq: info.LastSeq,
				MinReceived: info.MinReceived, MaxReceived: info.MaxReceived,
			}
		}
		if info.Shard != meta.Shard || info.Tenant != meta.Tenant {
			return meta, fmt.Errorf("merge: %s is of shard %d, tenant %q, not %d, %q", info.Name, info.Shard, info.Tenant, meta.Shard, meta.Tenant)
		}
		meta.FirstSeq, meta.LastSeq = min(meta.FirstSeq, info.FirstSeq), max(meta.LastSeq, info.LastSeq)
		meta.MinReceived, meta.MaxReceived = min(meta.MinReceived, info.MinReceived), max(meta.MaxReceived, info.MaxReceived)
		meta.Generation = max(meta.Generation, info.Generation+1)
		meta.Windows = append(meta.Windows, info.Windows...)
		hashes, err := s.Hashes()
		if err != nil {
			return meta, err
		}
		meta.Hashes = append(meta.Hashes, hashes...)
	}
	slices.Sort(meta.Windows)
	meta.Windows = slices.Compact(meta.Windows)
	slices.SortFunc(meta.Hashes, func(a, b segment.Received) int {
		return cmp.Or(cmp.Compare(a.At, b.At), bytes.Compare(a.Hash[:], b.Hash[:]))
	})
	meta.Hashes = lastHashes(slices.Compact(meta.Hashes), meta.MaxReceived)
	return meta, nil
}

// lastHashes leaves out what the exactly-once window cannot hold any more after the newest
// of the inputs; without that the list would grow with each merge for ever. The hashes are
// sorted by their time.
func lastHashes(hashes []segment.Received, newest int64) []segment.Received {
	hashes = hashes[max(0, len(hashes)-HashesMax):]
	for len(hashes) > 0 && newest-hashes[0].At > int64(HashAgeMax) {
		hashes = hashes[1:]
	}
	return hashes
}
