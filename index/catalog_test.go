package index_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/index"
	"github.com/stoadb/stoa/internal/codec"
)

// counted draws operations with counts, as odd as names can be.
func counted() *rapid.Generator[map[span.Operation]uint64] {
	text := rapid.OneOf(rapid.SampledFrom([]string{"", "shop", "cart", "\xff\x00"}), rapid.String())
	return rapid.MapOf(rapid.Custom(func(t *rapid.T) span.Operation {
		return span.Operation{Service: text.Draw(t, "service"), Name: text.Draw(t, "name"), Kind: rapid.Int32().Draw(t, "kind")}
	}), rapid.Uint64Range(1, 1<<40))
}

func catalogOf(counts map[span.Operation]uint64) *index.Catalog {
	c := index.NewCatalog()
	for o, spans := range counts {
		c.Add(o.Service, o.Name, o.Kind, spans-spans/2)
		if spans > 1 {
			c.Add(o.Service, o.Name, o.Kind, spans/2)
		}
	}
	return c
}

func countsOf(c *index.Catalog) map[span.Operation]uint64 {
	counts := map[span.Operation]uint64{}
	for _, o := range c.Operations("") {
		counts[o] = c.Spans(o)
	}
	return counts
}

func TestTheCatalogCountsEachOperation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		counts := counted().Draw(t, "counts")
		c := catalogOf(counts)
		if diff := cmp.Diff(counts, countsOf(c)); diff != "" {
			t.Fatal(diff)
		}
		services := map[string]bool{}
		for o := range counts {
			services[o.Service] = true
		}
		if got := c.Services(); len(got) != len(services) || !slices.IsSorted(got) {
			t.Fatalf("%d services, %d expected, sorted", len(got), len(services))
		}
		for service := range services {
			operations := c.Operations(service)
			for _, o := range operations {
				if service != "" && o.Service != service || counts[o] == 0 {
					t.Fatalf("%+v is answered for %q", o, service)
				}
			}
			if len(operations) == 0 {
				t.Fatalf("service %q has no operation", service)
			}
		}
	})
}

func TestMergedCatalogsCountBoth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one, other := counted().Draw(t, "one"), counted().Draw(t, "other")
		c := catalogOf(one)
		c.Merge(catalogOf(other))
		for o, spans := range other {
			one[o] += spans
		}
		if diff := cmp.Diff(one, countsOf(c)); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestTheCatalogComesBackFromItsBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		counts := counted().Draw(t, "counts")
		data := catalogOf(counts).AppendBinary([]byte("before"))[6:]
		if again := catalogOf(counts).AppendBinary(nil); !bytes.Equal(data, again) {
			t.Fatal("equal catalogs have different bytes")
		}
		c, err := index.DecodeCatalog(data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(counts, countsOf(c)); diff != "" {
			t.Fatal(diff)
		}
		for cut := range len(data) {
			if _, err := index.DecodeCatalog(data[:cut]); !errors.Is(err, codec.ErrCorrupt) {
				t.Fatalf("cut to %d of %d bytes: %v", cut, len(data), err)
			}
		}
	})
}

func FuzzDecodeCatalog(f *testing.F) {
	c := index.NewCatalog()
	c.Add("shop", "GET /cart", span.KindServer, 3)
	c.Add("", "", -1, 1)
	f.Add(c.AppendBinary(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := index.DecodeCatalog(data)
		if err != nil {
			if !errors.Is(err, codec.ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		if _, err := index.DecodeCatalog(c.AppendBinary(nil)); err != nil {
			t.Fatal(err)
		}
	})
}
