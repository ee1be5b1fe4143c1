package span

import (
	"math"
	"math/bits"
	"slices"
)

// Durations counts durations, in nanoseconds, by size. The zero value is empty.
//
// A size is an octave in 32 equal steps, so a duration is told to 1.6 % and up to 63 ns
// exactly. The steps are found with integers alone: the same durations give the same counts on
// every processor, whatever becomes of a float between two of them; docs/decisions/0015-rates.md
// has the reasons.
type Durations struct {
	first  int // size of counts[0]
	counts []uint64
	total  uint64
}

// durationSteps is how many steps an octave has, as a power of two.
const durationSteps = 5

// DurationSizes is how many sizes there are: 0 to DurationSizes - 1.
const DurationSizes = (64-durationSteps-1)<<durationSteps + 1<<(durationSteps+1)

// DurationSize gives the size of a duration: 0 to 63 for themselves, then 32 for each octave.
func DurationSize(d uint64) int {
	shift := max(bits.Len64(d)-durationSteps-1, 0)
	return shift<<durationSteps + int(d>>shift)
}

// durationBounds gives the least and the greatest duration of a size.
func durationBounds(size int) (least, most uint64) {
	shift := max(size>>durationSteps-1, 0)
	least = uint64(size-shift<<durationSteps) << shift
	return least, least + (1<<shift - 1)
}

// Add counts n durations d.
func (c *Durations) Add(d, n uint64) {
	if n == 0 {
		return
	}
	size := DurationSize(d)
	c.reach(size, size+1)
	c.counts[size-c.first] += n
	c.total += n
}

// AddSizes counts counts[i] durations of size sizes[i], which rise.
func (c *Durations) AddSizes(sizes []uint16, counts []uint32) {
	if len(sizes) == 0 {
		return
	}
	c.reach(int(sizes[0]), int(sizes[len(sizes)-1])+1)
	total := uint64(0)
	for i, size := range sizes {
		c.counts[int(size)-c.first] += uint64(counts[i])
		total += uint64(counts[i])
	}
	c.total += total
}

// TakeSizes takes back counts[i] durations of size sizes[i], which rise; false where there were
// less, and some of them may be gone then.
func (c *Durations) TakeSizes(sizes []uint16, counts []uint32) bool {
	if len(sizes) == 0 {
		return true
	}
	if int(sizes[0]) < c.first || int(sizes[len(sizes)-1]) >= c.first+len(c.counts) {
		return false
	}
	for i, size := range sizes {
		at, n := &c.counts[int(size)-c.first], uint64(counts[i])
		if *at < n {
			return false
		}
		*at -= n
		c.total -= n
	}
	return true
}

// Take takes back one duration d that was counted; false where none was.
func (c *Durations) Take(d uint64) bool {
	size := DurationSize(d)
	if size < c.first || size >= c.first+len(c.counts) || c.counts[size-c.first] == 0 {
		return false
	}
	c.counts[size-c.first]--
	c.total--
	return true
}

// AddAll counts what another counted.
func (c *Durations) AddAll(other *Durations) {
	if other.total == 0 {
		return
	}
	c.reach(other.first, other.first+len(other.counts))
	for i, n := range other.counts {
		c.counts[other.first+i-c.first] += n
	}
	c.total += other.total
}

// reach makes room for sizes [first, end), and for those of their octaves: others of them follow.
func (c *Durations) reach(first, end int) {
	if first >= c.first && end <= c.first+len(c.counts) {
		return
	}
	const octave = 1 << durationSteps
	first, end = first&^(octave-1), (end+octave-1)&^(octave-1)
	if len(c.counts) == 0 {
		c.first = first
	}
	if first < c.first {
		c.counts = slices.Insert(c.counts, 0, make([]uint64, c.first-first)...)
		c.first = first
	}
	if missing := end - c.first - len(c.counts); missing > 0 {
		c.counts = append(c.counts, make([]uint64, missing)...)
	}
}

// Total is how many were counted.
func (c *Durations) Total() uint64 { return c.total }

// Quantile gives the duration that the share q of all, 0 to 1, does not exceed: the middle of
// the size in which the one of rank q*total stands. 0 where nothing was counted.
func (c *Durations) Quantile(q float64) uint64 {
	if c.total == 0 {
		return 0
	}
	rank := min(max(uint64(math.Ceil(min(max(q, 0), 1)*float64(c.total))), 1), c.total)
	for i, n := range c.counts {
		if n >= rank {
			least, most := durationBounds(c.first + i)
			return least + (most-least)/2
		}
		rank -= n
	}
	return 0
}

// Each visits the sizes that were counted, ascending: durations from least to most, n of them.
func (c *Durations) Each(visit func(least, most, n uint64)) {
	for i, n := range c.counts {
		if n > 0 {
			least, most := durationBounds(c.first + i)
			visit(least, most, n)
		}
	}
}
