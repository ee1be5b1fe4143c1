package span_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stoadb/stoa/engine/span"
)

// edges are durations around which sizes change, and the extremes.
func edges() (list []uint64) {
	for shift := range 64 {
		for _, near := range []uint64{0, 1, 31, 32, 33, 62, 63} {
			list = append(list, 1<<shift+near, 1<<shift-1-near, near<<shift)
		}
	}
	return append(list, 0, 1, 63, 64, 65, math.MaxInt64, math.MaxUint64)
}

// Every duration is counted in a size around it that is no wider than 1/32 of it.
func TestADurationIsToldToThreePercent(t *testing.T) {
	for _, d := range edges() {
		var c span.Durations
		c.Add(d, 3)
		seen := 0
		c.Each(func(least, most, n uint64) {
			seen++
			if d < least || d > most || n != 3 || most-least > d/32 || d < 64 && least != most {
				t.Errorf("%d is %d times in [%d, %d]", d, n, least, most)
			}
		})
		got := c.Quantile(0.5)
		if seen != 1 || c.Total() != 3 || max(got, d)-min(got, d) > d/63 {
			t.Errorf("%d in %d sizes, total %d, median %d", d, seen, c.Total(), got)
		}
	}
}

// Sizes lie side by side, in the order of durations: nothing falls between two.
func TestSizesCoverAllDurations(t *testing.T) {
	var c span.Durations
	for size := uint64(0); size < 64; size++ {
		c.Add(size, 1)
	}
	for shift := 1; shift < 59; shift++ {
		for step := uint64(32); step < 64; step++ {
			c.Add(step<<shift+uint64(1)<<shift-1, 1)
		}
	}
	next := uint64(0)
	c.Each(func(least, most, n uint64) {
		if least != next || most < least || n != 1 {
			t.Fatalf("[%d, %d] %d times, %d expected to be the first", least, most, n, next)
		}
		next = most + 1
	})
	if next != 0 {
		t.Errorf("durations from %d on have no size", next)
	}
}

func TestQuantilesAreThoseOfTheDurations(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 14))
	for _, n := range []int{1, 2, 3, 10, 1000} {
		var c span.Durations
		var parts [4]span.Durations
		all := make([]uint64, n)
		for i := range all {
			all[i] = r.Uint64() >> r.IntN(64)
			c.Add(all[i], 1)
			parts[r.IntN(len(parts))].Add(all[i], 1)
		}
		var added span.Durations
		for _, i := range r.Perm(len(parts)) {
			added.AddAll(&parts[i])
		}
		slices.Sort(all)
		for _, q := range []float64{-1, 0, 0.001, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1, 2} {
			want := all[min(max(int(math.Ceil(q*float64(n))), 1), n)-1]
			got := c.Quantile(q)
			if max(got, want)-min(got, want) > want/63 {
				t.Errorf("%g of %d: %d, want %d", q, n, got, want)
			}
			if other := added.Quantile(q); other != got || added.Total() != uint64(n) {
				t.Errorf("%g of %d: %d in parts added, %d as one", q, n, other, got)
			}
		}
	}
	var none span.Durations
	none.AddAll(&none)
	if none.Quantile(0.5) != 0 || none.Total() != 0 {
		t.Error("nothing has a median")
	}
}

// What is added by sizes is what is added one by one, and what is taken back was never there.
func TestDurationsAreAddedBySizesAndTakenBack(t *testing.T) {
	var want, got, back span.Durations
	var sizes []uint16
	var counts []uint32
	list := edges()
	slices.Sort(list)
	for _, d := range list {
		want.Add(d, 1)
		back.Add(d, 2)
		if size := uint16(span.DurationSize(d)); len(sizes) > 0 && sizes[len(sizes)-1] == size {
			counts[len(counts)-1]++
		} else {
			sizes, counts = append(sizes, size), append(counts, 1)
		}
	}
	got.AddSizes(sizes[5:], counts[5:])
	got.AddSizes(sizes[:5], counts[:5])
	for _, d := range list {
		if !back.Take(d) {
			t.Fatalf("%d is not there", d)
		}
	}
	told := func(d *span.Durations) (all [][3]uint64) {
		d.Each(func(least, most, n uint64) { all = append(all, [3]uint64{least, most, n}) })
		return all
	}
	if !slices.Equal(told(&want), told(&got)) || !slices.Equal(told(&want), told(&back)) || want.Total() != got.Total() || want.Total() != back.Total() {
		t.Error("sizes differ")
	}
	var none span.Durations
	if none.Take(0) || none.Take(1<<63) || none.Total() != 0 {
		t.Error("something is taken where nothing is")
	}
	if sizes[len(sizes)-1] != span.DurationSizes-1 {
		t.Errorf("the last size is %d of %d", sizes[len(sizes)-1], span.DurationSizes)
	}
}

// Sizes are taken back as they were added, and never more of one than there are.
func TestSizesAreTakenBack(t *testing.T) {
	sizes, counts := []uint16{3, 70, 71, 900}, []uint32{2, 1, 5, 7}
	var d, rest span.Durations
	d.Add(70, 4)
	d.Add(1<<40, 1)
	rest.AddAll(&d)
	d.AddSizes(sizes, counts)
	if !d.TakeSizes(nil, nil) || !d.TakeSizes(sizes, counts) {
		t.Fatal("what was added is not taken back")
	}
	told := func(d *span.Durations) (text string) {
		d.Each(func(least, most, n uint64) { text += fmt.Sprint(least, most, n, " ") })
		return text
	}
	if d.Total() != 5 || told(&d) != told(&rest) {
		t.Errorf("%d: %s, want %s", d.Total(), told(&d), told(&rest))
	}
	for _, size := range []uint16{0, 70, 71, uint16(span.DurationSizes - 1)} {
		if d.TakeSizes([]uint16{size}, []uint32{5}) {
			t.Errorf("five of size %d are taken of %s", size, told(&rest))
		}
	}
}
