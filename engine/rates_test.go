package engine_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
)

// checkRates compares what the shard counts with what the model counts, span by span: by cells
// and by every row.
func (w *world) checkRates(q span.RateQuery) {
	w.t.Helper()
	want := map[enginetest.RateOf]counted{}
	for of, r := range w.model.Rates(q) {
		want[of] = countedOf(r)
	}
	for _, q.Scan = range []bool{false, true} {
		rates := span.NewRates()
		if err := w.shard.Rates(context.Background(), q, rates); err != nil {
			w.t.Fatalf("rates %+v: %v", q, err)
		}
		got := map[enginetest.RateOf]counted{}
		for _, r := range rates.Sorted() {
			got[enginetest.RateOf{Operation: r.Operation, Start: r.Start}] = counted{r.Spans, r.Errors, r.Durations.Total(), sizes(&r.Durations)}
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(counted{})); diff != "" {
			w.t.Fatalf("rates %+v (-want +got):\n%s", q, diff)
		}
	}
}

func sizes(d *span.Durations) (text string) {
	d.Each(func(least, _, n uint64) { text += fmt.Sprintf("%d:%d ", least, n) })
	return text
}

// More operations and steps than an answer may have are refused, not cut.
func TestTooManyRatesAreRefused(t *testing.T) {
	w := newWorld(t, 3, 3)
	w.mustOpen()
	for i := range span.RatesMax/5000 + 1 {
		var request []byte
		for j := range 5000 {
			request = append(request, enginetest.Numbered(5000*i+j)...)
		}
		w.apply(request)
	}
	err := w.shard.Rates(context.Background(), span.RateQuery{StartMax: 1<<64 - 1}, span.NewRates())
	if !errors.Is(err, span.ErrTooMuch) {
		t.Errorf("error %v", err)
	}
	rates := span.NewRates()
	if err := w.shard.Rates(context.Background(), span.RateQuery{StartMax: 1<<64 - 1, Service: "nobody"}, rates); err != nil || len(rates.Sorted()) != 0 {
		t.Errorf("%d rates of nobody, %v", len(rates.Sorted()), err)
	}
}
