package api_test

import (
	"context"
	"slices"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/api/pb/expressionv1"
	"github.com/stoadb/stoa/api/pb/storagev2"
	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
	"github.com/stoadb/stoa/wal"
)

// FuzzFilter sends any filter to the real store, which holds the corpus. Either it is
// refused as invalid before the store sees it, or it is answered as the slow evaluator of
// the rules does: nothing lies between.
func FuzzFilter(f *testing.F) {
	for _, table := range [][]filterCase{combinators, levels, comparisons, orderings, texts, quantified, fieldCases} {
		for _, c := range table {
			seed, err := proto.Marshal(c.filter.GetCall())
			if err != nil {
				f.Fatal(err)
			}
			f.Add(seed)
		}
	}
	store, err := cluster.Open(context.Background(), cluster.Options{FS: vfs.NewCrash(1), Shards: 2, ReserveBytes: -1, Log: wal.Options{FileBytes: 1 << 20}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = store.Close(context.Background()) })
	model := enginetest.NewModel()
	if _, err := model.Add(requestOf(f, corpus()...)); err != nil {
		f.Fatal(err)
	}
	var asked *span.Query
	server := start(f, &scripted{write: store.Write, find: func(ctx context.Context, q span.Query) ([]span.Found, error) {
		asked = &q
		return store.Find(ctx, q)
	}}, api.Options{})
	export(f, server, corpus()...)
	reader := storagev2.NewTraceReaderClient(server.connection)
	f.Fuzz(func(t *testing.T, message []byte) {
		filter := &expressionv1.Call{}
		if proto.Unmarshal(message, filter) != nil {
			return
		}
		asked = nil
		answer, err := reader.FindTraceIDs(t.Context(), &storagev2.FindTraceIDsRequest{Query: &storagev2.TraceQueryParameters{Filter: filter}})
		if err != nil {
			if status.Code(err) != codes.InvalidArgument || asked != nil {
				t.Fatalf("%v: %v, store asked: %v", filter, err, asked != nil)
			}
			return
		}
		want := model.Find(*asked)
		if len(want) != len(answer.GetTraceIds()) {
			t.Fatalf("%v: %d traces, want %d", asked.Filter, len(answer.GetTraceIds()), len(want))
		}
		for i, found := range answer.GetTraceIds() {
			if !slices.Equal(found.GetTraceId(), want[i].TraceID[:]) {
				t.Fatalf("%v: trace %d is %x, want %v", asked.Filter, i, found.GetTraceId(), want[i].TraceID)
			}
		}
	})
}

// TestTheClientSpellsFilters: what a caller of the client asks is what the server reads.
func TestTheClientSpellsFilters(t *testing.T) {
	var got span.Query
	server := start(t, &scripted{find: func(_ context.Context, q span.Query) ([]span.Found, error) {
		got = q
		return nil, nil
	}}, api.Options{})
	key := span.Attribute{Unqualified: true, Key: "k"}
	for _, f := range []span.Filter{
		span.And{Parts: []span.Filter{span.Exists{Reference: span.SpanKind}, span.Not{Part: span.Exists{Reference: key}}}},
		span.Or{Parts: []span.Filter{span.Exists{Reference: span.LinkTraceState}, span.Exists{Reference: span.Attribute{Level: span.ScopeLevel, Key: "käse"}}}},
		span.Some{Level: span.LinkLevel, Part: span.Comparison{Op: span.GreaterOrEqual, Left: span.Attribute{Level: span.LinkLevel, Key: "k"}, Right: span.OfInt(-5)}},
		span.Comparison{Op: span.Equal, Left: key, Right: span.Untyped("2.5")},
		span.Comparison{Op: span.NotEqual, Left: span.OfDouble(0.1), Right: key},
		span.Comparison{Op: span.Equal, Left: key, Right: span.OfBool(true)},
		span.Comparison{Op: span.Less, Left: span.SpanDuration, Right: span.OfDuration(-1_500_000_001)},
		span.Comparison{Op: span.Greater, Left: span.SpanEndTime, Right: span.OfInstant(1_767_225_600, 123_456_789)},
		span.Comparison{Op: span.LessOrEqual, Left: span.SpanStartTime, Right: span.EventTime},
		span.In{Reference: span.SpanStatus, Values: []span.Constant{span.OfString("ok"), span.OfString("error")}},
		span.In{Reference: span.EventTimeSinceStart, Values: []span.Constant{span.OfDuration(0), span.OfDuration(5)}},
		span.NotIn{Reference: key, Values: []span.Constant{span.OfDouble(1), span.OfDouble(1e300)}},
		span.NotIn{Reference: key, Values: []span.Constant{span.Untyped("a"), span.Untyped("1")}},
		span.Regex{Reference: span.ResourceService, Pattern: "a|b"},
		span.Phrase{Attribute: key, Words: []string{"a", "b"}},
		span.FullText{Attribute: key, Words: []string{"a"}},
		span.Tag{Key: "error", Value: "true"},
		span.Not{Part: span.Tag{Key: "k", Value: ""}},
	} {
		q := span.AllTime()
		q.Filter = f
		if _, err := server.FindTraceIDs(t.Context(), q); err != nil || got.Filter.String() != f.String() {
			t.Errorf("sent %v, read %v, %v", f, got.Filter, err)
		}
	}
	// The wire has one type for a list.
	for text, values := range map[string][]span.Constant{
		`or(in(attr("k"), [int(1), int(2)]), in(attr("k"), ["1"]))`: {span.OfInt(1), span.Untyped("1"), span.OfInt(2)},
		`or(in(attr("k"), [bool(true)]), in(attr("k"), ["a"]))`:     {span.OfBool(true), span.Untyped("a")},
	} {
		q := span.AllTime()
		q.Filter = span.In{Reference: key, Values: values}
		if _, err := server.FindTraceIDs(t.Context(), q); err != nil || got.Filter.String() != text {
			t.Errorf("sent %v, read %v, %v", q.Filter, got.Filter, err)
		}
	}
	for _, f := range []span.Filter{
		span.And{Parts: []span.Filter{nil, nil}},
		span.Not{},
		span.In{Reference: key},
	} {
		q := span.AllTime()
		q.Filter = f
		if _, err := server.FindTraceIDs(t.Context(), q); err == nil {
			t.Errorf("%v was read as %v", f, got.Filter)
		}
	}
}
