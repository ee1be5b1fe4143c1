package engine_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// cellLoad is spans that make cells of one step: the more services and the longer the time, the
// more room cells take, and the longer their step is.
type cellLoad struct {
	spans, services, names int
	pace                   uint64 // nanoseconds between the starts of two spans, about
	step                   string // of the cells of edges that must be among the segments
}

const (
	second = uint64(1e9)
	minute = 60 * second
	hour   = 60 * minute
	day    = 24 * hour
)

// cellRequests gives the spans of a load as requests. Traces are of four spans, and there are
// always eight at once: spans of one come late, twice, with a parent that is nowhere, under an id
// that a CLIENT and a SERVER share, or at a time that wraps.
func (w *world) cellRequests(load cellLoad) (requests [][]byte) {
	fixed := func(number int, v uint64) []byte {
		return binary.LittleEndian.AppendUint64(binary.AppendUvarint(nil, uint64(number<<3|1)), v)
	}
	id := func(n, bytes int) []byte {
		return append(make([]byte, bytes-4), byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	var spans [][]byte
	for i := range load.spans {
		trace := i/32*8 + i%8
		start := uint64(1_767_225_600)*second + uint64(i)*load.pace + w.rand.Uint64N(1+load.pace)
		spanID, parent, kind := i/8%4+1, w.rand.IntN(6), uint64(w.rand.IntN(6))
		end := start + w.rand.Uint64N(100)*w.rand.Uint64N(3*second)
		switch w.rand.IntN(40) {
		case 0:
			end = start - 5
		case 1:
			start, end = w.rand.Uint64(), 7
		case 2:
			spanID, parent, kind = 1, 0, 2 // the SERVER half, of one that may be the CLIENT half
		case 3:
			start = math.MaxUint64 - w.rand.Uint64N(3)
		}
		fields := [][]byte{field(1, id(trace+1, 16)), field(2, id(spanID, 8))}
		if parent > 0 {
			fields = append(fields, field(4, id(parent, 8)))
		}
		fields = append(fields, field(5, []byte("name "+string(rune('a'+w.rand.IntN(load.names))))), varint(6, kind), fixed(7, start), fixed(8, end))
		if w.rand.IntN(9) == 0 {
			fields = append(fields, field(15, varint(3, 2)))
		}
		service := field(1, []byte("service.name"))
		service = field(1, service, field(2, field(1, fmt.Append(nil, "service ", w.rand.IntN(load.services)))))
		spans = append(spans, field(1, field(1, service), field(2, field(2, fields...))))
	}
	for len(spans) > 0 {
		n := min(len(spans), 1+w.rand.IntN(60))
		requests = append(requests, slices.Concat(spans[:n]...))
		if w.rand.IntN(6) == 0 {
			requests = append(requests, slices.Concat(spans[:1+w.rand.IntN(n)]...))
		}
		spans = spans[n:]
	}
	// Neighbours change places, so that traces are split over flushes.
	for i := range requests {
		j := min(len(requests)-1, i+w.rand.IntN(4))
		requests[i], requests[j] = requests[j], requests[i]
	}
	return requests
}

// cellSteps gives the steps of the cells of edges and of operations in the shard's segments.
func (w *world) cellSteps() (steps map[string]bool) {
	w.t.Helper()
	names, err := w.disk.List(worldDir)
	if err != nil {
		w.t.Fatal(err)
	}
	steps = map[string]bool{}
	for _, name := range names {
		if !strings.HasSuffix(name, ".seg") {
			continue
		}
		if err := segment.Verify(w.disk, worldDir+"/"+name); err != nil {
			w.t.Fatal(err)
		}
		s, err := segment.Open(w.disk, worldDir+"/"+name)
		if err != nil {
			w.t.Fatal(err)
		}
		for kind, read := range map[string]func() (*segment.Cells, error){"edges": s.EdgeCells, "operations": s.OperationCells} {
			cells, err := read()
			switch {
			case err != nil:
				w.t.Fatal(err)
			case cells == nil:
				steps[kind+" none"] = true
			default:
				steps[fmt.Sprint(kind, " ", cells.Step/second)] = true
			}
		}
		s.Close()
	}
	return steps
}

// checkCells compares the service graph and rates of ranges that begin and end on steps, beside
// them, and anywhere.
func (w *world) checkCells(load cellLoad) {
	w.t.Helper()
	from := uint64(1_767_225_600) * second
	length := uint64(load.spans) * load.pace
	bound := func() uint64 {
		at := from + w.rand.Uint64N(length+2*minute) - minute
		unit := []uint64{1, minute, 10 * minute, hour, day}[w.rand.IntN(5)]
		return at - at%unit + []uint64{0, 1, math.MaxUint64}[w.rand.IntN(3)]
	}
	for i := range 12 {
		low, high := bound(), bound()
		switch {
		case i == 0:
			low, high = 0, math.MaxUint64
		case i == 1:
			low = 0
		case i == 2:
			high = math.MaxUint64
		case low > high:
			low, high = high, low
		}
		checkEdges(w.t, w.shard, w.model, low, high)
		q := span.RateQuery{StartMin: low, StartMax: high, Step: []uint64{0, 7 * second, minute, 30 * minute, hour, 5 * day}[w.rand.IntN(6)]}
		if length/max(q.Step, 1) > 500 {
			q.Step = 0
		}
		if w.rand.IntN(2) == 0 {
			q.Service = "service 1"
		}
		if w.rand.IntN(3) == 0 {
			q.Name, q.Kinds = "name a", []int32{0, 2, 3}
		}
		w.checkRates(q)
	}
}

// TestCellsOfEveryStepAnswerAsRows: what cells have summed, less what is taken back and with
// what rows tell besides, is what every row tells, and the model; in memory, flushed and merged.
func TestCellsOfEveryStepAnswerAsRows(t *testing.T) {
	seen := map[string]bool{}
	for i, load := range []cellLoad{
		{1200, 3, 4, second / 4, "edges 60"},
		{3000, 3, 4, 2 * second, "edges 600"},
		{3000, 7, 4, 5 * second, "edges 3600"},
		{3600, 7, 4, 50 * second, "edges 86400"},
		{3600, 6, 2, 3 * hour, "edges 0"},
		{5000, 80, 26, 3 * second, "edges none"},
	} {
		if testing.Short() && i%3 > 0 {
			continue
		}
		t.Run(load.step, func(t *testing.T) {
			w := newWorld(t, uint64(i), 3)
			w.options.MemtableBytesMax = 1 << 30
			w.mustOpen()
			steps := map[string]bool{}
			requests := w.cellRequests(load)
			for part := range 3 {
				for _, request := range requests[part*len(requests)/3 : (part+1)*len(requests)/3] {
					if err := w.append(request); err != nil {
						t.Fatal(err)
					}
				}
				if part == 2 {
					w.checkCells(load) // the last part is in memory
				}
				if err := w.shard.Flush(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			w.checkCells(load)
			maps.Copy(steps, w.cellSteps())
			if err := w.shard.Compact(context.Background()); err != nil {
				t.Fatal(err)
			}
			w.checkCells(load)
			maps.Copy(steps, w.cellSteps())
			t.Log(slices.Sorted(maps.Keys(steps)))
			if !steps[load.step] {
				t.Errorf("no cells of %q, but of %q", load.step, slices.Sorted(maps.Keys(steps)))
			}
			maps.Copy(seen, steps)
		})
	}
	if !testing.Short() && (!seen["operations none"] || !seen["operations 0"] || !seen["operations 60"]) {
		t.Errorf("of operations too, there must be cells of a minute, of all time and none: %q", slices.Sorted(maps.Keys(seen)))
	}
}
