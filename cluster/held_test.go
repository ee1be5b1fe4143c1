package cluster_test

import (
	"context"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
)

// writeSized writes spans in requests of a MiB.
func writeSized(t *testing.T, s *cluster.Store, list []enginetest.Sized) {
	t.Helper()
	begin, bytes := 0, 0
	for i, one := range list {
		if bytes += one.Bytes + 100; bytes > 1<<20 || i == len(list)-1 {
			write(t, s, enginetest.SizedPayload(list[begin:i+1]...))
			begin, bytes = i+1, 0
		}
	}
}

// traces are n spans of as many traces, each a millisecond after the one before.
func traces(n, bytes int) []enginetest.Sized {
	list := make([]enginetest.Sized, n)
	for i := range list {
		list[i] = enginetest.Sized{Trace: i, At: uint64(i) * 1_000_000, Bytes: bytes}
	}
	return list
}

// copies are n spans of one key.
func copies(n, bytes int) []enginetest.Sized {
	list := make([]enginetest.Sized, n)
	for i := range list {
		list[i] = enginetest.Sized{Copy: i, Bytes: bytes}
	}
	return list
}

func heapBytes() int64 {
	runtime.GC()
	runtime.GC() // what pools keep is let go of in two
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestAReaderOfSpansThatStopsHoldsFewMiB, whatever the page: of large spans, of large ones with
// one key, of many small ones. Pages of segments that a first search opened stay open, and are
// no part of it.
func TestAReaderOfSpansThatStopsHoldsFewMiB(t *testing.T) {
	for name, spans := range map[string][]enginetest.Sized{
		"large": traces(120, 120_000), "very large": traces(9, 3_000_000), "one key": copies(45, 300_000), "small": traces(25_000, 6),
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name != "large" {
				t.Skip("SKIP: the rooms that are held are the same, and more bytes of them")
			}
			o := small(vfs.NewCrash(1))
			o.Shards, o.MemtableBytesMax = 4, 0
			s := open(t, o)
			writeSized(t, s, spans)
			if err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			q := span.SpanQuery{Query: span.AllTime(), Order: span.FullOrder(nil)}
			q.Limit = span.SpansFoundMax
			var before, held int64
			for _, isWarm := range []bool{false, true} {
				before = heapBytes()
				n := 0
				_, err := s.FindSpans(context.Background(), q, func(span.FoundSpan) error {
					if isWarm && n%8 == 0 && n < 200 {
						held = max(held, heapBytes()-before)
					}
					n++
					return nil
				})
				if err != nil || n != min(len(spans), q.Limit) {
					t.Fatalf("%d spans, %v", n, err)
				}
			}
			if held > 6<<20 {
				t.Errorf("%.1f MiB are held while the reader waits", float64(held)/(1<<20))
			}
		})
	}
}

// TestLargeSpansComeOnce, whatever the page: those of one key among those of others, in pages as
// long as asked for. Small ones of that key are read last, and would fit where larger ones before
// them had to be given up.
func TestLargeSpansComeOnce(t *testing.T) {
	spans := slices.Concat(copies(24, 300_000), traces(60, 300_000)[1:])
	for i := range 20 {
		spans = append(spans, enginetest.Sized{Copy: 24 + i, Bytes: 230 + i})
	}
	o := small(vfs.NewCrash(1))
	o.Shards, o.MemtableBytesMax = 2, 0
	s := open(t, o)
	writeSized(t, s, spans)
	limits := []int{3, 24, 50, len(spans), 1000}
	if testing.Short() {
		limits = []int{24, 1000}
	}
	for _, limit := range limits {
		q := span.SpanQuery{Query: span.AllTime(), Order: span.FullOrder(nil)}
		q.Limit = limit
		got := walkSpans(t, s, q, func() {})
		seen := make(map[found]bool)
		for _, one := range got {
			seen[one] = true
		}
		if len(got) != len(spans) || len(seen) != len(spans) {
			t.Errorf("pages of %d: %d spans, %d of them different, want %d", limit, len(got), len(seen), len(spans))
		}
	}
}

