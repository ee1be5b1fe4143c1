package enginetest

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// Holds reports whether a filter holds on a row: the slow truth that the engine's compiled
// filters are compared with. It follows the rules word by word: gather all values that each
// operand gives, then ask the operator's question of the list. Numbers are compared as
// rationals, instants as big integers, words by splitting the whole text.
func Holds(f span.Filter, row span.Row) bool {
	return unboundTeller(row).holds(f)
}

func unboundTeller(row span.Row) teller { return teller{row: row, event: -1, link: -1} }

// elements gives the range of the events or links that are meant.
func (t teller) elements(level span.Level) (begin, end uint32) {
	bound := t.event
	begin, end = t.row.EventRange()
	if level == span.LinkLevel {
		bound = t.link
		begin, end = t.row.LinkRange()
	}
	if bound >= 0 {
		return uint32(bound), uint32(bound) + 1
	}
	return begin, end
}

// teller is a row, and the event and the link that Some binds, -1 for none.
type teller struct {
	row         span.Row
	event, link int
}

// The values of a span: string, bool, int64, float64, and these.
type (
	bytesHeld    string // with the text that a legacy search compares
	arrayHeld    string
	mapHeld      string
	emptyHeld    struct{}
	durationHeld int64
	instantHeld  struct{ *big.Int } // unix nanoseconds
)

func (t teller) holds(f span.Filter) bool {
	switch f := f.(type) {
	case span.And:
		return !slices.ContainsFunc(f.Parts, func(part span.Filter) bool { return !t.holds(part) })
	case span.Or:
		return slices.ContainsFunc(f.Parts, t.holds)
	case span.Not:
		return !t.holds(f.Part)
	case span.Some:
		return t.some(f)
	case span.Tag:
		return hasTag(pairsOf(t), f)
	case span.Exists:
		return len(t.values(f.Reference)) > 0
	case span.Comparison:
		return t.comparison(f)
	case span.In:
		return t.anyEquals(f.Reference, f.Values)
	case span.NotIn:
		return len(t.values(f.Reference)) > 0 && !t.anyEquals(f.Reference, f.Values)
	case span.Regex:
		return t.anyText(f.Reference, regexp.MustCompile(f.Pattern).MatchString)
	case span.Phrase:
		return t.anyText(f.Attribute, func(text string) bool {
			return strings.Contains(spaced(wordsIn(text)), spaced(wordsIn(strings.Join(f.Words, " "))))
		})
	case span.FullText:
		return t.anyText(f.Attribute, func(text string) bool {
			words := wordsIn(text)
			return !slices.ContainsFunc(f.Words, func(w string) bool { return !slices.Contains(words, wordsIn(w)[0]) })
		})
	}
	return false
}

func (t teller) some(f span.Some) bool {
	begin, end := t.row.EventRange()
	if f.Level == span.LinkLevel {
		begin, end = t.row.LinkRange()
	}
	for i := begin; i < end; i++ {
		inner := t
		if f.Level == span.LinkLevel {
			inner.link = int(i)
		} else {
			inner.event = int(i)
		}
		if inner.holds(f.Part) {
			return true
		}
	}
	return false
}

func (t teller) anyText(reference span.Reference, matches func(string) bool) bool {
	for _, v := range t.values(reference) {
		if text, ok := v.(string); ok && matches(text) {
			return true
		}
	}
	return false
}

func (t teller) anyEquals(reference span.Reference, list []span.Constant) bool {
	for _, c := range list {
		if t.comparison(span.Comparison{Op: span.Equal, Left: reference, Right: c}) {
			return true
		}
	}
	return false
}

// comparison asks every pair of values.
func (t teller) comparison(f span.Comparison) bool {
	lefts, rights := t.values(f.Left), t.values(f.Right)
	if f.Op == span.NotEqual {
		equal := t.comparison(span.Comparison{Op: span.Equal, Left: f.Left, Right: f.Right})
		return len(lefts) > 0 && len(rights) > 0 && !equal
	}
	for _, left := range lefts {
		for _, right := range rights {
			if pairHolds(f.Op, left, right) {
				return true
			}
		}
	}
	return false
}

