package cluster_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
)

// samePaths asks for some paths and compares them, in their order, with the slow model's.
func samePaths(t testing.TB, s *cluster.Store, m *enginetest.Model, g *enginetest.Generator) {
	t.Helper()
	for range 4 {
		q := g.PathQuery(m)
		paths, err := s.Paths(context.Background(), q)
		if err != nil {
			t.Fatalf("Paths %+v: %v", q, err)
		}
		byKey, deeper := m.Paths(q)
		want := slices.SortedFunc(maps.Values(byKey), func(a, b span.Path) int {
			return cmp.Or(cmp.Compare(b.Calls, a.Calls), slices.CompareFunc(a.Hops, b.Hops, func(x, y span.Hop) int {
				return cmp.Or(cmp.Compare(x.Service, y.Service), cmp.Compare(x.Name, y.Name))
			}))
		})
		for _, n := range []int{0, 3, len(want), len(want) + 1} {
			want := want[:min(n, len(want))]
			if got := paths.First(n); fmt.Sprint(got) != fmt.Sprint(want) || paths.Deeper != deeper || paths.Len() != len(byKey) {
				t.Fatalf("the first %d of %d paths %+v:\n%v, want\n%v", n, len(byKey), q, got, want)
			}
		}
	}
}
