package bench_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"math"
	"os"
	"slices"
	"testing"
	"time"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/stoadb/stoa/bench"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
	"github.com/stoadb/stoa/internal/codec"
)

const (
	begin  = uint64(1_767_225_600_000_000_000)
	second = uint64(time.Second)
)

// traceOf makes an id that is easy to know again.
func traceOf(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 16) }

func spanOf(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 8) }

// unknown are fields that no version of OTLP has, of every wire type, a group with a
// group in it among them. Their content looks like ids and times.
func unknown() []byte {
	var b []byte
	b = protowire.AppendVarint(protowire.AppendTag(b, 901, protowire.VarintType), math.MaxUint64)
	b = protowire.AppendFixed64(protowire.AppendTag(b, 902, protowire.Fixed64Type), begin)
	b = protowire.AppendFixed32(protowire.AppendTag(b, 903, protowire.Fixed32Type), 7)
	b = protowire.AppendBytes(protowire.AppendTag(b, 904, protowire.BytesType), traceOf(1))
	b = protowire.AppendTag(b, 905, protowire.StartGroupType)
	b = protowire.AppendTag(b, 1, protowire.StartGroupType)
	b = protowire.AppendBytes(protowire.AppendTag(b, 1, protowire.BytesType), traceOf(1))
	b = protowire.AppendTag(b, 1, protowire.EndGroupType)
	return protowire.AppendTag(b, 905, protowire.EndGroupType)
}

// small is two traces in three services with everything that is mapped and much that is
// not.
func small() *tracev1.TracesData {
	text := func(key, value string) *commonv1.KeyValue {
		return &commonv1.KeyValue{Key: key, Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: value}}}
	}
	data := &tracev1.TracesData{}
	for i, service := range []string{"shop", "till", "bank"} {
		scope := &tracev1.ScopeSpans{}
		for trace := 1; trace <= 2; trace++ {
			s := &tracev1.Span{
				TraceId: traceOf(trace), SpanId: spanOf(10*trace + i), Name: "work", Kind: tracev1.Span_SPAN_KIND_SERVER,
				StartTimeUnixNano: begin + uint64(trace+i)*second, EndTimeUnixNano: begin + uint64(trace+i+1)*second,
				Attributes: []*commonv1.KeyValue{text("id", string(traceOf(trace)[:7])), text("order", fmt.Sprint(trace))},
				Events:     []*tracev1.Span_Event{{TimeUnixNano: begin + second, Name: "sold"}, {Name: "without time"}},
				Links:      []*tracev1.Span_Link{{TraceId: traceOf(3 - trace), SpanId: spanOf(10 * (3 - trace))}},
				Status:     &tracev1.Status{Code: tracev1.Status_StatusCode(trace)},
			}
			if i > 0 {
				s.ParentSpanId = spanOf(10*trace + i - 1)
			}
			s.ProtoReflect().SetUnknown(unknown())
			s.Events[0].ProtoReflect().SetUnknown(unknown())
			s.Links[0].ProtoReflect().SetUnknown(unknown())
			scope.Spans = append(scope.Spans, s)
		}
		scope.ProtoReflect().SetUnknown(unknown())
		resource := &resourcev1.Resource{Attributes: []*commonv1.KeyValue{text("service.name", service)}}
		rs := &tracev1.ResourceSpans{Resource: resource, ScopeSpans: []*tracev1.ScopeSpans{scope}}
		rs.ProtoReflect().SetUnknown(unknown())
		data.ResourceSpans = append(data.ResourceSpans, rs)
	}
	data.ProtoReflect().SetUnknown(unknown())
	return data
}

func encoded(t testing.TB, data *tracev1.TracesData) []byte {
	t.Helper()
	request, err := proto.MarshalOptions{Deterministic: true}.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	return request
}

func decoded(t testing.TB, request []byte) *tracev1.TracesData {
	t.Helper()
	data := &tracev1.TracesData{}
	if err := proto.Unmarshal(request, data); err != nil {
		t.Fatal(err)
	}
	return data
}

func spansIn(data *tracev1.TracesData) (spans []*tracev1.Span) {
	for _, rs := range data.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			spans = append(spans, ss.Spans...)
		}
	}
	return spans
}

func hold(t testing.TB, requests iter.Seq2[[]byte, error]) [][]byte {
	t.Helper()
	held, err := bench.Hold(requests)
	if err != nil {
		t.Fatal(err)
	}
	return held
}