// pairHolds compares two values or constants.
func pairHolds(op span.Comparator, left, right any) bool {
	l, leftConstant := left.(span.Constant)
	r, rightConstant := right.(span.Constant)
	untypedLeft := leftConstant && l.Type == span.UntypedConstant
	untypedRight := rightConstant && r.Type == span.UntypedConstant
	switch {
	case untypedLeft && untypedRight:
		a, b := rational(l.Text), rational(r.Text)
		if a != nil && b != nil {
			return asked(op, a.Cmp(b))
		}
		return asked(op, strings.Compare(l.Text, r.Text))
	case untypedLeft:
		return untypedHolds(op.Turned(), typed(right), l.Text)
	case untypedRight:
		return untypedHolds(op, typed(left), r.Text)
	}
	a, b := typed(left), typed(right)
	if leftConstant || rightConstant { // a type says it all: an int is no double
		_, aDouble := a.(float64)
		_, bDouble := b.(float64)
		if aDouble != bDouble {
			return false
		}
	}
	order, how := meet(a, b)
	return how == ordered && asked(op, order) || how == unordered && op == span.Equal && order == 0
}

// untypedHolds compares a value with an untyped constant.
func untypedHolds(op span.Comparator, v any, text string) bool {
	number := rational(text)
	switch v := v.(type) {
	case string:
		if op == span.Equal {
			return v == text
		}
		return number == nil && asked(op, strings.Compare(v, text))
	case int64:
		return number != nil && asked(op, new(big.Rat).SetInt64(v).Cmp(number))
	case float64:
		if number == nil || math.IsNaN(v) {
			return false
		}
		if math.IsInf(v, 0) {
			return asked(op, int(math.Copysign(1, v)))
		}
		return asked(op, new(big.Rat).SetFloat64(v).Cmp(number))
	case bool:
		return op == span.Equal && text == strconv.FormatBool(v)
	case bytesHeld:
		return op == span.Equal && string(v) == text
	case arrayHeld:
		return op == span.Equal && string(v) == text
	case mapHeld:
		return op == span.Equal && string(v) == text
	}
	return false
}

// rational reads a decimal number; one that is no int64 is the double nearest to it.
func rational(text string) *big.Rat {
	if !decimal.MatchString(text) {
		return nil
	}
	if whole, ok := new(big.Int).SetString(text, 10); ok && whole.IsInt64() {
		return new(big.Rat).SetInt(whole)
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil
	}
	return new(big.Rat).SetFloat64(f)
}

var decimal = regexp.MustCompile(`^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$`)

func asked(op span.Comparator, order int) bool {
	return map[span.Comparator]bool{
		span.Equal: order == 0, span.NotEqual: order != 0, span.Less: order < 0,
		span.LessOrEqual: order <= 0, span.Greater: order > 0, span.GreaterOrEqual: order >= 0,
	}[op]
}

// How two values meet.
const (
	apart     = iota // not at all
	unordered        // equal or not
	ordered
)

// meet compares two values of the span.
func meet(a, b any) (order, how int) {
	switch a := a.(type) {
	case string:
		if b, ok := b.(string); ok {
			return strings.Compare(a, b), ordered
		}
	case durationHeld:
		if b, ok := b.(durationHeld); ok {
			return big.NewInt(int64(a)).Cmp(big.NewInt(int64(b))), ordered
		}
	case instantHeld:
		if b, ok := b.(instantHeld); ok {
			return a.Cmp(b.Int), ordered
		}
	case bool, bytesHeld, arrayHeld, mapHeld:
		if a == b {
			return 0, unordered
		}
	case int64, float64:
		x, y := wide(a), wide(b)
		if x != nil && y != nil {
			return x.Cmp(y), ordered
		}
	}
	return 0, apart
}

