package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/bits"
	"slices"
	"time"

	"github.com/stoadb/stoa/internal/codec"
)

// Amplification says how recordings become as many spans as a measurement needs.
//
// Copy 0 is the recording itself. Copy k is the same requests with two things changed,
// both in place, so that every length stays what a real sender made:
//
//   - trace ids, span ids, parent ids and the ids of links go through a bijection that
//     the seed and k choose. Equal ids stay equal and different ones different, so a
//     trace stays a trace and a parent a parent. The two halves of a trace id are mapped
//     apart, and zero stays zero: a padded 64-bit id stays padded, a root stays a root.
//   - starts, ends and event times move by k gaps; a time of zero stays zero.
//
// Everything else, fields unknown to us included, stays byte for byte. So all copies
// share their texts: names, urls, log lines with the recorded ids in them. Ids and times
// are what differs. Queries and processor time may be read from amplified loads; bytes on
// disk per span flatter a store that keeps each text once a segment, and belong to the
// recordings as they are.
type Amplification struct {
	Times int    // how many copies, the recording among them
	Seed  uint64 // of the bijections
	// Gap is how far copies lie apart; 0 is the recording's own length and a little more,
	// so that copies follow one another (see gapMax).
	Gap time.Duration
	// Interleave sends the copies of one request after another, as many equal systems
	// report at once. Else copy k of all recordings goes before copy k+1 of any.
	Interleave bool
}

// Amplify gives the requests of all copies of the recordings. Each recording is read
// once for every copy (once in all when interleaved) and, where no gap is given, once more
// for its length: hand it held requests (see Hold) where the reading must not cost the
// measurement. A yielded request belongs to the caller. Damage ends the sequence with an
// error that is codec.ErrCorrupt.
func Amplify(a Amplification, recordings ...iter.Seq2[[]byte, error]) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		gaps, err := a.gaps(recordings)
		if err != nil {
			yield(nil, err)
			return
		}
		if a.Interleave {
			for i, recording := range recordings {
				if !a.copies(recording, gaps[i], 0, a.Times, yield) {
					return
				}
			}
			return
		}
		for k := range a.Times {
			for i, recording := range recordings {
				if !a.copies(recording, gaps[i], k, k+1, yield) {
					return
				}
			}
		}
	}
}

// copies yields copies from (inclusive) to (exclusive) of each request of a recording.
func (a Amplification) copies(recording iter.Seq2[[]byte, error], gap uint64, from, to int, yield func([]byte, error) bool) bool {
	for request, err := range recording {
		if err != nil {
			yield(nil, err)
			return false
		}
		for k := from; k < to; k++ {
			own := slices.Clone(request)
			if k > 0 {
				err = newRekey(a.Seed, uint64(k), gap).request(own)
			}
			if err != nil {
				yield(nil, fmt.Errorf("copy %d of a recorded request: %w", k, err))
				return false
			}
			if !yield(own, nil) {
				return false
			}
		}
	}
	return true
}

// gaps gives the step between copies of each recording, in nanoseconds.
func (a Amplification) gaps(recordings []iter.Seq2[[]byte, error]) ([]uint64, error) {
	gaps := make([]uint64, len(recordings))
	for i, recording := range recordings {
		gaps[i] = uint64(max(a.Gap, 0))
		if gaps[i] > 0 || a.Times < 2 {
			continue
		}
		length, err := lengthOf(recording)
		if err != nil {
			return nil, err
		}
		gaps[i] = min(length+uint64(gapSlack), uint64(gapMax))
	}
	return gaps, nil
}

// lengthOf gives the nanoseconds between the first start and the last start or end of a
// recording; spans without time do not count.
func lengthOf(recording iter.Seq2[[]byte, error]) (uint64, error) {
	first, last := uint64(math.MaxUint64), uint64(0)
	for request, err := range recording {
		if err == nil {
			err = eachSpan(request, func(span []byte) error {
				return eachField(span, func(f field) error {
					if f.is(7, fixed64Wire) || f.is(8, fixed64Wire) {
						if t := binary.LittleEndian.Uint64(f.value); t != 0 {
							first, last = min(first, t), max(last, t)
						}
					}
					return nil
				})
			})
		}
		if err != nil {
			return 0, err
		}
	}
	return max(last, first) - first, nil
}

