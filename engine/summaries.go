package engine

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"unsafe" // for the size of what is kept

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// Summaries tells of the given traces, each over all of its distinct spans, in the order
// given. A trace that is gone meanwhile (retention) is left out. Lists of services are shared, and not to
// be changed.
func (s *Shard) Summaries(ctx context.Context, found []span.Found) ([]span.Summary, error) {
	v, err := s.view()
	if err != nil {
		return nil, err
	}
	defer v.close()
	f := traceSummaries.Get().(*traceParts)
	defer f.giveBack()
	summaries := make([]span.Summary, 0, len(found))
	for _, trace := range found {
		summary, ok, err := f.summaryOf(ctx, v, trace.TraceID)
		if err != nil {
			return nil, err
		}
		if ok {
			summaries = append(summaries, summary)
		}
	}
	return summaries, nil
}

// summaryOf tells of one trace; not ok: it is gone.
func (f *traceParts) summaryOf(ctx context.Context, v *view, id span.TraceID) (summary span.Summary, ok bool, err error) {
	var p traceHome
	if err := p.find(v, id); err != nil {
		return summary, false, err
	}
	if made := keptOf[span.Summary](segment.MadeSummary, &p); made != nil {
		return *made, true, ctx.Err()
	}
	if err := f.take(ctx, v, id); err != nil || len(f.spanIDs) == 0 {
		return summary, false, err
	}
	summary = f.summary(id)
	keep(segment.MadeSummary, &p, summary, summaryBytes(&summary))
	return summary, true, nil
}

// summaryBytes is what keeping a summary takes, at most: others may share the names of services.
func summaryBytes(s *span.Summary) int {
	bytes := int(unsafe.Sizeof(*s)) + len(s.RootName) + int(unsafe.Sizeof(span.ServiceCount{}))*cap(s.Services)
	for _, service := range s.Services {
		bytes += len(service.Service)
	}
	return bytes
}

// traceSummaries are the traceParts between two answers.
var traceSummaries = sync.Pool{New: func() any { return new(traceParts) }}

// giveBack keeps the memory for another answer, where it is not that of a huge trace or of many names.
func (f *traceParts) giveBack() {
	if max(cap(f.spanIDs), cap(f.order), cap(f.parents), cap(f.counts)) > summarizedRowsKept {
		return
	}
	f.begin()
	f.forgetCounts()
	f.of, f.from = nil, nil
	if f.texts.bytes > summaryTextBytesKept {
		f.texts.forget()
	}
	clear(f.read.Roots[:cap(f.read.Roots)]) // they point into segments
	traceSummaries.Put(f)
}

// traceParts gathers the facts of a trace from all sources that it stands in.
type traceParts struct {
	traceFacts
	rootNames []uint32 // by row, of those without a parent id: the number of the name
	counts    []int32  // by number of a service: its position + 1 among the summary's, 0 between summaries
	counted   []uint32 // those that are not 0
	ends      []int    // of the rows of each source
	at        []int    // by source: the next row
	order     []int    // the rows as they stand in the trace
}

// take takes a trace's distinct rows in the order of span.Compare.
func (f *traceParts) take(ctx context.Context, v *view, id span.TraceID) error {
	f.begin()
	for _, t := range v.tables {
		for _, row := range t.trace(nil, id, t.count) {
			f.addRow(row)
		}
		f.ends = append(f.ends, len(f.spanIDs))
	}
	for _, l := range v.segments {
		opened, i, err := l.FindTrace(id)
		if err == nil && opened != nil {
			err = f.addFrom(ctx, opened, i, f.nameRoots)
			f.ends = append(f.ends, len(f.spanIDs))
		}
		if err != nil {
			return err
		}
	}
	if distinct, err := f.merge(ctx); err != nil || distinct {
		return err
	}
	f.begin()
	projection := factsProjection
	projection.Names = true
	return v.mergeRows(ctx, id, projection, func(row span.Row) error {
		f.addRow(row)
		return nil
	})
}

func (f *traceParts) begin() {
	f.reset()
	f.rootNames, f.ends = f.rootNames[:0], f.ends[:0]
}

