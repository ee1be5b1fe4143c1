package engine_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// servedSpan is a span of which searches by service and operation ask.
type servedSpan struct {
	service string // "-": a resource without one; "": no resource at all
	pod     string // tells two resources of a service apart
	name    string
	kind    uint64
	failed  bool
	zone    string // an attribute of its scope, "" for no scope
	fields  []byte // of the span besides
}

// request is an OTLP request with the span; its trace has no other one.
func (s servedSpan) request(number int) []byte {
	text := func(key, value string) []byte {
		return field(1, field(1, []byte(key)), field(2, field(1, []byte(value))))
	}
	var resource []byte
	switch s.service {
	case "":
	case "-":
		resource = field(1, text("pod", s.pod))
	default:
		resource = field(1, text("service.name", s.service), text("pod", s.pod))
	}
	id := fmt.Appendf(nil, "%016d", number+1)
	times := binary.LittleEndian.AppendUint64([]byte{7<<3 | 1}, 1_767_225_600_000_000_000+uint64(number))
	times = binary.LittleEndian.AppendUint64(append(times, 8<<3|1), 1_767_225_600_000_000_000+uint64(number+number%1000))
	one := slices.Concat(field(1, id), field(2, id[8:]), field(5, []byte(s.name)), varint(6, s.kind), times, s.fields)
	if s.failed {
		one = append(one, field(15, varint(3, span.StatusError))...)
	}
	var scope []byte
	if s.zone != "" {
		scope = field(1, field(3, field(1, []byte("zone")), field(2, field(1, []byte(s.zone)))))
	}
	return field(1, resource, field(2, scope, field(2, one)))
}

// servedLoads are loads that a template's name and kind tell more or less of.
func servedLoads() map[string][]servedSpan {
	few := []servedSpan{
		{service: "a", pod: "1", name: "x", kind: 2}, {service: "a", pod: "2", name: "y", kind: 2, failed: true},
		{service: "b", pod: "1", name: "x", kind: 2, failed: true}, {service: "b", pod: "1", name: "x", kind: 3},
		{service: "b", pod: "1", name: "z", kind: 6}, {service: "c", pod: "1", name: "", kind: 0, failed: true},
		{service: "a", pod: "1", name: "", kind: 1}, {service: "-", pod: "1", name: "x", kind: 2, failed: true},
		{name: "x", kind: 2}, {name: "nobody's", kind: 1},
		{service: "c", pod: "2", name: "\xf0\x28", kind: 1<<32 - 1}, // a kind of 32 bits, as no SDK has it
	}
	loads := map[string][]servedSpan{"few": few}
	for i := range 1500 { // more names than a segment has templates for
		service := string(rune('a' + i%3))
		loads["own templates"] = append(loads["own templates"], few[i%len(few)],
			servedSpan{service: service, pod: fmt.Sprint(i % 5), name: fmt.Sprint("name ", i), kind: uint64(i % 4), failed: i%7 == 0})
		if i == 1490 { // one template of a row group's own, whose scope alone has the attribute
			loads["own templates"] = append(loads["own templates"], servedSpan{service: "a", pod: "1", name: "name of a zone", kind: 2, zone: "z"})
		}
	}
	random := rand.New(rand.NewPCG(1, 1))
	for range 1500 { // names that come to more than a catalog holds
		name := []byte(strings.Repeat("long ", 200))
		for i := range name {
			name[i] = byte('a' + random.IntN(26))
		}
		for _, s := range few[:4] {
			loads["no catalog"] = append(loads["no catalog"], s)
		}
		loads["no catalog"] = append(loads["no catalog"], servedSpan{service: "a", pod: "1", name: string(name), kind: 2, failed: true})
	}
	return loads
}

// TestServicesAndOperationsAreFoundWhateverTemplatesTell: names and kinds that services share, or
// that stand in templates of row groups' own, or that no catalog lists.
func TestServicesAndOperationsAreFoundWhateverTemplatesTell(t *testing.T) {
	for name, load := range servedLoads() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1, 2)
			w.options.MemtableBytesMax = 1 << 30
			w.mustOpen()
			w.flushServed(load)
			if whole, complete := formOf(w); whole != (name == "few") || complete == (name == "no catalog") {
				t.Fatalf("templates are whole: %t, the catalog is complete: %t", whole, complete)
			}
			for _, service := range []string{"", "a", "b", "c", "d"} {
				for _, operation := range []string{"", "x", "y", "z", "name 7", "name 1234", "\xf0\x28", load[len(load)-1].name} {
					for _, tags := range [][]span.Tag{nil, {{Key: "error", Value: "true"}}, {{Key: "span.kind", Value: "server"}}, {{Key: "zone", Value: "z"}}} {
						for _, shortest := range []uint64{0, 900} {
							w.wantServed(service, operation, tags, shortest)
						}
					}
				}
			}
		})
	}
}

