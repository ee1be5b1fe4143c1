package engine_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// numbers is a request of spans, each of which has as many numbers that hardly come again.
func numbers(t *testing.T, spans, each int) []byte {
	t.Helper()
	random := rand.New(rand.NewPCG(5, 1))
	scope := &tracev1.ScopeSpans{}
	for i := range spans {
		one := &tracev1.Span{TraceId: fmt.Appendf(nil, "%016d", i), SpanId: fmt.Appendf(nil, "%08d", i), Name: "n", StartTimeUnixNano: 1}
		for key := range each {
			number := &commonv1.AnyValue{Value: &commonv1.AnyValue_IntValue{IntValue: random.Int64N(1 << 14)}}
			one.Attributes = append(one.Attributes, &commonv1.KeyValue{Key: fmt.Sprint(key), Value: number})
		}
		scope.Spans = append(scope.Spans, one)
	}
	raw, err := proto.Marshal(&tracev1.TracesData{ResourceSpans: []*tracev1.ResourceSpans{{ScopeSpans: []*tracev1.ScopeSpans{scope}}}})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestPartsCountWhatTheyTakeInMemory: what is counted is at least the request, and bounds what the batch takes in
// memory, whatever the spans are like, within what an entry may say.
func TestPartsCountWhatTheyTakeInMemory(t *testing.T) {
	more := 0
	check := func(name string, request []byte) {
		t.Helper()
		batch, _, err := otlp.Walk(request)
		if err != nil {
			t.Fatal(err)
		}
		batch = batch.Compact()
		counted := engine.CountedBytes(batch, len(request))
		// What a batch takes whatever it holds is counted elsewhere, for each part.
		if counted < len(request) || counted < batch.MemoryBytes() && batch.Len() > 100 {
			t.Errorf("%s: %d bytes are counted of a request of %d that takes %d", name, counted, len(request), batch.MemoryBytes())
		}
		if counted > len(request) {
			more++
		}
	}
	check("numbers", numbers(t, 500, 128))
	check("varied", enginetest.Varied(2000))
	check("long", enginetest.Long(0, 2000))
	check("wide", enginetest.Wide(1))
	for _, file := range []string{hotrod, nezha, nezhaLogs} {
		eachRequest(t, file, func(request []byte) { check(file, request) })
	}
	if more == 0 {
		t.Error("no request takes more memory than half of its bytes")
	}
	if most := engine.CountedBytes(&span.Batch{Text: make([]byte, 4*otlp.RequestBytesMax)}, 1); most != 4*otlp.RequestBytesMax {
		t.Errorf("%d bytes are counted, more than an entry may say", most)
	}
}
