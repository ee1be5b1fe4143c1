package column_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stoadb/stoa/engine/column"
)

// Traces that repeat each other do so after any number of rows: where zstd would save much more
// than a third, a page takes it however far apart they are.
func TestIntegersThatComeAgainAreToldOnce(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 9))
	const rows = 4096
	var pages column.Pages
	for _, bits := range []int{6, 8, 20, 40, 64} {
		for _, period := range []int{3, 40, 200, 700, 1100, 1500, 2000} {
			once := make([]uint64, period)
			for i := range once {
				once[i] = rng.Uint64() >> (64 - bits)
			}
			values := make([]uint64, 0, rows)
			for len(values) < rows {
				values = append(values, once[:min(period, rows-len(values))]...)
			}
			page := pages.Append(nil, nil, values)
			if most := period*(bits+7)/8*5/4 + 400; len(page) > most {
				t.Errorf("%d values of %d bits that come again after %d take %d bytes, more than %d", rows, bits, period, len(page), most)
			}
		}
	}
}
