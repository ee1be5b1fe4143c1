package engine

import (
	"cmp"
	"io"
	"math"
	"regexp"
	"strconv"
	"unicode/utf8"

	"github.com/stoadb/stoa/engine/span"
)

// valueTest is what a leaf asks of one value.
type valueTest interface {
	passes(r *filterRun, v *filterValue) bool
	cost() int
}

// few is up to how many members a list is walked rather than hashed.
const few = 8

// set is a set of numbers.
type set[T cmp.Ordered] struct {
	list []T
	many map[T]struct{} // all, where the list is longer than few
}

func (s *set[T]) add(v T) {
	s.list = append(s.list, v)
	if s.many == nil && len(s.list) > few {
		s.many = make(map[T]struct{})
		for _, known := range s.list {
			s.many[known] = struct{}{}
		}
	}
	if s.many != nil {
		s.many[v] = struct{}{}
	}
}

func (s *set[T]) has(v T) bool {
	if s.many != nil {
		_, ok := s.many[v]
		return ok
	}
	for _, known := range s.list {
		if known == v {
			return true
		}
	}
	return false
}

// hasText is has for bytes, without a copy of them.
func hasText(s *set[string], text []byte) bool {
	if s.many != nil {
		_, ok := s.many[string(text)]
		return ok
	}
	for _, known := range s.list {
		if known == string(text) {
			return true
		}
	}
	return false
}

// equalTest asks whether a value equals one of the constants. Each constant is put where
// the values stand that it can equal, so a value looks in one place.
type equalTest struct {
	texts     set[string]
	ints      set[int64]
	doubles   set[float64]
	bools     [2]bool
	spelled   set[string] // untyped constants: bytes, arrays and maps by their text
	isTag     bool        // doubles and empty values by their text too, see tagTest
	durations set[int64]
	instants  set[uint64]
}

func (t *equalTest) add(c span.Constant) {
	switch c.Type {
	case span.UntypedConstant:
		t.addUntyped(c.Text)
	case span.StringConstant:
		t.texts.add(c.Text)
	case span.IntConstant:
		t.ints.add(c.Int)
	case span.DoubleConstant:
		t.doubles.add(c.Double)
	case span.BoolConstant:
		t.bools[c.Int&1] = true
	case span.DurationConstant:
		t.durations.add(c.Int)
	case span.InstantConstant:
		if nanos, side := instantOf(c); side == 0 {
			t.instants.add(nanos)
		}
	}
}

func (t *equalTest) addUntyped(text string) {
	t.texts.add(text)
	t.spelled.add(text)
	if v, err := strconv.ParseBool(text); err == nil && strconv.FormatBool(v) == text {
		if v {
			t.bools[1] = true
		} else {
			t.bools[0] = true
		}
	}
	n, ok := readNumber(text)
	switch {
	case !ok:
	case n.isInt:
		t.ints.add(n.int)
		if d := float64(n.int); equalIntDouble(n.int, d) {
			t.doubles.add(d)
		}
	default:
		t.doubles.add(n.double)
		if i := int64(n.double); equalIntDouble(i, n.double) {
			t.ints.add(i)
		}
	}
}

func equalIntDouble(i int64, d float64) bool {
	order, meet := orderIntDouble(i, d)
	return meet && order == 0
}

func (t *equalTest) passes(r *filterRun, v *filterValue) bool {
	switch v.kind {
	case textKind:
		return hasText(&t.texts, v.text)
	case intKind:
		return t.ints.has(int64(v.bits))
	case doubleKind:
		if t.isTag {
			return hasText(&t.spelled, r.spell(0, v))
		}
		return t.doubles.has(math.Float64frombits(v.bits))
	case boolKind:
		return t.bools[v.bits&1]
	case durationKind:
		return t.durations.has(int64(v.bits))
	case instantKind:
		return t.instants.has(v.bits)
	case emptyKind:
		return t.isTag && hasText(&t.spelled, r.spell(0, v))
	case bytesKind, arrayKind, mapKind:
		return len(t.spelled.list) > 0 && hasText(&t.spelled, r.spell(0, v))
	}
	return false
}

func (t *equalTest) cost() int { return 1 }

// orderTest asks whether a value is in the order wanted with a constant.
type orderTest struct {
	op       span.Comparator
	constant span.Constant
	number   number // where an untyped constant is one
	isNumber bool
	instant  uint64
	side     int
}

func newOrderTest(op span.Comparator, c span.Constant) *orderTest {
	t := &orderTest{op: op, constant: c}
	if c.Type == span.UntypedConstant {
		t.number, t.isNumber = readNumber(c.Text)
	}
	if c.Type == span.InstantConstant {
		t.instant, t.side = instantOf(c)
	}
	return t
}

func (t *orderTest) passes(_ *filterRun, v *filterValue) bool {
	order, meet := t.order(v)
	return meet && inOrder(t.op, order)
}

// order compares the value with the constant.
func (t *orderTest) order(v *filterValue) (order int, meet bool) {
	c := &t.constant
	switch {
	case c.Type == span.UntypedConstant && t.isNumber:
		return t.number.order(v)
	case c.Type == span.UntypedConstant, c.Type == span.StringConstant:
		return orderText(v.text, c.Text), v.kind == textKind
	case c.Type == span.IntConstant:
		return cmp.Compare(int64(v.bits), c.Int), v.kind == intKind
	case c.Type == span.DoubleConstant && v.kind == doubleKind:
		return orderDoubles(math.Float64frombits(v.bits), c.Double)
	case c.Type == span.DurationConstant:
		return cmp.Compare(int64(v.bits), c.Int), v.kind == durationKind
	case c.Type == span.InstantConstant && t.side != 0:
		return -t.side, v.kind == instantKind
	case c.Type == span.InstantConstant:
		return cmp.Compare(v.bits, t.instant), v.kind == instantKind
	}
	return 0, false
}

func (t *orderTest) cost() int { return 1 }

// orderText is bytes.Compare without a copy.
func orderText(text []byte, constant string) int {
	switch {
	case string(text) == constant:
		return 0
	case string(text) < constant:
		return -1
	}
	return 1
}

// inOrder reports whether an order is what op asks.
func inOrder(op span.Comparator, order int) bool {
	switch op {
	case span.Less:
		return order < 0
	case span.LessOrEqual:
		return order <= 0
	case span.Greater:
		return order > 0
	case span.GreaterOrEqual:
		return order >= 0
	case span.Equal:
		return order == 0
	}
	return order != 0
}

// regexTest asks for a match anywhere in a text.
type regexTest struct {
	pattern *regexp.Regexp
	steps   int // of its program, about: matching may take all of them for each byte
}

// passes matches long texts as a stream that ends early where the question does: a match
// cannot be stopped otherwise.
func (t regexTest) passes(r *filterRun, v *filterValue) bool {
	if v.kind != textKind {
		return false
	}
	work := t.steps * len(v.text)
	if work > patternAtOnceMax {
		return t.pattern.MatchReader(&runes{text: v.text, steps: t.steps, effort: r.effort})
	}
	return r.effort.spendBytes(work) && t.pattern.Match(v.text)
}

// runes gives the runes of a text for as long as there is somebody who waits.
type runes struct {
	text   []byte
	steps  int
	effort *effort
}

// ReadRune implements io.RuneReader.
func (r *runes) ReadRune() (c rune, size int, err error) {
	if len(r.text) == 0 || !r.effort.spendBytes(r.steps) {
		return 0, 0, io.EOF
	}
	c, size = utf8.DecodeRune(r.text)
	r.text = r.text[size:]
	return c, size, nil
}

func (regexTest) cost() int { return 8 }