// flushServed puts the spans into one segment.
func (w *world) flushServed(load []servedSpan) {
	w.t.Helper()
	var parts [][]byte
	for i, s := range load {
		parts = append(parts, s.request(i))
	}
	if err := w.append(slices.Concat(parts...)); err != nil {
		w.t.Fatal(err)
	}
	if err := w.shard.Flush(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

// formOf tells of the one segment of a shard.
func formOf(w *world) (whole, complete bool) {
	w.t.Helper()
	segments := 0
	w.eachSegment(func(s *segment.Segment) {
		segments++
		whole, complete = s.TemplatesWhole()[span.SpanLevel], s.Catalog().Complete()
	})
	if segments != 1 {
		w.t.Fatalf("%d segments", segments)
	}
	return whole, complete
}

func (w *world) wantServed(service, operation string, tags []span.Tag, shortest uint64) {
	w.t.Helper()
	q := span.AllTime()
	q.Service, q.Name, q.Tags, q.DurationMin, q.Limit = service, operation, tags, shortest, span.TracesFoundMax
	got, err := w.shard.Find(context.Background(), q)
	if err != nil {
		w.t.Fatal(err)
	}
	want := w.model.Find(q)
	if diff := cmp.Diff(want, got); diff != "" && len(want)+len(got) > 0 {
		w.t.Errorf("service %q, operation %.20q, tags %v, %d ns: %d of %d traces", service, operation, tags, shortest, len(got), len(want))
	}
}

// TestOperationsOfOtherServicesAreNotLookedFor: where only spans of another service's operation
// failed, no row group is looked into, and templates of others do not match.
func TestOperationsOfOtherServicesAreNotLookedFor(t *testing.T) {
	w := newWorld(t, 1, 2)
	w.options.MemtableBytesMax = 1 << 30
	w.mustOpen()
	var load []servedSpan
	for range 100 {
		load = append(load, servedSpan{service: "a", name: "x", kind: 2}, servedSpan{service: "b", name: "y", kind: 2, failed: true})
	}
	w.flushServed(load)
	for _, c := range []struct {
		service               string
		found, segments, some int64
	}{{"a", 0, 1, 0}, {"b", 100, 0, 1}} {
		q := span.AllTime()
		q.Service, q.Tags, q.Limit, q.Explain = c.service, []span.Tag{{Key: "error", Value: "true"}}, 1000, new(span.Explain)
		found, err := w.shard.Find(context.Background(), q)
		e := q.Explain.Explained()
		if err != nil || int64(len(found)) != c.found || e.SegmentsByTerms != c.segments || e.TemplatesMatched != c.some {
			t.Errorf("failed spans of %s: %d traces, %+v, %v", c.service, len(found), e, err)
		}
	}
}

// TestRowsAreDecidedByTheValueThatCounts: values that stand in columns decide for a row without its
// being read, but for those that are not the last of their key, or of which a column of another
// level or meaning knows.
func TestRowsAreDecidedByTheValueThatCounts(t *testing.T) {
	w := newWorld(t, 1, 2)
	w.options.MemtableBytesMax = 1 << 30
	w.mustOpen()
	attr := func(number int, key, value string) []byte {
		return field(number, field(1, []byte(key)), field(2, field(1, []byte(value))))
	}
	var load []servedSpan
	for i := range 600 {
		number := fmt.Sprint(i)
		load = append(load, servedSpan{service: "a", name: "x", kind: 2, fields: slices.Concat(
			attr(9, "order", "o"+number),
			attr(9, "twice", "first"+number), attr(9, "twice", "last"+number),
			attr(9, "otel.status_description", "d"+number), field(15, field(2, []byte("message "+number))),
			field(11, field(2, []byte("e")), attr(3, "order", "first"+number), attr(3, "order", "last"+number)),
		)})
	}
	w.flushServed(load)
	for tag, want := range map[span.Tag]struct{ found, read int64 }{
		{Key: "order", Value: "o77"}: {1, 0}, {Key: "order", Value: "first77"}: {0, 1}, {Key: "order", Value: "last77"}: {1, 1},
		{Key: "twice", Value: "first77"}: {0, 1}, {Key: "twice", Value: "last77"}: {1, 1},
		{Key: "otel.status_description", Value: "d77"}: {1, 600}, {Key: "otel.status_description", Value: "message 77"}: {1, 600},
	} {
		q := span.AllTime()
		q.Service, q.Tags, q.Explain = "a", []span.Tag{tag}, new(span.Explain)
		found, err := w.shard.Find(context.Background(), q)
		if read := q.Explain.Explained().RowsRead; err != nil || int64(len(found)) != want.found || read != want.read || len(w.model.Find(q)) != len(found) {
			t.Errorf("%v: %d traces, %d rows read, want %+v: %v", tag, len(found), read, want, err)
		}
	}
}
