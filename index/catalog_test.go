package index_test

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"
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

// TestACatalogOfTooManyOperationsSaysSo, in whatever order they come, and lists nothing.
func TestACatalogOfTooManyOperationsSaysSo(t *testing.T) {
	long := strings.Repeat("x", 1<<16)
	for _, c := range []struct {
		operations int
		name       string
		complete   bool
	}{{16_384, "", true}, {16_385, "", false}, {15, long, true}, {16, long, false}} {
		for _, backwards := range []bool{false, true} {
			catalog := index.NewCatalog()
			for i := range 2 * c.operations { // each twice
				i %= c.operations
				if backwards {
					i = c.operations - 1 - i
				}
				catalog.Add("service "+strconv.Itoa(i%7), c.name+strconv.Itoa(i), 1, 1)
			}
			decoded, err := index.DecodeCatalog(catalog.AppendBinary(nil))
			if err != nil {
				t.Fatal(err)
			}
			for _, got := range []*index.Catalog{catalog, decoded} {
				listed := len(got.Operations(""))
				if got.Complete() != c.complete || c.complete && listed != c.operations || !c.complete && listed+len(got.Services()) > 0 {
					t.Fatalf("of %d operations %d are listed, complete %v", c.operations, listed, got.Complete())
				}
			}
		}
	}
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
	f.Add([]byte{0x80, 0x80, 0x80, 0x80, 0x10})
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
