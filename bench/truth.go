package bench

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
	"github.com/stoadb/stoa/internal/codec"
)

// Truth is what a server must answer, worked out the slow way over all spans sent: a
// plain table and loops over all of it. It shares the words of engine/span and the
// reading of OTLP with the server, and nothing of how the server finds.
//
// The table keeps 61 bytes a span, none of them a pointer, so that the collector of
// the measuring process has nothing to follow while questions are timed.
type Truth struct {
	tags []span.Tag

	traceOf  []uint32 // by row: position in traces
	starts   []uint64
	ends     []uint64
	spanIDs  []uint64
	parents  []uint64
	services []uint32 // by row: position in texts
	names    []uint32
	kinds    []int32
	failed   []bool   // status Error
	holds    []uint64 // by row: a bit for each of tags

	traces  []traceTruth
	byTrace map[span.TraceID]uint32
	texts   []string
	byText  map[string]uint32

	api     API
	reading reading

	order   []uint32 // rows by trace, made when first asked for
	rowEnds []uint32 // by trace: where its rows end in order
}

// traceTruth is one trace, whole.
type traceTruth struct {
	id    span.TraceID
	spans uint32
	sum   uint64 // of its spans' hashes: equal whatever the order
}

// NewTruth begins an empty table that can answer searches by the given tags, and no
// others: what a span says of them is kept as a bit each. The tag error=true means what
// the protocol says, other keys are those of attributes.
func NewTruth(tags []span.Tag) (*Truth, error) {
	if len(tags) > truthTagsMax {
		return nil, fmt.Errorf("%d tags, a truth tells %d apart", len(tags), truthTagsMax)
	}
	t := &Truth{tags: tags, byTrace: make(map[span.TraceID]uint32), byText: make(map[string]uint32)}
	t.Over(StorageGRPC)
	return t, nil
}

// Over says over which API answers come that are compared with the truth: not every one
// tells times to the nanosecond. It is called before the first Add, or not at all.
func (t *Truth) Over(api API) {
	t.api, t.reading = api, api.reading()
}

// Add takes the spans of one request.
func (t *Truth) Add(request []byte) error {
	batch, counts, err := otlp.Walk(request)
	if err != nil {
		return err
	}
	if counts.Dropped() > 0 {
		return fmt.Errorf("a server would not keep all of a request: %+v", counts)
	}
	reader := newTagReader(t.tags, batch)
	for pos := range batch.Len() {
		t.add(batch, pos, reader)
	}
	return nil
}

func (t *Truth) add(batch *span.Batch, pos int, reader *tagReader) {
	id := batch.TraceIDs[pos]
	trace, known := t.byTrace[id]
	if !known {
		trace = uint32(len(t.traces))
		t.byTrace[id] = trace
		t.traces = append(t.traces, traceTruth{id: id})
	}
	name := batch.Bytes(batch.Names[pos])
	service := batch.Bytes(batch.Resources[batch.ResourceIDs[pos]].Service)
	t.traces[trace].spans++
	start, end := batch.Starts[pos], batch.Ends[pos]
	if unit := t.reading.unit; unit > 1 { // the API tells a start and a duration
		start, end = start/unit, (max(start, end)-start)/unit
	}
	t.traces[trace].sum += spanHash(id[:], batch.SpanIDs[pos][:], batch.ParentIDs[pos][:], start, end, name)
	t.traceOf = append(t.traceOf, trace)
	t.starts = append(t.starts, batch.Starts[pos])
	t.ends = append(t.ends, batch.Ends[pos])
	t.spanIDs = append(t.spanIDs, binary.BigEndian.Uint64(batch.SpanIDs[pos][:]))
	t.parents = append(t.parents, binary.BigEndian.Uint64(batch.ParentIDs[pos][:]))
	t.services = append(t.services, t.text(service))
	t.names = append(t.names, t.text(name))
	t.kinds = append(t.kinds, batch.Kinds[pos])
	t.failed = append(t.failed, batch.StatusCodes[pos] == span.StatusError)
	t.holds = append(t.holds, reader.row(pos))
}

func (t *Truth) text(text []byte) uint32 {
	id, ok := t.byText[string(text)]
	if !ok {
		id = uint32(len(t.texts))
		t.texts = append(t.texts, string(text))
		t.byText[t.texts[id]] = id
	}
	return id
}

// spanHash is one number for what a span is known by; a span id or parent of another
// length than 8 counts as none, as it does for a server.
func spanHash(traceID, spanID, parentID []byte, start, end uint64, name []byte) uint64 {
	var known [16 + 4*8]byte
	copy(known[16-min(len(traceID), 16):], traceID)
	copy(known[16:24], spanID)
	copy(known[24:32], parentID)
	binary.LittleEndian.PutUint64(known[32:], start)
	binary.LittleEndian.PutUint64(known[40:], end)
	return codec.Hash64(known[:], codec.Hash64(name, 0))
}

