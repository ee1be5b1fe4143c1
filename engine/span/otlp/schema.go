package otlp

import "unicode/utf8"

// schema names a message of OTLP that is kept raw: its fields are checked on the way in
// and cleaned on the way out, by the table below.
type schema uint8

const (
	noSchema schema = iota
	anyValue
	arrayValue
	keyValueList
	keyValue
	resourceMessage
	scopeMessage
	entityRef
	spanMessage
	eventMessage
	linkMessage
	statusMessage
)

// Tags (field number << 3 | wire type), message by message.
const (
	tagResourceSpans = 1<<3 | wireBytes // of the request

	tagEnvelopeMessage = 1<<3 | wireBytes // resource of ResourceSpans, scope of ScopeSpans
	tagEnvelopeContent = 2<<3 | wireBytes // scope_spans of ResourceSpans, spans of ScopeSpans
	tagEnvelopeSchema  = 3<<3 | wireBytes

	tagSpanTraceID       = 1<<3 | wireBytes
	tagSpanSpanID        = 2<<3 | wireBytes
	tagSpanTraceState    = 3<<3 | wireBytes
	tagSpanParentID      = 4<<3 | wireBytes
	tagSpanName          = 5<<3 | wireBytes
	tagSpanKind          = 6<<3 | wireVarint
	tagSpanStart         = 7<<3 | wireFixed64
	tagSpanEnd           = 8<<3 | wireFixed64
	tagSpanAttr          = 9<<3 | wireBytes
	tagSpanDroppedAttrs  = 10<<3 | wireVarint
	tagSpanEvent         = 11<<3 | wireBytes
	tagSpanDroppedEvents = 12<<3 | wireVarint
	tagSpanLink          = 13<<3 | wireBytes
	tagSpanDroppedLinks  = 14<<3 | wireVarint
	tagSpanStatus        = 15<<3 | wireBytes
	tagSpanFlags         = 16<<3 | wireFixed32

	tagStatusMessage = 2<<3 | wireBytes
	tagStatusCode    = 3<<3 | wireVarint

	tagEventTime    = 1<<3 | wireFixed64
	tagEventName    = 2<<3 | wireBytes
	tagEventAttr    = 3<<3 | wireBytes
	tagEventDropped = 4<<3 | wireVarint

	tagLinkTraceID    = 1<<3 | wireBytes
	tagLinkSpanID     = 2<<3 | wireBytes
	tagLinkTraceState = 3<<3 | wireBytes
	tagLinkAttr       = 4<<3 | wireBytes
	tagLinkDropped    = 5<<3 | wireVarint
	tagLinkFlags      = 6<<3 | wireFixed32

	tagAnyString   = 1<<3 | wireBytes
	tagAnyBool     = 2<<3 | wireVarint
	tagAnyInt      = 3<<3 | wireVarint
	tagAnyDouble   = 4<<3 | wireFixed64
	tagAnyArray    = 5<<3 | wireBytes
	tagAnyMap      = 6<<3 | wireBytes
	tagAnyBytes    = 7<<3 | wireBytes
	tagAnyStrindex = 8<<3 | wireVarint // a member of the oneof that only profiles use

	tagListValues = 1<<3 | wireBytes // of ArrayValue and KeyValueList

	tagKey      = 1<<3 | wireBytes
	tagKeyValue = 2<<3 | wireBytes

	tagResourceAttr      = 1<<3 | wireBytes
	tagResourceDropped   = 2<<3 | wireVarint
	tagResourceEntityRef = 3<<3 | wireBytes

	tagScopeName    = 1<<3 | wireBytes
	tagScopeVersion = 2<<3 | wireBytes
	tagScopeAttr    = 3<<3 | wireBytes
	tagScopeDropped = 4<<3 | wireVarint
)

// rule is what a schema says of one field number.
type rule struct {
	wire    uint8
	known   bool
	text    bool   // proto type string: UTF-8 by contract
	message schema // of a message field
}

// Shorthands of the table.
var (
	textField    = rule{wire: wireBytes, known: true, text: true}
	rawField     = rule{wire: wireBytes, known: true}
	varintField  = rule{wire: wireVarint, known: true}
	fixed64Field = rule{wire: wireFixed64, known: true}
	fixed32Field = rule{wire: wireFixed32, known: true}
)

func messageField(s schema) rule { return rule{wire: wireBytes, known: true, message: s} }

// rules by schema and field number. A known number with another wire type is an unknown
// field to protobuf, and an error to stricter readers.
var rules = [...][17]rule{
	anyValue: {1: textField, 2: varintField, 3: varintField, 4: fixed64Field, 5: messageField(arrayValue), 6: messageField(keyValueList),
		7: rawField, 8: varintField},
	arrayValue:      {1: messageField(anyValue)},
	keyValueList:    {1: messageField(keyValue)},
	keyValue:        {1: textField, 2: messageField(anyValue), 3: varintField},
	resourceMessage: {1: messageField(keyValue), 2: varintField, 3: messageField(entityRef)},
	scopeMessage:    {1: textField, 2: textField, 3: messageField(keyValue), 4: varintField},
	entityRef:       {1: textField, 2: textField, 3: textField, 4: textField},
	spanMessage: {1: rawField, 2: rawField, 3: textField, 4: rawField, 5: textField, 6: varintField, 7: fixed64Field, 8: fixed64Field,
		9: messageField(keyValue), 10: varintField, 11: messageField(eventMessage), 12: varintField, 13: messageField(linkMessage),
		14: varintField, 15: messageField(statusMessage), 16: fixed32Field},
	eventMessage:  {1: fixed64Field, 2: textField, 3: messageField(keyValue), 4: varintField},
	linkMessage:   {1: rawField, 2: rawField, 3: textField, 4: messageField(keyValue), 5: varintField, 6: fixed32Field},
	statusMessage: {2: textField, 3: varintField},
}

// ruleOf gives the rule of a field; unknown ones have the zero rule.
func ruleOf(s schema, tag uint32) rule {
	if number := tag >> 3; number < uint32(len(rules[s])) {
		return rules[s][number]
	}
	return rule{}
}

// checker walks a raw message to its leaves: is it well-formed, how deep do lists nest,
// how many of its texts are no UTF-8.
type checker struct {
	deepest     int
	invalidUTF8 int
}

// message checks b, which stands inside depth lists. It recurses at most some three
// times DepthRefused deep.
func (c *checker) message(b []byte, s schema, depth int) *wireError {
	if s == arrayValue || s == keyValueList {
		depth++
		if depth > DepthRefused {
			return &wireError{0, "value nested deeper than a request may be"}
		}
		c.deepest = max(c.deepest, depth)
	}
	f := fields{b: b}
	for f.next() {
		r := ruleOf(s, f.tag)
		if !r.known || uint32(r.wire) != f.tag&7 {
			continue
		}
		if r.text && !utf8.Valid(f.data) {
			c.invalidUTF8++
		}
		if r.message != noSchema {
			if err := c.message(f.data, r.message, depth); err != nil {
				return err.within(&f)
			}
		}
	}
	return f.err
}
