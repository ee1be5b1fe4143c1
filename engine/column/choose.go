package column

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// blockPlan is what is known of a block before it is written.
type blockPlan struct {
	base    uint64
	bytes   int  // of the body
	entries int  // of the dictionary, or patches
	width   uint // of values, or of what stands unpatched
	above   uint // width of the patches
	tag     byte
}

// planBlocks chooses the form of every block, and gives the bytes of all.
func planBlocks(plans []blockPlan, values []uint64) (_ []blockPlan, bytes int) {
	var w blockWriter
	for block := range slices.Chunk(values, blockRows) {
		plans = append(plans, w.plan(block))
	}
	low, high := plans[0].base, plans[0].base
	for i := range plans {
		low, high = min(low, plans[i].base), max(high, plans[i].base)
		bytes += plans[i].bytes
	}
	return plans, bytes + 2 + varintBytes(low) + len(plans)*(1+wideOf(high-low))
}

// blockWriter has the working memory of the choice; it lives on a caller's stack.
type blockWriter struct {
	distinct [dictionaryEntriesMax + 1]uint64
	slots    [4 * blockRows]uint8 // open addressing: position in distinct + 1, 0 is free
	marks    [1 << 8]byte         // 1 for each value - base that there is, where all are bytes
	scratch  [blockRows]uint64
}

// blockSpread is how far the values of a block are apart.
type blockSpread struct {
	low, high    uint64
	rises, moves uint64 // all bits of the differences, as they are and in zigzag
	runs         int
	up           bool // no value is below the one before
}

// spreadOf goes through the values once, without a branch for each.
func spreadOf(values []uint64) blockSpread {
	low, high, rises, moves, runs, falls := values[0], values[0], uint64(0), uint64(0), uint64(1), uint64(0)
	previous := values[0]
	for _, v := range values[1:] {
		low, high = min(low, v), max(high, v)
		delta, fall := bits.Sub64(v, previous, 0)
		falls |= fall
		rises |= delta
		moves |= zigzag(delta)
		runs += (delta | -delta) >> 63
		previous = v
	}
	return blockSpread{low: low, high: high, rises: rises, moves: moves, runs: int(runs), up: falls == 0}
}

// take makes p the choice where it is shorter.
func (best *blockPlan) take(p blockPlan) {
	if p.bytes < best.bytes {
		*best = p
	}
}

// plan chooses the shortest form of a block, the one told first where two are equal.
func (w *blockWriter) plan(values []uint64) blockPlan {
	s := spreadOf(values)
	n, first := len(values), values[0]
	width, upWidth, deltaWidth := widthOf(s.high-s.low), widthOf(s.rises), widthOf(s.moves)
	best := blockPlan{base: s.low, width: width, tag: byte(width), bytes: packedBytes(n, width)}
	if width == 0 {
		return best
	}
	if s.up {
		best.take(blockPlan{base: first, width: upWidth, tag: tagUp + byte(upWidth), bytes: packedBytes(n, upWidth)})
	}
	best.take(blockPlan{base: first, width: deltaWidth, tag: tagDelta + byte(deltaWidth), bytes: packedBytes(n, deltaWidth)})
	if s.runs < n {
		best.take(blockPlan{base: s.low, width: width, tag: tagRuns, bytes: 2 + s.runs + packedBytes(s.runs, width)})
	}
	// At least two values and a bit each: where that is no gain, nobody counts.
	if dictionaryBytes(2, n, width) < best.bytes {
		if entries := w.distinctOf(values, &s); entries <= dictionaryEntriesMax {
			best.take(blockPlan{base: s.low, width: width, entries: entries, tag: tagDictionary, bytes: dictionaryBytes(entries, n, width)})
		}
	}
	if best.bytes > patchedBytesMin {
		best.takePatches(values, s.low, width, deltaWidth)
	}
	return best
}

// distinctOf counts the distinct values; more than dictionaryEntriesMax stand for too many.
func (w *blockWriter) distinctOf(values []uint64, s *blockSpread) (entries int) {
	switch {
	case s.up:
		return s.runs
	case s.high-s.low < uint64(len(w.marks)):
		clear(w.marks[:])
		for _, v := range values {
			w.marks[byte(v-s.low)] = 1
		}
		for i := 0; i < len(w.marks); i += 8 {
			entries += bits.OnesCount64(binary.LittleEndian.Uint64(w.marks[i:]))
		}
		return entries
	default:
		return w.collect(values)
	}
}

// takePatches tries every width below the widest value: the values above it are patches.
func (best *blockPlan) takePatches(values []uint64, low uint64, width, deltaWidth uint) {
	var byWidth, byDelta [65]int
	previous := values[0]
	for _, v := range values {
		byWidth[widthOf(v-low)]++
		byDelta[widthOf(zigzag(v-previous))]++
		previous = v
	}
	try := func(p blockPlan, widest uint, counts *[65]int) {
		p.bytes = 1 << 30
		for width, patches := widest, 0; width > 0 && patches+counts[width] < blockRows; {
			patches += counts[width]
			width--
			if bytes := patchedBytes(patches, len(values), width, widest-width); bytes < p.bytes {
				p.bytes, p.width, p.above, p.entries = bytes, width, widest-width, patches
			}
		}
		best.take(p)
	}
	try(blockPlan{base: low, tag: tagPatched}, width, &byWidth)
	try(blockPlan{base: values[0], tag: tagPatchedGap}, deltaWidth, &byDelta)
}

func patchedBytes(patches, n int, width, above uint) int {
	return 3 + patches + packedBytes(patches, above) + packedBytes(n, width)
}

func dictionaryBytes(entries, n int, width uint) int {
	return 2 + packedBytes(entries, width) + packedBytes(n, codeWidth(entries))
}

// codeWidth is how many bits a position among so many entries takes.
func codeWidth(entries int) uint { return widthOf(uint64(entries - 1)) }

// collect gathers the distinct values in order of first use, and gives their number, or one more than
// dictionaryEntriesMax.
func (w *blockWriter) collect(values []uint64) int {
	clear(w.slots[:])
	entries := 0
	for _, v := range values {
		at := w.slot(v)
		if w.slots[at] == 0 {
			if entries == dictionaryEntriesMax {
				return dictionaryEntriesMax + 1
			}
			w.distinct[entries] = v
			entries++
			w.slots[at] = uint8(entries)
		}
	}
	return entries
}

// slot gives where a value stands in slots, or the free place where it belongs.
func (w *blockWriter) slot(v uint64) uint64 {
	at := v * 0x9e3779b97f4a7c15 >> 55
	for w.slots[at] != 0 && w.distinct[w.slots[at]-1] != v {
		at = (at + 1) % uint64(len(w.slots))
	}
	return at
}