// rekey is what is done to the spans of one copy.
type rekey struct {
	upper, lower, span bijection
	shift, gaps        uint64 // nanoseconds; the gaps they are made of
}

func newRekey(seed, k, gap uint64) *rekey {
	state := mixed(seed ^ mixed(k))
	next := func() uint64 { state = mixed(state); return state }
	over, shift := bits.Mul64(k, gap)
	if over != 0 {
		shift = math.MaxUint64 // no time can be moved so far: the first one will tell
	}
	return &rekey{newBijection(next), newBijection(next), newBijection(next), shift, k}
}

// mixed is a step of splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number
// generators, 2014).
func mixed(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// bijection maps words to words: a product with an odd number and a shifted xor can both
// be undone, and neither moves zero.
type bijection struct{ first, second uint64 }

func newBijection(next func() uint64) bijection { return bijection{next() | 1, next() | 1} }

func (j bijection) word(x uint64) uint64 {
	x = (x ^ x>>32) * j.first
	x = (x ^ x>>29) * j.second
	return x ^ x>>32
}

// put replaces 8 bytes by what they are mapped to.
func (j bijection) put(b []byte) { binary.BigEndian.PutUint64(b, j.word(binary.BigEndian.Uint64(b))) }

// request rewrites an export request in place.
func (r *rekey) request(request []byte) error { return eachSpan(request, r.spanMessage) }

func (r *rekey) spanMessage(span []byte) error {
	return eachField(span, func(f field) error {
		switch {
		case f.is(1, bytesWire):
			r.traceID(f.value)
		case f.is(2, bytesWire), f.is(4, bytesWire):
			r.spanID(f.value)
		case f.is(7, fixed64Wire), f.is(8, fixed64Wire):
			return r.time(f.value)
		case f.is(11, bytesWire):
			return eachField(f.value, func(f field) error {
				if f.is(1, fixed64Wire) {
					return r.time(f.value)
				}
				return nil
			})
		case f.is(13, bytesWire):
			return eachField(f.value, func(f field) error {
				switch {
				case f.is(1, bytesWire):
					r.traceID(f.value)
				case f.is(2, bytesWire):
					r.spanID(f.value)
				}
				return nil
			})
		}
		return nil
	})
}

// traceID maps an id of 16 bytes, and one of 8 as the lower half that it stands for. Ids
// of other lengths belong to no trace and stay.
func (r *rekey) traceID(id []byte) {
	switch len(id) {
	case 16:
		r.upper.put(id[:8])
		r.lower.put(id[8:])
	case 8:
		r.lower.put(id)
	}
}

func (r *rekey) spanID(id []byte) {
	if len(id) == 8 {
		r.span.put(id)
	}
}

// time moves a time other than zero.
func (r *rekey) time(value []byte) error {
	t := binary.LittleEndian.Uint64(value)
	if t == 0 {
		return nil
	}
	if r.shift > math.MaxInt64 || t > math.MaxInt64-r.shift {
		return codec.Corrupt("time %d cannot be moved by %d gaps: nanoseconds leave an int64", t, r.gaps)
	}
	binary.LittleEndian.PutUint64(value, t+r.shift)
	return nil
}

// Hold reads all requests into memory, so that neither the disk nor decompression takes
// part in what is measured afterwards.
func Hold(requests iter.Seq2[[]byte, error]) ([][]byte, error) {
	return holdUpTo(requests, heldBytesMax)
}

// errNotHeld is of requests that are too large to be kept in memory.
var errNotHeld = errors.New("the requests are larger than what is held in memory")

func holdUpTo(requests iter.Seq2[[]byte, error], bytesMax int64) ([][]byte, error) {
	var held [][]byte
	bytes := int64(0)
	for request, err := range requests {
		if err != nil {
			return nil, err
		}
		if bytes += int64(len(request)); bytes > bytesMax {
			return nil, fmt.Errorf("%w: %d bytes", errNotHeld, bytesMax)
		}
		held = append(held, request)
	}
	return held, nil
}

// Held gives held requests as a sequence; they stay those of the holder.
func Held(requests [][]byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, request := range requests {
			if !yield(request, nil) {
				return
			}
		}
	}
}

// CountSpans counts the spans of a request without decoding them.
func CountSpans(request []byte) (spans int, err error) {
	err = eachSpan(request, func([]byte) error { spans++; return nil })
	return spans, err
}
