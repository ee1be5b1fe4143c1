package api_test

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// memory gives a store that keeps rows in a map: enough to send spans in and see the
// same come out. The true store has its own tests.
func memory() *scripted {
	var mu sync.Mutex
	traces := map[span.TraceID][]span.Row{}
	return &scripted{
		write: func(_ context.Context, request []byte) (otlp.Counts, error) {
			batch, counts, err := otlp.Walk(bytes.Clone(request))
			if err != nil {
				return counts, err
			}
			mu.Lock()
			defer mu.Unlock()
			for i := range batch.Len() {
				row := span.Row{Batch: batch, Pos: i}
				traces[row.TraceID()] = append(traces[row.TraceID()], row)
			}
			return counts, nil
		},
		get: func(_ context.Context, id span.TraceID, yield func(span.Chunk) error) error {
			mu.Lock()
			rows := slices.Clone(traces[id])
			mu.Unlock()
			slices.SortFunc(rows, span.Compare)
			encoder := otlp.NewEncoder(func(chunk []byte) error { return yield(span.Chunk{Bytes: chunk}) })
			for _, row := range rows {
				if err := encoder.Add(row); err != nil {
					return err
				}
			}
			return encoder.Flush()
		},
		find: func(_ context.Context, q span.Query) ([]span.Found, error) {
			mu.Lock()
			defer mu.Unlock()
			var found []span.Found
			for id, rows := range traces {
				matching := slices.DeleteFunc(slices.Clone(rows), func(r span.Row) bool { return !matches(r, q) })
				if len(matching) > 0 {
					newest := slices.MaxFunc(matching, func(a, b span.Row) int { return cmp.Compare(a.Start(), b.Start()) })
					found = append(found, span.Found{TraceID: id, Start: newest.Start()})
				}
			}
			slices.SortFunc(found, func(a, b span.Found) int {
				if a.Before(b) {
					return -1
				}
				return 1
			})
			return found[:min(len(found), q.Limit)], nil
		},
	}
}

// matches knows service, name, times and span attributes.
func matches(r span.Row, q span.Query) bool {
	if r.Start() < q.StartMin || r.Start() > q.StartMax || r.Duration() < q.DurationMin ||
		q.DurationMax > 0 && r.Duration() > q.DurationMax ||
		q.Service != "" && q.Service != string(r.Service()) || q.Name != "" && q.Name != string(r.Name()) {
		return false
	}
	for _, tag := range q.Tags {
		if !slices.ContainsFunc(r.AppendAttrs(nil), func(a span.Attr) bool {
			return r.Batch.String(a.Key) == tag.Key && string(otlp.AppendText(nil, r.Batch, a)) == tag.Value
		}) {
			return false
		}
	}
	return true
}
