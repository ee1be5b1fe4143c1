package span

import (
	"fmt"
	"strconv"
	"strings"
)

// Filter is a condition on one span: a tree of the nodes below and of no others, so that
// who reads one can be sure to know every case. It is what Jaeger's structured filter
// means, free of the wire: levels, fields and operators are numbers, constants are read.
//
// Three rules hold throughout.
//   - A reference gives any number of values: none where the span lacks what it names, two
//     where an unqualified attribute stands on the span and on its resource, one for each
//     event or link that has it. Of a key that stands twice in one list the last counts.
//   - A positive leaf holds where one of the values passes. A negated leaf (NotEqual, NotIn)
//     holds where there is a value and none passes.
//   - So a leaf on a missing value never holds; Not is the only node that makes it true.
//
// A filter is never changed once made: any number of goroutines may read it.
type Filter interface {
	// String is the canonical text: two filters have the same text if and only if they are
	// the same tree. ParseQuery reads it back, see Text.
	fmt.Stringer
	filter()
}

// And holds where all of its two or more parts hold, on the same span.
type And struct{ Parts []Filter }

// Or holds where one of its two or more parts holds.
type Or struct{ Parts []Filter }

// Not holds where its part does not.
type Not struct{ Part Filter }

// Comparator is what a Comparison asks of two values.
type Comparator uint8

// The six comparators.
const (
	Equal Comparator = iota
	NotEqual
	Less
	LessOrEqual
	Greater
	GreaterOrEqual
)

var comparatorNames = [...]string{"eq", "ne", "lt", "lte", "gt", "gte"}

// String is the operator's name, as Jaeger has it.
func (c Comparator) String() string { return nameOf(comparatorNames[:], uint8(c)) }

// IsOrdering tells the four that need an order from Equal and NotEqual.
func (c Comparator) IsOrdering() bool { return c > NotEqual }

// Turned is the comparator that says the same with its operands exchanged.
func (c Comparator) Turned() Comparator {
	return [...]Comparator{Equal, NotEqual, Greater, GreaterOrEqual, Less, LessOrEqual}[c]
}

// Comparison compares two values, each a reference or a constant. Values of different domains
// (numbers, text, bools, durations, instants) never meet: they are neither equal nor in
// any order. See Constant for what a constant meets. Bools, kinds and statuses have no
// order; bytes, arrays and maps are equal or not, and have none either.
type Comparison struct {
	Op          Comparator
	Left, Right Operand
}

// In holds where a value equals one of the constants, of which there is one or more.
type In struct {
	Reference Reference
	Values    []Constant
}

// NotIn holds where there is a value and none equals one of the constants.
type NotIn struct {
	Reference Reference
	Values    []Constant
}

// Exists holds where there is a value: of an attribute where its key is there, even with an
// empty value; of a field where the span has it, see Field.
type Exists struct{ Reference Reference }

// Regex holds where the pattern matches anywhere in a text. The pattern is RE2; other
// values than texts never match.
type Regex struct {
	Reference Reference
	Pattern   string
}

// Some holds where one event (or link) of the span satisfies the part: inside it every
// reference to that level means this one element. Outside of Some such a reference means
// any element, each leaf for itself. The part has no Some of the same level.
type Some struct {
	Level Level
	Part  Filter
}

// Phrase holds where a text has the words next to each other in this order. Words are runs
// of Unicode letters, digits and marks, all else separates them; the case of ASCII letters
// does not count.
type Phrase struct {
	Attribute Attribute
	Words     []string
}

// FullText holds where a text has all of the words, in any order; see Phrase.
type FullText struct {
	Attribute Attribute
	Words     []string
}

func (And) filter()        {}
func (Or) filter()         {}
func (Not) filter()        {}
func (Comparison) filter() {}
func (In) filter()         {}
func (NotIn) filter()      {}
func (Exists) filter()     {}
func (Regex) filter()      {}
func (Some) filter()       {}
func (Phrase) filter()     {}
func (FullText) filter()   {}
func (Tag) filter()        {}

func (f And) String() string { return call("and", f.Parts...) }
func (f Or) String() string  { return call("or", f.Parts...) }
func (f Not) String() string { return call("not", f.Part) }
func (f Comparison) String() string {
	return call[fmt.Stringer](f.Op.String(), f.Left, f.Right)
}
func (f In) String() string     { return withList("in", f.Reference, f.Values) }
func (f NotIn) String() string  { return withList("not_in", f.Reference, f.Values) }
func (f Exists) String() string { return call("exists", f.Reference) }
func (f Regex) String() string {
	return call[fmt.Stringer]("regex", f.Reference, quoted(f.Pattern))
}
func (f Some) String() string {
	return "some(" + f.Level.String() + ", " + textOf(f.Part) + ")"
}
func (f Phrase) String() string   { return withList("phrase", f.Attribute, quotedAll(f.Words)) }
func (f FullText) String() string { return withList("fulltext", f.Attribute, quotedAll(f.Words)) }
func (f Tag) String() string      { return call("tag", quoted(f.Key), quoted(f.Value)) }

// quoted is text as it stands in a canonical text.
type quoted string

func (q quoted) String() string { return strconv.Quote(string(q)) }

func quotedAll(words []string) []quoted {
	list := make([]quoted, len(words))
	for i, word := range words {
		list[i] = quoted(word)
	}
	return list
}

// textOf spares a tree with a part missing, which compiling refuses, a panic in a log.
func textOf[T fmt.Stringer](part T) string {
	if any(part) == nil {
		return "nothing"
	}
	return part.String()
}

func joined[T fmt.Stringer](parts []T) string {
	texts := make([]string, len(parts))
	for i, part := range parts {
		texts[i] = textOf(part)
	}
	return strings.Join(texts, ", ")
}

func call[T fmt.Stringer](name string, parts ...T) string { return name + "(" + joined(parts) + ")" }

func withList[T fmt.Stringer](name string, reference Reference, list []T) string {
	return name + "(" + textOf(reference) + ", [" + joined(list) + "])"
}

func nameOf(names []string, i uint8) string {
	if int(i) < len(names) {
		return names[i]
	}
	return strconv.Itoa(int(i))
}

// Limits of a filter. Who writes more means something else, and every row pays for it.
const (
	// FilterDepthMax is how many calls (of any node) may stand one inside the other, the
	// root counted: Jaeger's own bound. Evaluation recurses.
	FilterDepthMax = 20
	// FilterNodesMax is how many nodes a filter may have in all: a row may need each.
	FilterNodesMax = 1000
	// PatternBytesMax is the longest pattern of a Regex, PatternStepsMax the steps that its
	// program may take when written out: repetitions multiply, and matching costs up to all
	// steps for each byte of a value.
	PatternBytesMax = 1 << 10
	PatternStepsMax = 4_000
	// ConstantsMax is how many constants the lists of a filter may have together: each takes
	// a quarter of a KiB where it has no type, as long as the question lasts.
	ConstantsMax = 4_000
	// PatternsStepsMax bounds the steps of all patterns of a filter: 50 bytes each.
	PatternsStepsMax = 5 * PatternStepsMax
	// WordsMax is how many words a Phrase or FullText may have: each place of a text may be
	// tried with all.
	WordsMax = 64
	// WordUnitsMax is the longest word of a Phrase or FullText, in UTF-16 units: Jaeger's.
	WordUnitsMax = 255
)
