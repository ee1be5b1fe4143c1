package span

import (
	"fmt"
	"strconv"
	"time"
)

// Operand is what a Comparison compares: a Reference or a Constant.
type Operand interface {
	fmt.Stringer
	operand()
}

// Reference names values of a span: an Attribute or a Field.
type Reference interface {
	Operand
	reference()
}

// Attribute refers to the attributes of a key on one level, or on the span and its resource
// where it is Unqualified; Level is 0 then.
type Attribute struct {
	Level       Level
	Unqualified bool
	Key         string
}

func (Attribute) operand()   {}
func (Attribute) reference() {}

func (a Attribute) String() string {
	if a.Unqualified {
		return "attr(" + strconv.Quote(a.Key) + ")"
	}
	return "attr(" + a.Level.String() + ", " + strconv.Quote(a.Key) + ")"
}

var levelNames = [Levels]string{"span", "resource", "scope", "event", "link"}

// String is the level's name, as Jaeger has it.
func (l Level) String() string { return nameOf(levelNames[:], uint8(l)) }

// LevelOf gives the level of a name.
func LevelOf(name string) (Level, bool) {
	for level, known := range levelNames {
		if known == name {
			return Level(level), true
		}
	}
	return 0, false
}

// Domain is a kind of values that can meet in a comparison.
type Domain uint8

// The domains. What an attribute or an untyped constant holds is not known beforehand.
const (
	UnknownDomain Domain = iota
	NumberDomain
	TextDomain
	BoolDomain
	DurationDomain
	InstantDomain
)

var domainNames = [...]string{"a value of any kind", "a number", "a text", "a bool", "a duration", "an instant"}

func (d Domain) String() string { return nameOf(domainNames[:], uint8(d)) }

// Field refers to a value that the data model itself defines. Ids are texts of lower-case
// hex digits. A field is missing where OTLP's value is the empty one and means "not set":
// ParentSpanID, TraceState, StatusMessage, the resource's Service and the scope's fields.
// A kind or status whose number OTLP does not define has no word, and is missing too. The
// other fields of a span are always there, those of events and links where there is one.
type Field uint8

// The fields, by level.
const (
	NoField Field = iota
	SpanTraceID
	SpanSpanID
	SpanParentSpanID
	SpanTraceState
	SpanName
	SpanKind
	SpanStartTime
	SpanEndTime
	SpanStatus
	SpanStatusMessage
	SpanDuration // as Duration has it
	ResourceService
	ResourceSchemaURL
	ScopeName
	ScopeVersion
	ScopeSchemaURL
	EventName
	EventTime
	EventTimeSinceStart // may be negative; saturates at the ends of an int64
	LinkTraceID
	LinkSpanID
	LinkTraceState
	Fields = iota
)

// KindWords and StatusWords are the values of the fields SpanKind and SpanStatus, by OTLP
// number.
var (
	KindWords   = []string{"unspecified", "internal", "server", "client", "producer", "consumer"}
	StatusWords = []string{"unset", "ok", "error"}
)

var fields = [Fields]struct {
	level  Level
	name   string
	domain Domain
	words  []string // where only these are values
}{
	NoField:             {0, "none", UnknownDomain, nil},
	SpanTraceID:         {SpanLevel, "traceID", TextDomain, nil},
	SpanSpanID:          {SpanLevel, "spanID", TextDomain, nil},
	SpanParentSpanID:    {SpanLevel, "parentSpanID", TextDomain, nil},
	SpanTraceState:      {SpanLevel, "traceState", TextDomain, nil},
	SpanName:            {SpanLevel, "name", TextDomain, nil},
	SpanKind:            {SpanLevel, "kind", TextDomain, KindWords},
	SpanStartTime:       {SpanLevel, "startTime", InstantDomain, nil},
	SpanEndTime:         {SpanLevel, "endTime", InstantDomain, nil},
	SpanStatus:          {SpanLevel, "status", TextDomain, StatusWords},
	SpanStatusMessage:   {SpanLevel, "statusMessage", TextDomain, nil},
	SpanDuration:        {SpanLevel, "duration", DurationDomain, nil},
	ResourceService:     {ResourceLevel, "service", TextDomain, nil},
	ResourceSchemaURL:   {ResourceLevel, "schemaURL", TextDomain, nil},
	ScopeName:           {ScopeLevel, "name", TextDomain, nil},
	ScopeVersion:        {ScopeLevel, "version", TextDomain, nil},
	ScopeSchemaURL:      {ScopeLevel, "schemaURL", TextDomain, nil},
	EventName:           {EventLevel, "name", TextDomain, nil},
	EventTime:           {EventLevel, "time", InstantDomain, nil},
	EventTimeSinceStart: {EventLevel, "timeSinceStart", DurationDomain, nil},
	LinkTraceID:         {LinkLevel, "traceID", TextDomain, nil},
	LinkSpanID:          {LinkLevel, "spanID", TextDomain, nil},
	LinkTraceState:      {LinkLevel, "traceState", TextDomain, nil},
}

