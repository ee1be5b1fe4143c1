package segment_test

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
)

// wantServed compares what the segment tells of services, and of templates by name and by row group,
// with its row groups.
func wantServed(t rapid.TB, s *segment.Segment) {
	t.Helper()
	resources := s.Resources()
	services := []string{"", "nowhere"}
	for i := range resources.Resources {
		services = append(services, string(resources.Bytes(resources.Resources[i].Service)))
	}
	slices.Sort(services)
	for _, service := range slices.Compact(services) {
		served, err := s.Served(service)
		if err != nil {
			t.Fatal(err)
		}
		wantServedBy(t, s, service, served)
	}
	templates, err := s.Templates(span.SpanLevel)
	if err != nil {
		t.Fatal(err)
	}
	for id := range templates.Len() {
		wantNamed(t, templates, templates.Bytes(templates.Names[id]))
		for _, ids := range [][]uint32{{uint32(id)}, {uint32(id), uint32(id / 2)}} {
			groups := slices.Repeat([]uint64{^uint64(0)}, (s.Groups()+63)/64)
			if templates.KeepGroups(groups, ids); groupsLack(s, groups, ids) {
				t.Fatalf("templates %v: row groups %x are left", ids, groups)
			}
		}
	}
	wantNamed(t, templates, []byte("nowhere"))
}