// window is the time that a server is asked for where all of it is meant: all time, or where
// an API has no word for that, from a second before the first start to one after the last end:
// some servers take what ends outside for outside.
func (t *Truth) window() (first, last uint64) {
	if t.api == StorageGRPC {
		return 0, math.MaxInt64
	}
	first, last = slices.Min(t.starts), max(slices.Max(t.starts), slices.Max(t.ends))
	return first - min(first, second), last + second
}

// Spans is how many spans were added.
func (t *Truth) Spans() int { return len(t.starts) }

// Traces is how many traces they form.
func (t *Truth) Traces() int { return len(t.traces) }

// TraceIDs gives the ids of all traces, in the order in which they first came.
func (t *Truth) TraceIDs() []span.TraceID {
	ids := make([]span.TraceID, len(t.traces))
	for i := range t.traces {
		ids[i] = t.traces[i].id
	}
	return ids
}

// spread gives up to n ids, from the first trace that came to the last.
func (t *Truth) spread(n int) []span.TraceID {
	n = min(n, len(t.traces))
	ids := make([]span.TraceID, n)
	for i := range ids {
		ids[i] = t.traces[i*(len(t.traces)-1)/max(1, n-1)].id
	}
	return ids
}

// Largest gives the n traces of the most spans.
func (t *Truth) Largest(n int) []span.TraceID {
	traces := slices.Clone(t.traces)
	slices.SortFunc(traces, func(a, b traceTruth) int { return cmp.Or(cmp.Compare(b.spans, a.spans), a.id.Compare(b.id)) })
	ids := make([]span.TraceID, 0, n)
	for _, trace := range traces[:min(n, len(traces))] {
		ids = append(ids, trace.id)
	}
	return ids
}

// Find answers a search: it looks at every span. A tag that NewTruth was not told is an
// error.
func (t *Truth) Find(q span.Query) ([]span.Found, error) {
	want := uint64(0)
	for _, tag := range q.Tags {
		at := slices.Index(t.tags, tag)
		if at < 0 {
			return nil, fmt.Errorf("the truth knows nothing of %s=%s", tag.Key, tag.Value)
		}
		want |= 1 << at
	}
	service, knownService := t.byText[q.Service]
	name, knownName := t.byText[q.Name]
	if q.Service != "" && !knownService || q.Name != "" && !knownName {
		return nil, nil
	}
	latest := make(map[uint32]uint64) // by trace: its latest matching start
	for row, start := range t.starts {
		switch {
		case start < q.StartMin || start > q.StartMax:
		case q.Service != "" && t.services[row] != service:
		case q.Name != "" && t.names[row] != name:
		case t.holds[row]&want != want:
		case t.duration(row) < q.DurationMin:
		case q.DurationMax > 0 && t.duration(row) > q.DurationMax:
		default:
			before, seen := latest[t.traceOf[row]]
			if !seen || start > before {
				latest[t.traceOf[row]] = start
			}
		}
	}
	found := make([]span.Found, 0, len(latest))
	for trace, start := range latest {
		found = append(found, span.Found{TraceID: t.traces[trace].id, Start: start})
	}
	slices.SortFunc(found, func(a, b span.Found) int {
		return cmp.Or(cmp.Compare(b.Start, a.Start), a.TraceID.Compare(b.TraceID))
	})
	return found[:min(len(found), q.LimitOrDefault())], nil
}

// duration is 0 for a span that ends before it starts.
func (t *Truth) duration(row int) uint64 {
	if t.ends[row] < t.starts[row] {
		return 0
	}
	return t.ends[row] - t.starts[row]
}

// DurationQuantile gives the duration that the share q of a service's spans does not
// exceed, in nanoseconds.
func (t *Truth) DurationQuantile(service string, q float64) uint64 {
	var durations Times
	for row := range t.starts {
		if t.texts[t.services[row]] == service {
			durations = append(durations, time.Duration(t.duration(row)))
		}
	}
	return uint64(durations.Quantile(q))
}

// Services gives the names of all services, sorted.
func (t *Truth) Services() []string {
	seen := make(map[uint32]bool)
	for _, service := range t.services {
		seen[service] = true
	}
	var names []string
	for service := range seen {
		names = append(names, t.texts[service])
	}
	slices.Sort(names)
	return names
}

// Operations gives the distinct names and kinds of a service's spans, sorted.
func (t *Truth) Operations(service string) []span.Operation {
	seen := make(map[span.Operation]bool)
	var operations []span.Operation
	for row := range t.starts {
		if t.texts[t.services[row]] != service {
			continue
		}
		operation := span.Operation{Service: service, Name: t.texts[t.names[row]], Kind: t.kinds[row]}
		if !seen[operation] {
			seen[operation] = true
			operations = append(operations, operation)
		}
	}
	slices.SortFunc(operations, compareOperations)
	return operations
}

func compareOperations(a, b span.Operation) int {
	return cmp.Or(strings.Compare(a.Service, b.Service), strings.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind))
}