// FieldOf gives the field of a level and a name.
func FieldOf(level Level, name string) (Field, bool) {
	for f := NoField + 1; f < Fields; f++ {
		if fields[f].level == level && fields[f].name == name {
			return f, true
		}
	}
	return NoField, false
}

func (Field) operand()   {}
func (Field) reference() {}

// IsKnown tells the fields above from other numbers.
func (f Field) IsKnown() bool { return f > NoField && f < Fields }

// Name is the field's name on its level, as Jaeger has it.
func (f Field) Name() string { return fields[f].name }

// Level is where the field stands.
func (f Field) Level() Level { return fields[f].level }

// Domain is the kind of the field's values.
func (f Field) Domain() Domain { return fields[f].domain }

// Words gives the only values that the field can have, nil where there are others. Words
// have no order.
func (f Field) Words() []string { return fields[f].words }

func (f Field) String() string {
	if f >= Fields {
		return strconv.Itoa(int(f))
	}
	return fields[f].level.String() + "." + fields[f].name
}

// ConstantType says how a constant is read.
type ConstantType uint8

// The types. The last two have no name on Jaeger's wire: a constant is read so where it
// stands beside a field of that domain.
const (
	UntypedConstant ConstantType = iota
	StringConstant
	IntConstant
	DoubleConstant
	BoolConstant
	DurationConstant
	InstantConstant
)

// Constant is a value that the filter brings along. Two have the same type and fields if
// and only if they are the same.
//
// A typed one meets values of just that type: an int never a stored double, nor the
// reverse. An untyped one equals a stored int or double as a number (where it is written
// as a decimal number), a string as text, a bool by its name, and bytes, arrays and maps by
// the text that a legacy search compares. In an ordering it meets values of its own domain
// only: numbers where it is written as one, text otherwise.
type Constant struct {
	Type   ConstantType
	Text   string  // of Untyped and String
	Int    int64   // of Int; of Bool, 0 or 1; of Duration, nanoseconds; of Instant, unix seconds
	Nanos  int32   // of Instant, 0 to 999,999,999
	Double float64 // of Double
}

func (Constant) operand() {}

// Untyped is the constant of a text under no type.
func Untyped(text string) Constant { return Constant{Type: UntypedConstant, Text: text} }

// OfString is the constant of a string.
func OfString(text string) Constant { return Constant{Type: StringConstant, Text: text} }

// OfInt is the constant of an integer.
func OfInt(v int64) Constant { return Constant{Type: IntConstant, Int: v} }

// OfDouble is the constant of a double.
func OfDouble(v float64) Constant { return Constant{Type: DoubleConstant, Double: v} }

// OfBool is the constant of a bool.
func OfBool(v bool) Constant {
	c := Constant{Type: BoolConstant}
	if v {
		c.Int = 1
	}
	return c
}

// OfDuration is the constant of a duration in nanoseconds.
func OfDuration(nanos int64) Constant { return Constant{Type: DurationConstant, Int: nanos} }

// OfInstant is the constant of an instant, in seconds since 1970 and nanoseconds of them.
func OfInstant(seconds int64, nanos int32) Constant {
	return Constant{Type: InstantConstant, Int: seconds, Nanos: nanos}
}

// Domain is the kind of the constant's value.
func (c Constant) Domain() Domain {
	switch c.Type {
	case StringConstant:
		return TextDomain
	case IntConstant, DoubleConstant:
		return NumberDomain
	case BoolConstant:
		return BoolDomain
	case DurationConstant:
		return DurationDomain
	case InstantConstant:
		return InstantDomain
	}
	return UnknownDomain
}

func (c Constant) String() string {
	switch c.Type {
	case UntypedConstant:
		return strconv.Quote(c.Text)
	case StringConstant:
		return "string(" + strconv.Quote(c.Text) + ")"
	case IntConstant:
		return "int(" + strconv.FormatInt(c.Int, 10) + ")"
	case DoubleConstant:
		return "double(" + strconv.FormatFloat(c.Double, 'g', -1, 64) + ")"
	case BoolConstant:
		return "bool(" + strconv.FormatBool(c.Int != 0) + ")"
	case DurationConstant:
		return "duration(" + time.Duration(c.Int).String() + ")"
	case InstantConstant:
		return "instant(" + time.Unix(c.Int, int64(c.Nanos)).UTC().Format(time.RFC3339Nano) + ")"
	}
	return "unknown(" + strconv.Itoa(int(c.Type)) + ")"
}
