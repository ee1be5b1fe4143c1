package workload

import (
	"math"
	"testing"
)

// TestDrawsFollowTheirDistributions: what is drawn in whole numbers, against the
// formulas in floating point.
func TestDrawsFollowTheirDistributions(t *testing.T) {
	for _, x := range []uint64{1, 2, 3, 1000, 1<<40 + 12345, math.MaxUint64} {
		if got, want := float64(log2(x))/one, math.Log2(float64(x)); math.Abs(got-want) > 2.0/one {
			t.Errorf("log2(%d) is %v, not %v", x, got, want)
		}
	}
	for _, exponent := range []float64{0, 0.5, 0.999, 1, 7.25, -1, -3.75} {
		got := float64(scaled(1<<30, int64(exponent*one)))
		if want := math.Exp2(30 + math.Trunc(exponent*one)/one); math.Abs(got/want-1) > 1e-6 {
			t.Errorf("2^%v times 2^30 is %v, not %v", exponent, got, want)
		}
	}
	if got := scaled(5, 70*one); got != 1<<62-1 {
		t.Errorf("beyond all bounds: %d", got)
	}
	const draws = 200_000
	r := newRandom(1, 1)
	var sum, squares, exponential float64
	below, tail := 0, 0
	for range draws {
		z := float64(r.normal()) / one
		sum, squares = sum+z, squares+z*z
		exponential += float64(r.exponential(1_000_000))
		if r.logNormal(1_000, one) < 1_000 {
			below++
		}
		if r.pareto(1_000, one*2) >= 10_000 {
			tail++
		}
	}
	for what, c := range map[string]struct{ got, want, tolerance float64 }{
		"mean of normal":         {sum / draws, 0, 0.01},
		"variance of normal":     {squares / draws, 1, 0.02},
		"mean of exponential":    {exponential / draws, 1e6, 1e4},
		"below the median":       {float64(below) / draws, 0.5, 0.005},
		"beyond ten times least": {float64(tail) / draws, 0.01, 0.001},
	} {
		if math.Abs(c.got-c.want) > c.tolerance {
			t.Errorf("%s: %v, not %v", what, c.got, c.want)
		}
	}
}