// wide is a number with room for all digits of an int64 and of a double.
func wide(v any) *big.Float {
	f := new(big.Float).SetPrec(2200)
	switch v := v.(type) {
	case int64:
		return f.SetInt64(v)
	case float64:
		if !math.IsNaN(v) {
			return f.SetFloat64(v)
		}
	}
	return nil
}

// typed is a constant as a value.
func typed(v any) any {
	c, ok := v.(span.Constant)
	if !ok {
		return v
	}
	switch c.Type {
	case span.IntConstant:
		return c.Int
	case span.DoubleConstant:
		return c.Double
	case span.BoolConstant:
		return c.Int == 1
	case span.DurationConstant:
		return durationHeld(c.Int)
	case span.InstantConstant:
		n := new(big.Int).Mul(big.NewInt(c.Int), big.NewInt(int64(time.Second)))
		return instantHeld{n.Add(n, big.NewInt(int64(c.Nanos)))}
	}
	return c.Text
}

// wordsIn splits a text into its words, ASCII letters in lower case.
func wordsIn(text string) []string {
	isBetween := func(c rune) bool {
		return c == unicode.ReplacementChar || !unicode.In(c, unicode.L, unicode.Nd, unicode.M)
	}
	words := strings.FieldsFunc(text, isBetween)
	for i, word := range words {
		words[i] = strings.Map(func(c rune) rune {
			if c < unicode.MaxASCII {
				return unicode.ToLower(c)
			}
			return c
		}, word)
	}
	return words
}

func spaced(words []string) string { return " " + strings.Join(words, " ") + " " }

// heldBy gives what an attribute says.
func heldBy(b *span.Batch, a span.Attr) any {
	text := string(otlp.AppendText(nil, b, a))
	kind, bits := a.Type, a.Value
	switch kind {
	case span.RawAttribute:
		var any []byte
		for field, content := range members(b.Bytes(span.TextID(a.Value))) {
			if field == 2 {
				any = append(any, content...)
			}
		}
		kind, bits = anyKind(any)
	case span.RawValue:
		kind, bits = anyKind(b.Bytes(span.TextID(a.Value)))
	}
	switch kind {
	case span.StringValue:
		return text
	case span.BoolValue:
		return bits != 0
	case span.IntValue:
		return int64(bits)
	case span.DoubleValue:
		return math.Float64frombits(bits)
	case span.BytesValue:
		return bytesHeld(text)
	case span.ArrayValue:
		return arrayHeld(text)
	case span.MapValue:
		return mapHeld(text)
	}
	return emptyHeld{}
}

// anyKind reads which member of an AnyValue counts: the last.
func anyKind(message []byte) (kind span.ValueType, bits uint64) {
	kinds := map[int]span.ValueType{
		1: span.StringValue, 2: span.BoolValue, 3: span.IntValue, 4: span.DoubleValue,
		5: span.ArrayValue, 6: span.MapValue, 7: span.BytesValue, 8: span.EmptyValue,
	}
	kind = span.EmptyValue
	for field, content := range members(message) {
		if known, ok := kinds[field]; ok {
			kind = known
			if len(content) == 8 {
				bits = binary.LittleEndian.Uint64(content)
			}
		}
	}
	return kind, bits
}

// members walks the fields of a message; numbers come as 8 bytes.
func members(message []byte) func(yield func(int, []byte) bool) {
	return func(yield func(int, []byte) bool) {
		r := bytes.NewReader(message)
		for r.Len() > 0 {
			tag, _ := binary.ReadUvarint(r)
			var content []byte
			switch tag & 7 {
			case varintField:
				n, _ := binary.ReadUvarint(r)
				content = binary.LittleEndian.AppendUint64(nil, n)
			case fixed64Field:
				content = make([]byte, 8)
				_, _ = r.Read(content)
			case fixed32Field:
				content = make([]byte, 4)
				_, _ = r.Read(content)
			default:
				n, _ := binary.ReadUvarint(r)
				content = make([]byte, min(n, uint64(r.Len())))
				_, _ = r.Read(content)
			}
			if !yield(int(tag>>3), content) {
				return
			}
		}
	}
}
