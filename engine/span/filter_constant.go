package span

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ReadConstant reads text as a constant of a type by its name: string, int, double, bool, and
// none for one that stays untyped.
func ReadConstant(typeName, text string) (c Constant, err error) {
	switch typeName {
	case "":
		return Untyped(text), nil
	case "string":
		return OfString(text), nil
	case "int":
		c.Type = IntConstant
		c.Int, err = strconv.ParseInt(text, 10, 64)
	case "double":
		c.Type = DoubleConstant
		c.Double, err = strconv.ParseFloat(text, 64)
	case "bool":
		var v bool
		v, err = strconv.ParseBool(text)
		c = OfBool(v)
	default:
		return c, fmt.Errorf("%w: type %.100q is none of string, int, double, bool", ErrInvalid, typeName)
	}
	if err != nil {
		return c, fmt.Errorf("%w: %.100q is no %s", ErrInvalid, text, typeName)
	}
	return c, nil
}

// Beside reads a constant once more, as the kind of what it is compared with: a field, or a
// constant of a type. Of a field that has words, strings are checked.
func (c Constant) Beside(other Operand) (Constant, error) {
	switch other := other.(type) {
	case Field:
		if c.Type == UntypedConstant || c.Type == StringConstant && other.Words() != nil {
			return other.ConstantOf(c.Text)
		}
	case Constant:
		if c.Type == UntypedConstant {
			return ReadConstant(constantTypeNames[other.Type], c.Text)
		}
	}
	return c, nil
}

// constantTypeNames names the types of constants as ReadConstant does. Times have no name, as they have
// none on Jaeger's wire.
var constantTypeNames = map[ConstantType]string{StringConstant: "string", IntConstant: "int", DoubleConstant: "double", BoolConstant: "bool"}

// ConstantOf reads text as a value of the field: a duration with its unit, an instant of
// RFC 3339 to nanoseconds, one of the words where there are some, else a string.
func (f Field) ConstantOf(text string) (Constant, error) {
	if words := f.Words(); words != nil && !slices.Contains(words, text) {
		return Constant{}, fmt.Errorf("%w: %.100q is never a %v: one of %s", ErrInvalid, text, f, strings.Join(words, ", "))
	}
	switch f.Domain() {
	case DurationDomain:
		d, err := time.ParseDuration(text)
		if err != nil {
			return Constant{}, fmt.Errorf("%w: %v is compared with a duration and its unit, like 2s or 1m30s, not %.100q", ErrInvalid, f, text)
		}
		return OfDuration(int64(d)), nil
	case InstantDomain:
		c, err := ReadInstant(text)
		if err != nil {
			return c, fmt.Errorf("%w: %v is compared with an instant of RFC 3339, to nanoseconds, not %.100q", ErrInvalid, f, text)
		}
		return c, nil
	}
	return OfString(text), nil
}

// ReadInstant reads an instant of RFC 3339 to nanoseconds.
func ReadInstant(text string) (Constant, error) {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || strings.Contains(text, ",") || isFinerThanNanos(text) {
		return Constant{}, fmt.Errorf("%w: %.100q is no instant of RFC 3339, to nanoseconds", ErrInvalid, text)
	}
	return OfInstant(t.Unix(), int32(t.Nanosecond())), nil
}

// isFinerThanNanos tells of digits that the time package would drop.
func isFinerThanNanos(text string) bool {
	_, fraction, ok := strings.Cut(text, ".")
	return ok && len(strings.TrimLeft(fraction, "0123456789")) < len(fraction)-9
}

// CheckComparison refuses a comparison that no two values could answer: of different kinds, or
// an order of what has none. part is the operand that is at fault, 0 or 1, or -1 for both.
func CheckComparison(op Comparator, left, right Operand) (part int, err error) {
	if l, r := domainOf(left), domainOf(right); l != r && l != UnknownDomain && r != UnknownDomain {
		return -1, fmt.Errorf("%w: %v is %v and %v is %v: they cannot be compared", ErrInvalid, left, l, right, r)
	}
	if !op.IsOrdering() {
		return 0, nil
	}
	for i, o := range []Operand{left, right} {
		if !isOrdered(o) {
			return i, fmt.Errorf("%w: %v has no order: bools, kinds and statuses are only equal or not", ErrInvalid, o)
		}
	}
	return 0, nil
}

// domainOf is what is known of an operand's values.
func domainOf(o Operand) Domain {
	switch o := o.(type) {
	case Constant:
		return o.Domain()
	case Field:
		return o.Domain()
	}
	return UnknownDomain
}

func isOrdered(o Operand) bool {
	switch o := o.(type) {
	case Constant:
		return o.Type != BoolConstant
	case Field:
		return o.Words() == nil
	}
	return true
}
