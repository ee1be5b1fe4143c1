package span_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stoadb/stoa/engine/span"
)

// walk counts a leaf behind the hops.
func walk(t *testing.T, p *span.Paths, in span.Found, hops ...string) {
	t.Helper()
	var place span.PathPlace
	for _, service := range hops {
		var err error
		if place, err = p.Next(place, span.Hop{Service: service, Name: "n"}); err != nil {
			t.Fatal(err)
		}
	}
	p.Count(place, in)
}

// What several gathered adds up to what one would have, whichever trace each one saw and in
// whatever order they are added: counts, examples, cut paths, leaves too deep.
func TestGatheredPathsAddUp(t *testing.T) {
	long := strings.Fields(strings.Repeat("x y z ", span.PathHopsMax/3+1))
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 7))
		whole := span.NewPaths()
		parts := []*span.Paths{span.NewPaths(), span.NewPaths(), span.NewPaths()}
		for trace := range 60 {
			part := parts[r.IntN(len(parts))]
			for range 1 + r.IntN(6) {
				in := span.Found{TraceID: span.TraceID{byte(trace)}, Start: uint64(r.IntN(30))}
				hops := long[:[]int{1, 2, 3, span.PathHopsMax - 1, span.PathHopsMax, span.PathHopsMax + 1}[r.IntN(6)]]
				walk(t, whole, in, hops...)
				walk(t, part, in, hops...)
				if r.IntN(4) == 0 {
					whole.Deeper++
					part.Deeper++
				}
			}
		}
		sum := span.NewPaths()
		for _, i := range r.Perm(len(parts)) {
			if err := sum.AddAll(parts[i]); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(whole.First(100), sum.First(100)); diff != "" || sum.Deeper != whole.Deeper || sum.Len() != 6 {
			t.Fatalf("seed %d: %d paths, %d deeper, want %d (-whole +sum):\n%s", seed, sum.Len(), sum.Deeper, whole.Deeper, diff)
		}
	}
}

// Long names are refused before they fill the memory, and so is a sum.
func TestPathsHaveABoundInBytes(t *testing.T) {
	one, other := span.NewPaths(), span.NewPaths()
	name := strings.Repeat("n", span.PathBytesMax/8)
	fill := func(p *span.Paths, prefix string) (n int, err error) {
		for ; err == nil && n < 5; n++ {
			_, err = p.Next(span.PathPlace{}, span.Hop{Service: fmt.Sprint(prefix, n), Name: name})
		}
		return n, err
	}
	if n, err := fill(one, "a"); err != nil {
		t.Fatalf("%d names: %v", n, err)
	}
	if n, err := fill(other, "b"); err != nil {
		t.Fatalf("%d names: %v", n, err)
	}
	if err := one.AddAll(other); !errors.Is(err, span.ErrTooMuch) {
		t.Errorf("10 eighths of the bound: %v", err)
	}
}