// wantServedBy compares with the rows.
func wantServedBy(t rapid.TB, s *segment.Segment, service string, served *segment.Served) {
	t.Helper()
	is := func(resource uint32) bool {
		b := s.Resources()
		return service == "" || string(b.Bytes(b.Resources[resource].Service)) == service
	}
	var want []uint32
	for i := range s.Resources().Resources {
		if is(uint32(i)) {
			want = append(want, uint32(i))
		}
	}
	if !slices.Equal(served.Resources, want) {
		t.Fatalf("%q: resources %v, not %v", service, served.Resources, want)
	}
	for _, least := range []uint64{0, 1, 1000, 1 << 40} {
		wantGroups := make([]uint64, (s.Groups()+63)/64)
		for i := range s.Groups() {
			ids, longest := s.Scan(i).Resources()
			for code, id := range ids {
				if is(id) && longest[code] >= least {
					wantGroups[i/64] |= 1 << (i % 64)
				}
			}
		}
		groups := served.AppendGroups([]uint64{42}, least)
		if groups[0] != 42 || !slices.Equal(groups[1:], wantGroups) {
			t.Fatalf("%q: row groups of %d and longer: %x, not %x", service, least, groups[1:], wantGroups)
		}
	}
	if served.Templates == nil {
		return
	}
	for i := range s.Groups() {
		g := s.Scan(i)
		ids, _ := g.Resources()
		shared, _ := g.Templates(span.SpanLevel)
		codes, err := g.ResourceCodes(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		items, err := g.Items(span.SpanLevel)
		if err != nil {
			t.Fatal(err)
		}
		for row, item := range items {
			if int(item) >= len(shared) || !is(ids[codes[row]]) {
				continue
			}
			if id := shared[item]; int(id/64) >= len(served.Templates) || served.Templates[id/64]>>(id%64)&1 == 0 {
				t.Fatalf("%q has template %d in row group %d", service, id, i)
			}
		}
	}
}

// groupsLack reports whether a row group is missing that has one of the templates, or its own.
func groupsLack(s *segment.Segment, groups []uint64, ids []uint32) bool {
	for i := range s.Groups() {
		shared, whole := s.Scan(i).Templates(span.SpanLevel)
		has := !whole || slices.ContainsFunc(ids, func(id uint32) bool { return slices.Contains(shared, id) })
		if has && groups[i/64]>>(i%64)&1 == 0 {
			return true
		}
	}
	return false
}

// wantNamed compares with all templates.
func wantNamed(t rapid.TB, templates *segment.Templates, name []byte) {
	t.Helper()
	var want []uint32
	for id := range templates.Len() {
		if bytes.Equal(templates.Bytes(templates.Names[id]), name) {
			want = append(want, uint32(id))
		}
	}
	slices.SortStableFunc(want, func(a, b uint32) int { return cmp.Compare(templates.Kinds[a], templates.Kinds[b]) })
	if named := templates.Named(name); !slices.Equal(named, want) {
		t.Fatalf("%q: templates %v, not %v", name, named, want)
	}
}

// threeNames are spans whose templates are each in few row groups: those that have the name.
func threeNames(t *testing.T) *segment.Segment {
	t.Helper()
	b := calling(12_000, 7, func(row int) uint64 { return uint64(row) })
	for row := range b.Names {
		b.Names[row] = b.AddText(fmt.Append(nil, "part ", row/4096))
	}
	fs := vfs.NewCrash(1)
	write(t, fs, "s", inOrder(b), 100)
	s := open(t, fs, "s")
	t.Cleanup(s.Close)
	return s
}

// Row groups without a template are told: a search need not come by them.
func TestRowGroupsWithoutATemplateAreTold(t *testing.T) {
	s := threeNames(t)
	wantServed(t, s)
	templates, err := s.Templates(span.SpanLevel)
	if err != nil {
		t.Fatal(err)
	}
	left := 0
	for id := range templates.Len() {
		groups := []uint64{1<<s.Groups() - 1}
		templates.KeepGroups(groups, []uint32{uint32(id)})
		for i := range s.Groups() {
			left += int(groups[0] >> i & 1)
		}
	}
	if all := s.Groups() * templates.Len(); left == 0 || left == all {
		t.Errorf("%d of %d pairs of a row group and a template are left", left, all)
	}
}

// servicesOf are spans of n services.
func servicesOf(t *testing.T, n int) *segment.Segment {
	t.Helper()
	b := calling(12_000, 7, func(row int) uint64 { return uint64(row) })
	b.Resources = b.Resources[:1]
	for i := range n {
		resource := b.Resources[0]
		resource.Service = b.AddText(serviceName(i))
		b.Resources = append(b.Resources, resource)
	}
	for row := range b.ResourceIDs {
		b.ResourceIDs[row] = uint32(1 + row%n)
	}
	fs := vfs.NewCrash(1)
	write(t, fs, "s", inOrder(b), 100)
	s := open(t, fs, "s")
	t.Cleanup(s.Close)
	return s
}

func serviceName(i int) []byte { return fmt.Append(nil, strings.Repeat("somewhere", 10), " ", i) }

// Services that were asked for stay up to a bound, however many are asked for, and are counted once;
// many who ask at once get the same answer.
func TestServicesToldAreBoundedAndCounted(t *testing.T) {
	const services = 2000
	s := servicesOf(t, services)
	service := string(serviceName(7))
	before := s.MemoryBytes()
	first, err := s.Served(service)
	if err != nil {
		t.Fatal(err)
	}
	one := s.MemoryBytes() - before
	if again, err := s.Served(service); err != nil || again != first || s.MemoryBytes() != before+one || one <= 0 {
		t.Fatalf("%d bytes for one service, then %d: %v", one, s.MemoryBytes()-before, err)
	}
	var askers sync.WaitGroup
	for asker := range 4 {
		askers.Go(func() {
			for i := range services {
				served, err := s.Served(string(serviceName(i)))
				if err != nil || len(served.Resources) != 1 {
					t.Errorf("asker %d: %q has resources %v, %v", asker, serviceName(i), served, err)
					return
				}
			}
		})
	}
	askers.Wait()
	if most := before + 64<<10 + 12_000; s.MemoryBytes() > most || s.MemoryBytes() == before {
		t.Errorf("%d bytes after thousands of services, at most %d", s.MemoryBytes(), most)
	}
	served, err := s.Served(service)
	if err != nil {
		t.Fatal(err)
	}
	wantServedBy(t, s, service, served)
}

// Services that a segment does not have cost neither memory nor a page, so that no damage there fails
// them, and those that it has stay told.
func TestServicesThatAreNowhereCostNothing(t *testing.T) {
	m := with(t, "s", bytesOf(t, answeredSegment(t), "s"))
	s := open(t, m, "s")
	defer s.Close()
	service := string(s.Resources().Bytes(s.Resources().Resources[0].Service))
	first, err := s.Served(service)
	if err != nil {
		t.Fatal(err)
	}
	before, damaged := s.MemoryBytes(), 0
	for at := int64(0); at < s.Info().Bytes; at += 5 {
		m.FlipBit("s", 8*at)
		if _, err := s.Standing(); err != nil {
			damaged++
		}
		name := fmt.Sprintf("%s %d", strings.Repeat("nowhere", 100), at)
		if served, err := s.Served(name); err != nil || len(served.Resources) > 0 {
			t.Fatalf("byte %d: %q has resources %v, %v", at, name, served, err)
		}
		m.FlipBit("s", 8*at)
	}
	if damaged == 0 {
		t.Error("no standing term was damaged")
	}
	if again, err := s.Served(service); err != nil || again != first || s.MemoryBytes() != before {
		t.Errorf("%q is told again, or %d bytes are %d: %v", service, before, s.MemoryBytes(), err)
	}
}
