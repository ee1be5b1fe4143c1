package index_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/stoadb/stoa/index"
)

const (
	decisionGroups  = 100
	decisionRows    = 4_096
	decisionSubrows = 1_024
)

// BenchmarkFingerprintsAgainstBitmaps gives the sizes of decision 0008: what it takes to say
// where the values of a column may be, over 100 row groups of 4,096 rows. Values are drawn
// from so many of a group; the next group has half of them in common with it.
func BenchmarkFingerprintsAgainstBitmaps(b *testing.B) {
	for _, distinct := range []int{5, 500, 4_096} {
		b.Run(fmt.Sprint(distinct), func(b *testing.B) {
			var filters, bitmaps, cells int
			for b.Loop() {
				filters, bitmaps, cells = decisionSizes(distinct)
			}
			b.ReportMetric(float64(filters)/(decisionGroups*decisionRows), "filter-B/row")
			b.ReportMetric(float64(bitmaps)/(decisionGroups*decisionRows), "bitmap-B/row")
			b.ReportMetric(float64(filters)*8/float64(cells), "filter-bits/value-in-group")
			b.ReportMetric(float64(bitmaps)*8/float64(cells), "bitmap-bits/value-in-group")
		})
	}
}

// decisionSizes gives the bytes of all filters, of all bitmaps of blocks, and how often a
// value stands in a group. The dictionary's texts are not counted: rows need them anyway.
func decisionSizes(distinct int) (filters, bitmaps, cells int) {
	random := rand.New(rand.NewPCG(1, 2))
	blocks := map[int]*roaring.Bitmap{}
	for group := range decisionGroups {
		seen := map[int]bool{}
		for row := range decisionRows {
			value := group*distinct/2 + random.IntN(distinct)
			if distinct == decisionRows { // each row its own
				value = group*distinct/2 + row
			}
			seen[value] = true
			if blocks[value] == nil {
				blocks[value] = roaring.New()
			}
			blocks[value].Add(uint32((group*decisionRows + row) / decisionSubrows))
		}
		var hashes []uint64
		for value := range seen {
			hashes = append(hashes, index.HashText(fmt.Append(nil, value)))
		}
		cells += len(hashes)
		filters += len(index.AppendFilter(nil, hashes))
	}
	for _, bitmap := range blocks {
		// Only what the container itself takes, as array or runs, and a byte for its length:
		// headers could be left out.
		array := int(bitmap.GetSerializedSizeInBytes()) - 16
		bitmap.RunOptimize()
		if bitmap.HasRunCompression() {
			array = int(bitmap.GetSerializedSizeInBytes()) - 9
		}
		bitmaps += array + 1
	}
	return filters, bitmaps, cells
}

// BenchmarkProbe732Groups asks the filters of three million rows for one value.
func BenchmarkProbe732Groups(b *testing.B) {
	for _, distinct := range []int{5, 500, 4_096} {
		b.Run(fmt.Sprint(distinct), func(b *testing.B) {
			filters := make([]index.Filter, 732)
			for group := range filters {
				filters[group] = openFilter(b, index.AppendFilter(nil, hashesOf(distinct, uint64(group))))
			}
			hashes := hashesOf(1_000, 5_000)
			i, found := 0, 0
			for b.Loop() {
				for group := range filters {
					if filters[group].MayContain(hashes[i%len(hashes)]) {
						found++
					}
				}
				i++
			}
			b.ReportMetric(float64(found)/float64(i), "groups-read")
		})
	}
}