// amplify gives all requests of all copies.
func amplify(t testing.TB, a bench.Amplification, requests ...[]byte) [][]byte {
	t.Helper()
	return hold(t, bench.Amplify(a, bench.Held(requests)))
}

func hashOf(requests [][]byte) string {
	hash := sha256.New()
	for _, request := range requests {
		fmt.Fprintf(hash, "%d:", len(request))
		hash.Write(request)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// TestSameSeedSameBytes, today and tomorrow: figures of two days are of the same spans.
func TestSameSeedSameBytes(t *testing.T) {
	request := encoded(t, small())
	if got, want := hashOf([][]byte{request}), "29c30f7d8025b73458a5a5b8053631555318d397587a252ad45272aafd6c2b66"; got != want {
		t.Fatalf("the request of this test has changed: %s", got)
	}
	three := amplify(t, bench.Amplification{Times: 3, Seed: 8}, request)
	if got, want := hashOf(three), "51b73289c1b79f75583bee659a3e90ee9169c167d844d54c21634b91d373c34f"; got != want {
		t.Errorf("three copies: %s, not %s", got, want)
	}
	if again := amplify(t, bench.Amplification{Times: 3, Seed: 8}, request); hashOf(again) != hashOf(three) {
		t.Error("the same seed gave other bytes")
	}
	if other := amplify(t, bench.Amplification{Times: 3, Seed: 9}, request); hashOf(other) == hashOf(three) {
		t.Error("another seed gave the same bytes")
	}
	if !bytes.Equal(three[0], request) {
		t.Error("copy 0 is not the recording")
	}
}

// TestOnlyIdsAndTimesChange: with those put back, a copy is the original, unknown fields
// and all; and they changed as promised.
func TestOnlyIdsAndTimesChange(t *testing.T) {
	original := small()
	request := encoded(t, original)
	const length = 4 * second // from the first start to the last end
	copies := amplify(t, bench.Amplification{Times: 3, Seed: 8}, request)
	for k, own := range copies {
		if len(own) != len(request) {
			t.Fatalf("copy %d has %d bytes, the original %d", k, len(own), len(request))
		}
		data := decoded(t, own)
		traces, spans := map[string]string{}, map[string]string{}
		back := func(into map[string]string, id *[]byte, was []byte) {
			if known, ok := into[string(was)]; ok && known != string(*id) {
				t.Errorf("copy %d: id %x became %x and %x", k, was, known, *id)
			}
			if (k > 0) == bytes.Equal(*id, was) {
				t.Errorf("copy %d: id %x became %x", k, was, *id)
			}
			into[string(was)], *id = string(*id), was
		}
		later := func(at *uint64, was uint64) {
			if want := was + uint64(k)*(length+second); *at != want {
				t.Errorf("copy %d: time %d became %d, not %d", k, was, *at, want)
			}
			*at = was
		}
		for i, s := range spansIn(data) {
			was := spansIn(original)[i]
			back(traces, &s.TraceId, was.TraceId)
			back(spans, &s.SpanId, was.SpanId)
			if len(was.ParentSpanId) > 0 {
				back(spans, &s.ParentSpanId, was.ParentSpanId)
			}
			later(&s.StartTimeUnixNano, was.StartTimeUnixNano)
			later(&s.EndTimeUnixNano, was.EndTimeUnixNano)
			later(&s.Events[0].TimeUnixNano, was.Events[0].TimeUnixNano)
			back(traces, &s.Links[0].TraceId, was.Links[0].TraceId)
			back(spans, &s.Links[0].SpanId, was.Links[0].SpanId)
		}
		if !proto.Equal(data, original) || !bytes.Equal(encoded(t, data), request) {
			t.Errorf("copy %d differs in more than ids and times", k)
		}
	}
}

// TestZeroAndOddIdsStay: a root without parent, a time that was never taken, a padded
// 64-bit trace id; ids of no legal length are not touched.
func TestZeroAndOddIdsStay(t *testing.T) {
	short := []byte{0xa, 0xb, 0xc, 0xd, 0xe, 0xf, 1, 2}
	padded := append(make([]byte, 8), short...)
	zeros := &tracev1.Span{TraceId: make([]byte, 16), SpanId: make([]byte, 8), ParentSpanId: make([]byte, 8), Events: []*tracev1.Span_Event{{}}}
	odd := &tracev1.Span{TraceId: []byte{1, 2, 3}, SpanId: traceOf(4), ParentSpanId: []byte{5}}
	scope := &tracev1.ScopeSpans{Spans: []*tracev1.Span{zeros, odd, {TraceId: padded, SpanId: spanOf(1)}, {TraceId: short, SpanId: spanOf(2)}}}
	data := &tracev1.TracesData{ResourceSpans: []*tracev1.ResourceSpans{{ScopeSpans: []*tracev1.ScopeSpans{scope}}}}
	spans := spansIn(decoded(t, amplify(t, bench.Amplification{Times: 2, Seed: 1}, encoded(t, data))[1]))
	for i, want := range []*tracev1.Span{zeros, odd} {
		if !proto.Equal(spans[i], want) {
			t.Errorf("span %d became %v", i, spans[i])
		}
	}
	if got := spans[2].TraceId; !bytes.Equal(got[:8], padded[:8]) || bytes.Equal(got, padded) {
		t.Errorf("the padded id became %x", got)
	}
	if !bytes.Equal(spans[2].TraceId[8:], spans[3].TraceId) {
		t.Errorf("the same id, padded and short, became %x and %x", spans[2].TraceId, spans[3].TraceId)
	}
}

// TestOrderOfCopies: one after the other, or request by request; a gap that is given
// counts.
func TestOrderOfCopies(t *testing.T) {
	names := []string{"a0", "a1", "b0"}
	requests := make([][]byte, len(names))
	for i, name := range names {
		data := small()
		data.ResourceSpans = data.ResourceSpans[:1]
		spansIn(data)[0].Name = name
		requests[i] = encoded(t, data)
	}
	read := func(a bench.Amplification) (order []string) {
		for _, request := range hold(t, bench.Amplify(a, bench.Held(requests[:2]), bench.Held(requests[2:]))) {
			s := spansIn(decoded(t, request))[0]
			order = append(order, fmt.Sprintf("%s+%d", s.Name, (s.StartTimeUnixNano-begin)/second))
		}
		return order
	}
	after := []string{"a0+1", "a1+1", "b0+1", "a0+11", "a1+11", "b0+11", "a0+21", "a1+21", "b0+21"}
	if got := read(bench.Amplification{Times: 3, Gap: 10 * time.Second}); !slices.Equal(got, after) {
		t.Errorf("one after the other: %v", got)
	}
	between := []string{"a0+1", "a0+11", "a0+21", "a1+1", "a1+11", "a1+21", "b0+1", "b0+11", "b0+21"}
	if got := read(bench.Amplification{Times: 3, Gap: 10 * time.Second, Interleave: true}); !slices.Equal(got, between) {
		t.Errorf("interleaved: %v", got)
	}
	if got := read(bench.Amplification{}); got != nil {
		t.Errorf("no copies: %v", got)
	}
	count := 0
	for range bench.Amplify(bench.Amplification{Times: 3, Interleave: true}, bench.Held(requests)) {
		if count++; count == 4 {
			break // in the middle of a request's copies
		}
	}
}

// TestDamageIsTold: cut at every byte, every bit flipped, times that cannot be moved.
func TestDamageIsTold(t *testing.T) {
	request := encoded(t, small())
	try := func(what string, damaged []byte) {
		t.Helper()
		held, err := bench.Hold(bench.Amplify(bench.Amplification{Times: 2, Seed: 3}, bench.Held([][]byte{damaged})))
		switch {
		case err != nil && !errors.Is(err, codec.ErrCorrupt):
			t.Fatalf("%s: %v", what, err)
		case err == nil && len(held[1]) != len(damaged):
			t.Fatalf("%s: the copy has %d bytes, not %d", what, len(held[1]), len(damaged))
		}
	}
	for cut := range request {
		try(fmt.Sprintf("cut at %d", cut), request[:cut])
	}
	for bit := range 8 * len(request) {
		flipped := slices.Clone(request)
		flipped[bit/8] ^= 1 << (bit % 8)
		try(fmt.Sprintf("bit %d", bit), flipped)
	}
	for _, a := range []bench.Amplification{{Times: 2, Gap: math.MaxInt64}, {Times: 20, Gap: math.MaxInt64}} {
		_, err := bench.Hold(bench.Amplify(a, bench.Held([][]byte{request})))
		if !errors.Is(err, codec.ErrCorrupt) {
			t.Errorf("%d gaps of 292 years: %v", a.Times-1, err)
		}
	}
	deep := bytes.Repeat(protowire.AppendTag(nil, 1, protowire.StartGroupType), 1000)
	if _, err := bench.CountSpans(deep); !errors.Is(err, codec.ErrCorrupt) {
		t.Errorf("groups a thousand deep: %v", err)
	}
	broken := func(yield func([]byte, error) bool) { yield(nil, os.ErrInvalid) }
	for _, a := range []bench.Amplification{{Times: 1}, {Times: 2}} {
		if _, err := bench.Hold(bench.Amplify(a, broken)); !errors.Is(err, os.ErrInvalid) {
			t.Errorf("a recording that cannot be read: %v", err)
		}
	}
}

// FuzzAmplify: no bytes make it panic, and lengths never change.
func FuzzAmplify(f *testing.F) {
	f.Add(encoded(f, small()))
	f.Add(unknown())
	f.Fuzz(func(t *testing.T, request []byte) {
		before := slices.Clone(request)
		held, err := bench.Hold(bench.Amplify(bench.Amplification{Times: 2, Seed: 3}, bench.Held([][]byte{request})))
		if !bytes.Equal(before, request) {
			t.Fatal("the recording itself was changed")
		}
		if err == nil && (len(held) != 2 || len(held[1]) != len(request)) {
			t.Fatalf("%d copies", len(held)-1)
		}
	})
}

// shape is what a copy is, apart from its ids and when it was: spans in order of arrival,
// each with numbers for its trace, itself and its parent, in the order in which ids are
// first seen, and its times against the earliest.
func shape(t *testing.T, requests [][]byte) (spans []string, ids map[span.TraceID]bool) {
	t.Helper()
	traces, numbers := map[span.TraceID]int{}, map[span.SpanID]int{{}: 0}
	number := func(id span.SpanID) int {
		if _, ok := numbers[id]; !ok {
			numbers[id] = len(numbers)
		}
		return numbers[id]
	}
	first := uint64(math.MaxUint64)
	var batches []*span.Batch
	for _, request := range requests {
		batch, _, err := otlp.Walk(request)
		if err != nil {
			t.Fatal(err)
		}
		batches = append(batches, batch)
		low, _ := batch.Bounds()
		first = min(first, low)
	}
	ids = map[span.TraceID]bool{}
	for _, batch := range batches {
		for pos := range batch.Len() {
			row := span.Row{Batch: batch, Pos: pos}
			if _, ok := traces[row.TraceID()]; !ok {
				traces[row.TraceID()] = len(traces)
			}
			ids[row.TraceID()] = true
			spans = append(spans, fmt.Sprint(traces[row.TraceID()], number(row.SpanID()), number(row.ParentID()),
				row.Start()-first, row.End()-row.Start(), string(row.Service()), string(row.Name()), row.Kind(), row.StatusCode(), len(row.AppendAttrs(nil))))
		}
	}
	return spans, ids
}

// TestEveryCopyIsTheSameSystem: spans, services, parents and the structure of each trace
// of real traces are those of the recording, and no two copies share a trace.
func TestEveryCopyIsTheSameSystem(t *testing.T) {
	for _, name := range []string{"HotROD", "TrainTicket-logs", "Zipkin"} {
		t.Run(name, func(t *testing.T) {
			requests := hold(t, bench.Requests(recorded(t, name)...))
			requests = requests[:min(len(requests), map[string]int{"HotROD": 150}[name]+4)]
			const times = 3
			copies := amplify(t, bench.Amplification{Times: times, Seed: 8}, requests...)
			want, _ := shape(t, requests)
			taken := map[span.TraceID]bool{}
			for k := range times {
				got, ids := shape(t, copies[k*len(requests):][:len(requests)])
				if !slices.Equal(got, want) {
					t.Errorf("copy %d is another system", k)
				}
				for id := range ids {
					if taken[id] {
						t.Errorf("copy %d has trace %v once more", k, id)
					}
					taken[id] = true
				}
			}
		})
	}
}

// BenchmarkAmplify is what re-keying costs the sender, in bytes a second.
func BenchmarkAmplify(b *testing.B) {
	for _, name := range []string{"HotROD", "TrainTicket"} {
		b.Run(name, func(b *testing.B) {
			requests := hold(b, bench.Requests(recorded(b, name)...))
			bytes := 0
			for _, request := range requests {
				bytes += len(request)
			}
			b.SetBytes(2 * int64(bytes))
			for b.Loop() {
				for _, err := range bench.Amplify(bench.Amplification{Times: 2, Gap: time.Hour}, bench.Held(requests)) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