// forgetful opens a store that forgets what it took two hours ago by a clock of its own; beat lets
// it look.
func forgetful(t *testing.T) (s *cluster.Store, clock *atomic.Int64, beat func()) {
	t.Helper()
	beats := make(chan time.Time)
	o := small(vfs.NewCrash(1))
	o.Heartbeat, o.Retention, o.MemtableBytesMax = beats, 2*time.Hour, 0
	clock = new(atomic.Int64) // unix nanoseconds
	clock.Store(time.Unix(1_800_000_000, 0).UnixNano())
	o.Now = func() time.Time { return time.Unix(0, clock.Load()) }
	return open(t, o), clock, func() { beats <- o.Now() }
}

// TestAPageWhoseSpansRetentionTookGoesOn: the keys of a page are known before its spans are read,
// and what is behind them is not lost where some are gone by then.
func TestAPageWhoseSpansRetentionTookGoesOn(t *testing.T) {
	s, clock, beat := forgetful(t)
	settle := func(spans []enginetest.Sized) {
		writeSized(t, s, spans)
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	all := traces(500, 10) // the search shows the last first
	settle(all[150:230])
	clock.Add(int64(90 * time.Minute))
	settle(slices.Concat(all[:150], all[230:]))
	left := func() int {
		n := 0
		if err := s.Spans(t.Context(), span.AllTime(), func(span.Row) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	q := span.SpanQuery{Query: span.AllTime(), Order: span.FullOrder(nil)}
	q.Limit = 340
	got := 0
	var last span.SpanPlace
	more, err := s.FindSpans(t.Context(), q, func(f span.FoundSpan) error {
		if got == 0 {
			clock.Add(int64(90 * time.Minute))
			waitUntil(t, "retention has dropped the old spans", func() bool {
				beat()
				return left() == 420
			})
		}
		got++
		last = f.SpanPlace
		return nil
	})
	if err != nil || !more || got >= q.Limit {
		t.Fatalf("%d spans, more %v, %v: want fewer than %d, and more", got, more, err, q.Limit)
	}
	q.Behind = &last
	rest := walkSpans(t, s, q, func() {})
	if len(rest) < 150 {
		t.Errorf("%d spans behind those that retention took, want 150", len(rest))
	}
}

// dropping is a context that drops something when it is asked for the second time whether it ends:
// when the spans of a page are read, and their keys are known.
type dropping struct {
	context.Context
	asked *int
	drop  func()
}

func (d dropping) Done() <-chan struct{} {
	if *d.asked++; *d.asked == 2 {
		d.drop()
	}
	return d.Context.Done()
}

// TestAPageOfWhichRetentionTookAllGoesOn to what stands behind it: a walk would end there
// otherwise.
func TestAPageOfWhichRetentionTookAllGoesOn(t *testing.T) {
	s, clock, beat := forgetful(t)
	all := traces(500, 10) // the search shows the last first
	for i, part := range [][]enginetest.Sized{all[400:], all[:400]} {
		clock.Add(int64(i) * int64(90*time.Minute))
		writeSized(t, s, part)
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	left := func() (n int) {
		if err := s.Spans(t.Context(), span.AllTime(), func(span.Row) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	q := span.SpanQuery{Query: span.AllTime(), Order: span.FullOrder(nil)}
	q.Limit = 20
	got, asked := 0, 0
	ctx := dropping{context.Background(), &asked, func() { // whose Done is asked once by each who derives from it
		clock.Add(int64(90 * time.Minute))
		waitUntil(t, "retention has dropped the spans of the first page", func() bool {
			beat()
			return left() == 400
		})
	}}
	more, err := s.FindSpans(ctx, q, func(span.FoundSpan) error { got++; return nil })
	if err != nil || !more || got != 20 || asked < 2 {
		t.Errorf("%d spans, more %v, %v, with %d looks: want 20 of the 400 that are left, and more", got, more, err, asked)
	}
}
