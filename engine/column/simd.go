//go:build goexperiment.simd && amd64

package column

import "simd/archsimd"

// Go's simd package is an experiment: who builds with GOEXPERIMENT=simd gets this loop, and the
// same answers: the tests of mini-blocks compare it with values read one by one, in each build.
// Comparing four values at once did not pay, as the positions still come one by one.
var hasAVX2 = archsimd.X86.AVX2()

// unpackLanes takes the next bits of both lanes with one load, shift, mask and add.
func unpackLanes(dst *[blockRows]uint64, data []byte, width uint, base uint64) {
	if !hasAVX2 {
		unpackLanesScalar(dst, data, width, base)
		return
	}
	keep, add := archsimd.BroadcastUint64x2(mask(width)), archsimd.BroadcastUint64x2(base)
	words := archsimd.LoadUint8x16((*[16]uint8)(data)).AsUint64x2()
	data = data[16:]
	used := uint(0)
	for i := 0; i < blockRows; i += 2 {
		v := words.ShiftAllRight(uint64(used))
		if used += width; used >= 64 {
			used -= 64
			if len(data) >= 16 {
				words = archsimd.LoadUint8x16((*[16]uint8)(data)).AsUint64x2()
				data = data[16:]
				v = v.Or(words.ShiftAllLeft(uint64(width - used))) // a shift by 64 gives 0
			}
		}
		v.And(keep).Add(add).Store((*[2]uint64)(dst[i:]))
	}
}
