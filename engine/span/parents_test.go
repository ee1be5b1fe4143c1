package span_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/stoadb/stoa/engine/span"
)

// call is one span of a trace: its id, its parent's, its kind.
type call struct {
	id, parent byte
	kind       int32
}

func parentsOf(trace []call) []int32 {
	var ids, parents []span.SpanID
	var kinds []int32
	for _, c := range trace {
		ids = append(ids, span.SpanID{7: c.id})
		parents = append(parents, span.SpanID{7: c.parent})
		kinds = append(kinds, c.kind)
	}
	return span.ResolveParents(nil, ids, parents, kinds)
}

func TestParentsOfATrace(t *testing.T) {
	const client, server, internal = span.KindClient, span.KindServer, span.KindInternal
	for name, c := range map[string]struct {
		trace []call
		want  []int32
	}{
		"nothing":                            {nil, nil},
		"a root":                             {[]call{{1, 0, internal}}, []int32{span.NoParent}},
		"an orphan":                          {[]call{{1, 9, internal}}, []int32{span.Orphan}},
		"a chain, parent first and last":     {[]call{{1, 2, internal}, {2, 3, internal}, {3, 0, internal}}, []int32{1, 2, span.NoParent}},
		"two roots":                          {[]call{{1, 0, internal}, {2, 0, server}}, []int32{span.NoParent, span.NoParent}},
		"its own parent":                     {[]call{{1, 1, internal}}, []int32{span.Orphan}},
		"shared id: server under client":     {[]call{{1, 0, client}, {1, 0, server}}, []int32{span.NoParent, 0}},
		"shared id: server comes first":      {[]call{{1, 0, server}, {1, 0, client}}, []int32{1, span.NoParent}},
		"shared id: both name the parent":    {[]call{{9, 0, internal}, {1, 9, client}, {1, 9, server}}, []int32{span.NoParent, 0, 1}},
		"shared id: child of the server":     {[]call{{1, 0, client}, {1, 0, server}, {2, 1, internal}}, []int32{span.NoParent, 0, 1}},
		"shared id: child before the server": {[]call{{2, 1, internal}, {1, 0, client}, {1, 0, server}}, []int32{2, span.NoParent, 1}},
		"shared id: two servers":             {[]call{{1, 0, client}, {1, 0, server}, {1, 5, server}, {2, 1, client}}, []int32{span.NoParent, 0, 0, 1}},
		"shared id: two clients":             {[]call{{1, 0, client}, {1, 5, client}, {1, 0, server}}, []int32{span.NoParent, span.Orphan, 0}},
		"one id twice, no halves":            {[]call{{1, 0, internal}, {1, 0, internal}, {2, 1, internal}}, []int32{span.NoParent, span.NoParent, 0}},
		"one id twice, one a server":         {[]call{{1, 0, internal}, {1, 0, server}, {2, 1, internal}}, []int32{span.NoParent, span.NoParent, 1}},
		"a server alone keeps its parent":    {[]call{{1, 0, client}, {2, 1, server}}, []int32{span.NoParent, 0}},
		"a ring":                             {[]call{{1, 2, internal}, {2, 1, internal}}, []int32{1, 0}},
	} {
		if got := parentsOf(c.trace); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestParentsAreRowsOfTheTraceAndNeverTheSpanItself(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		trace := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) call {
			return call{byte(rapid.IntRange(1, 4).Draw(t, "id")), byte(rapid.IntRange(0, 5).Draw(t, "parent")), rapid.Int32Range(0, 5).Draw(t, "kind")}
		}), 0, 8).Draw(t, "trace")
		for i, parent := range parentsOf(trace) {
			switch {
			case parent == int32(i):
				t.Fatalf("row %d is its own parent in %v", i, trace)
			case parent == span.NoParent:
				if trace[i].parent != 0 {
					t.Fatalf("row %d of %v has no parent", i, trace)
				}
			case parent >= 0:
				if id := trace[parent].id; id != trace[i].parent && (id != trace[i].id || trace[i].kind != span.KindServer) {
					t.Fatalf("row %d of %v got parent %d", i, trace, parent)
				}
			}
		}
	})
}

func TestParentsReuseTheCallersMemory(t *testing.T) {
	dst := make([]int32, 5, 10)
	got := span.ResolveParents(dst, []span.SpanID{{1}}, []span.SpanID{{}}, []int32{0})
	if len(got) != 1 || &got[0] != &dst[0] {
		t.Error("grown though there was room")
	}
}
