//go:build !goexperiment.simd || !amd64

package column

func unpackLanes(dst *[blockRows]uint64, data []byte, width uint, base uint64) {
	unpackLanesScalar(dst, data, width, base)
}
