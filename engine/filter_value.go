package engine

import (
	"bytes"
	"cmp"
	"math"
	"strconv"

	"github.com/stoadb/stoa/engine/span"
)

// filterValue is one value that a reference gives.
type filterValue struct {
	kind valueKind
	bits uint64    // of an int, double, bool or duration as span.Attr has them; of an instant, unix nanoseconds
	text []byte    // of a text, or of bytes
	attr span.Attr // of doubles, bytes, arrays, maps and empty values: what their text is made of
}

// valueKind is how values meet: only those of one kind do, and numbers among themselves.
type valueKind uint8

const (
	emptyKind valueKind = iota // there, but no value: meets nothing
	textKind
	intKind
	doubleKind
	boolKind
	durationKind
	instantKind
	bytesKind // this and the two below are equal or not, and have no order
	arrayKind
	mapKind
)

// equalValues reports whether two values of the span are equal.
func (r *filterRun) equalValues(a, b *filterValue) bool {
	switch {
	case a.kind == textKind && b.kind == textKind, a.kind == bytesKind && b.kind == bytesKind:
		return bytes.Equal(a.text, b.text)
	case a.kind == boolKind && b.kind == boolKind:
		return a.bits == b.bits
	case a.kind == b.kind && (a.kind == arrayKind || a.kind == mapKind):
		return string(r.spell(0, a)) == string(r.spell(1, b))
	}
	order, meet := orderValues(a, b)
	return meet && order == 0
}

// orderValues compares two values; meet is false where they have no common order.
func orderValues(a, b *filterValue) (order int, meet bool) {
	switch {
	case a.kind == textKind && b.kind == textKind:
		return bytes.Compare(a.text, b.text), true
	case a.kind == durationKind && b.kind == durationKind:
		return cmp.Compare(int64(a.bits), int64(b.bits)), true
	case a.kind == instantKind && b.kind == instantKind:
		return cmp.Compare(a.bits, b.bits), true
	case a.kind == intKind && b.kind == intKind:
		return cmp.Compare(int64(a.bits), int64(b.bits)), true
	case a.kind == doubleKind && b.kind == doubleKind:
		return orderDoubles(math.Float64frombits(a.bits), math.Float64frombits(b.bits))
	case a.kind == intKind && b.kind == doubleKind:
		return orderIntDouble(int64(a.bits), math.Float64frombits(b.bits))
	case a.kind == doubleKind && b.kind == intKind:
		order, meet = orderIntDouble(int64(b.bits), math.Float64frombits(a.bits))
		return -order, meet
	}
	return 0, false
}

// orderDoubles compares as IEEE does: NaN is in no order with anything.
func orderDoubles(a, b float64) (order int, meet bool) {
	if math.IsNaN(a) || math.IsNaN(b) {
		return 0, false
	}
	return cmp.Compare(a, b), true
}

// orderIntDouble compares exactly: a conversion to double would make neighbours equal
// beyond 2^53, where ids and nanoseconds live.
func orderIntDouble(i int64, d float64) (order int, meet bool) {
	switch {
	case math.IsNaN(d):
		return 0, false
	case d >= 1<<63:
		return -1, true
	case d < -1<<63:
		return 1, true
	}
	whole := math.Trunc(d)
	if order := cmp.Compare(i, int64(whole)); order != 0 {
		return order, true
	}
	return cmp.Compare(whole, d), true
}

// number is an untyped constant read as a decimal number: an int where it is one, else the
// nearest double.
type number struct {
	isInt  bool
	int    int64
	double float64
}

// readNumber reads a decimal number, with a fraction and an exponent or without. The words
// that strconv reads too (inf, nan) are texts to whoever writes them without a type.
func readNumber(text string) (number, bool) {
	for i := range len(text) {
		switch c := text[i]; {
		case c >= '0' && c <= '9', c == '+', c == '-', c == '.', c == 'e', c == 'E':
		default:
			return number{}, false
		}
	}
	if v, err := strconv.ParseInt(text, 10, 64); err == nil {
		return number{isInt: true, int: v}, true
	}
	v, err := strconv.ParseFloat(text, 64)
	return number{double: v}, err == nil
}

// order compares a value of the span with the number.
func (n number) order(v *filterValue) (order int, meet bool) {
	constant := filterValue{kind: doubleKind, bits: math.Float64bits(n.double)}
	if n.isInt {
		constant = filterValue{kind: intKind, bits: uint64(n.int)}
	}
	return orderValues(v, &constant)
}

// instantOf gives unix nanoseconds as columns have them. A time that no column can have
// gives side -1 (before all) or 1 (after all).
func instantOf(c span.Constant) (nanos uint64, side int) {
	const perSecond = 1_000_000_000
	const secondsMax, nanosMax = math.MaxUint64 / perSecond, math.MaxUint64 % perSecond
	switch {
	case c.Int < 0:
		return 0, -1
	case c.Int > secondsMax, c.Int == secondsMax && c.Nanos > nanosMax:
		return 0, 1
	}
	return uint64(c.Int)*perSecond + uint64(c.Nanos), 0
}