func (f *traceParts) addRow(row span.Row) {
	f.add(row)
	name := uint32(0)
	if row.ParentID().IsZero() {
		name = f.texts.number(row.Name())
	}
	f.rootNames = append(f.rootNames, name)
}

// nameRoots notes the names of the rows added last.
func (f *traceParts) nameRoots(rows int, roots []segment.RootFact) {
	at := len(f.rootNames)
	f.rootNames = slices.Grow(f.rootNames, rows)[:at+rows]
	clear(f.rootNames[at:])
	for _, root := range roots {
		f.rootNames[at+root.Row] = f.texts.number(root.Name)
	}
}

// merge puts the rows of all sources, each of which has its own in order, in the order of the
// trace. Not distinct: rows of two are alike in start, id and kind, and only their content tells
// whether they are one span.
func (f *traceParts) merge(ctx context.Context) (distinct bool, err error) {
	f.ends = slices.Compact(f.ends) // sources without rows
	if len(f.ends) > 0 && f.ends[0] == 0 {
		f.ends = f.ends[1:]
	}
	if len(f.ends) < 2 {
		return true, ctx.Err()
	}
	f.at, f.order = append(f.at[:0], 0), f.order[:0]
	f.at = append(f.at, f.ends[:len(f.ends)-1]...)
	for k := range f.spanIDs {
		if k%cancelEveryRows == 0 && ctx.Err() != nil {
			return false, ctx.Err()
		}
		least := -1
		for i, end := range f.ends {
			if f.at[i] == end {
				continue
			}
			c := -1
			if least >= 0 {
				c = f.compare(f.at[i], f.at[least])
			}
			if c == 0 {
				return false, nil
			}
			if c < 0 {
				least = i
			}
		}
		f.order = append(f.order, f.at[least])
		f.at[least]++
	}
	f.spanIDs, f.parentIDs = ordered(f.spanIDs, f.order), ordered(f.parentIDs, f.order)
	f.kinds, f.starts = ordered(f.kinds, f.order), ordered(f.starts, f.order)
	f.services, f.errors, f.rootNames = ordered(f.services, f.order), ordered(f.errors, f.order), ordered(f.rootNames, f.order)
	return true, nil
}

func (f *traceParts) compare(a, b int) int {
	return cmp.Or(cmp.Compare(f.starts[a], f.starts[b]), f.spanIDs[a].Compare(f.spanIDs[b]), cmp.Compare(f.kinds[a], f.kinds[b]))
}

func ordered[T any](values []T, order []int) []T {
	sorted := make([]T, len(order))
	for i, at := range order {
		sorted[i] = values[at]
	}
	return sorted
}

// summary counts over the rows added.
func (f *traceParts) summary(id span.TraceID) span.Summary {
	sum := span.Summary{TraceID: id, Start: f.starts[0], End: f.end, Spans: len(f.spanIDs)}
	if more := len(f.texts.list) - len(f.counts); more > 0 {
		f.counts = append(f.counts, make([]int32, more)...)
	}
	for i, parent := range f.resolve() {
		switch parent {
		case span.Orphan:
			sum.Orphans++
		case span.NoParent:
			if !sum.HasRoot {
				sum.HasRoot, sum.RootService, sum.RootName = true, f.serviceOf(int32(i)), f.texts.list[f.rootNames[i]]
			}
		}
		at := &f.counts[f.services[i]]
		if *at == 0 {
			sum.Services = append(sum.Services, span.ServiceCount{Service: f.serviceOf(int32(i))})
			*at = int32(len(sum.Services))
			f.counted = append(f.counted, f.services[i])
		}
		count := &sum.Services[*at-1]
		count.Spans++
		if f.errors[i] {
			count.Errors++
			sum.Errors++
		}
	}
	f.forgetCounts()
	slices.SortFunc(sum.Services, func(a, b span.ServiceCount) int { return strings.Compare(a.Service, b.Service) })
	return sum
}

// forgetCounts makes ready for another summary, also where this one was not told to its end.
func (f *traceParts) forgetCounts() {
	for _, service := range f.counted {
		f.counts[service] = 0
	}
	f.counted = f.counted[:0]
}
