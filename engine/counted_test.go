package engine_test

import (
	"testing"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

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
		if counted < len(request) || counted < batch.MemoryBytes() && batch.Len() > 100 {
			t.Errorf("%s: %d bytes are counted of a request of %d that takes %d", name, counted, len(request), batch.MemoryBytes())
		}
		if counted > len(request) {
			more++
		}
	}
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
