package workload

import (
	"math/bits"
	"math/rand/v2"
)

// random draws in whole numbers only: floating point may be fused or rounded in another
// way on another processor, and the same flags must give the same bytes everywhere.
// Fractions are Q16, numbers of 1/65,536.
type random struct{ source *rand.PCG }

// one is 1 in Q16.
const one = 1 << 16

// newRandom is a stream of its own for each seed and each number.
func newRandom(seed, number uint64) random {
	return random{rand.NewPCG(scrambled(seed), scrambled(seed^scrambled(number)))}
}

// scrambled is the finalizer of splitmix64 (Steele, Lea, Flood: Fast splittable
// pseudorandom number generators, 2014): near numbers give far seeds.
func scrambled(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (r random) uint64() uint64 { return r.source.Uint64() }

// below gives one of 0 to n-1, each as likely but for 1 in 2^64/n.
func (r random) below(n uint64) uint64 {
	high, _ := bits.Mul64(r.source.Uint64(), n)
	return high
}

// chance is true in so many of a million draws.
func (r random) chance(perMillion uint64) bool { return r.below(1e6) < perMillion }

// skewed gives one of 0 to n-1, small ones more often: the first tenth takes a third of
// the draws.
func (r random) skewed(n uint64) uint64 { return r.below(r.below(n) + 1) }

// normal is Q16 of the standard normal distribution, as twelve uniform draws add up to
// it; no draw lies beyond six.
func (r random) normal() int64 {
	sum := int64(-6 * one)
	for range 3 {
		for x := r.source.Uint64(); x != 0; x >>= 16 {
			sum += int64(x & 0xffff)
		}
	}
	return sum
}

// logNormal has the median, and a normal distribution of sigma doublings (Q16) around it.
func (r random) logNormal(median uint64, sigma int64) uint64 {
	return scaled(median, r.normal()*sigma>>16)
}

// bitsOfSurprise is Q16 of -log2 of a uniform draw: exponential, with the mean 1/ln 2.
func (r random) bitsOfSurprise() int64 { return 64*one - log2(r.source.Uint64()|1) }

// exponential has the mean.
func (r random) exponential(mean uint64) uint64 {
	const ln2 = 45426 // Q16
	high, low := bits.Mul64(mean, uint64(r.bitsOfSurprise())*ln2)
	return high<<32 | low>>32
}

// pareto is at least the least, and beyond x with the share (least/x)^alpha; alpha is Q16.
func (r random) pareto(least uint64, alpha int64) uint64 {
	return scaled(least, r.bitsOfSurprise()<<16/alpha)
}

// roots are 2^(1/2), 2^(1/4), ... 2^(1/65536), in units of 2^-63.
var roots = [16]uint64{
	0xb504f333f9de6484, 0x9837f0518db8a96f, 0x8b95c1e3ea8bd6e7, 0x85aac367cc487b15,
	0x82cd8698ac2ba1d7, 0x8164d1f3bc030773, 0x80b1ed4fd999ab6c, 0x8058d7d2d5e5f6b1,
	0x802c6436d0e04f51, 0x8016302f17467628, 0x800b179c82028fd1, 0x80058baf7fee3b5d,
	0x8002c5d00fdcfcb7, 0x800162e61bed4a49, 0x8000b17292f702a4, 0x800058b92abbae02,
}

// scaled is x times 2^exponent, exponent in Q16; it stays below 2^62.
func scaled(x uint64, exponent int64) uint64 {
	for i, root := range roots {
		if exponent>>(15-i)&1 != 0 {
			high, low := bits.Mul64(x, root)
			x = high<<1 | low>>63
		}
	}
	doublings := int(exponent >> 16)
	switch {
	case doublings < 0:
		return x >> min(-doublings, 63)
	case bits.Len64(x)+doublings > 62:
		return 1<<62 - 1
	}
	return x << doublings
}

// log2 is Q16 of the binary logarithm of x, which is not 0, cut to that.
func log2(x uint64) int64 {
	whole := bits.Len64(x) - 1
	mantissa := x << (63 - whole) // 1 to 2, in units of 2^-63
	result := int64(whole)
	for range 16 {
		high, low := bits.Mul64(mantissa, mantissa) // a square doubles the logarithm
		result <<= 1
		if high>>63 != 0 {
			result |= 1
			mantissa = high
		} else {
			mantissa = high<<1 | low>>63
		}
	}
	return result
}
