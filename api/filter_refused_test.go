package api_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/stoadb/stoa/api/pb/expressionv1"
	"github.com/stoadb/stoa/api/pb/storagev2"
	"github.com/stoadb/stoa/engine/span"
)

// refusal is a filter that cannot be evaluated, and what the answer must say of it: where
// it is, and why.
type refusal struct {
	what   string
	filter *expressionv1.Expression
	says   string
}

// within nests a filter in so many calls of not.
func within(nots int, filter *expressionv1.Expression) *expressionv1.Expression {
	for range nots {
		filter = op("not", filter)
	}
	return filter
}

func numbered(n int) []string {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = strconv.Itoa(i)
	}
	return texts
}

func repeated(n int, filter *expressionv1.Expression) []*expressionv1.Expression {
	return slices.Repeat([]*expressionv1.Expression{filter}, n)
}

// from adds a field of a later protocol version to a message.
func from(message protoreflect.ProtoMessage) {
	message.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 500, protowire.VarintType), 1))
}

// later is a filter whose part has a field of a later version.
func later(change func(filter *expressionv1.Expression)) *expressionv1.Expression {
	filter := op("and", exists(attr("", "k")), op("in", field("span", "name"), list("", "a")), op("some", nested("event"), eq(attr("", "k"), value("v"))))
	change(filter)
	return filter
}

func arg(e *expressionv1.Expression, path ...int) *expressionv1.Expression {
	for _, i := range path {
		e = e.GetCall().GetArgs()[i]
	}
	return e
}

var structureRefusals = []refusal{
	{"no operator", op(""), "filter.?: a call without an operator"},
	{"unknown operator", op("matches", attr("", "k"), value("v")), `filter.?: operator "matches" is none of and, or, not`},
	{"operators are lower case", op("AND", exists(attr("", "k")), exists(attr("", "k"))), `operator "AND"`},
	{"and of one", op("and", exists(attr("", "k"))), "filter.and: 1 arguments, want two or more"},
	{"or of none", op("or"), "filter.or: 0 arguments, want two or more"},
	{"not of two", op("not", exists(attr("", "k")), exists(attr("", "k"))), "filter.not: 2 arguments, want one"},
	{"exists of none", op("exists"), "filter.exists: 0 arguments, want one"},
	{"eq of three", op("eq", value("1"), value("1"), value("1")), "filter.eq: 3 arguments, want two"},
	{"some of one", op("some", nested("event")), "filter.some: 1 arguments, want two"},
	{"and of a reference", op("and", exists(attr("", "k")), attr("", "k")), "filter.and[1]: want a predicate, which is a call, got an attribute"},
	{"not of a constant", op("not", value("true")), "filter.not[0]: want a predicate, which is a call, got a constant"},
	{"not of nothing", op("not", &expressionv1.Expression{}), "filter.not[0]: want a predicate, which is a call, got nothing"},
	{"the path goes down", op("or", exists(attr("", "k")), op("not", op("and", exists(attr("", "k")), op("not")))), "filter.or[1].not[0].and[1].not: 0 arguments"},
	{"21 calls deep", within(20, exists(attr("", "k"))), "more than 20 deep"},
	{"exists of a constant", op("exists", value("k")), "filter.exists[0]: want an attribute or a field, got a constant"},
	{"exists of a collection", op("exists", nested("event")), "a collection stands nowhere but first in some"},
	{"eq of a collection", eq(nested("link"), value("1")), "filter.eq[0]: a collection stands nowhere but first in some"},
	{"eq of a call", eq(attr("", "k"), exists(attr("", "k"))), "filter.eq[1]: want an attribute or a field, got a call"},
	{"eq of a list", eq(attr("", "k"), list("", "v")), "filter.eq[1]: want an attribute or a field, got a list"},
	{"some over a level without elements", op("some", nested("span"), exists(attr("", "k"))), `filter.some[0]: collection "span": want event or link`},
	{"some over an attribute", op("some", attr("event", "k"), exists(attr("", "k"))), "filter.some[0]: want a collection (nested), the events or the links, got an attribute"},
	{"some of a constant", op("some", nested("event"), value("true")), "filter.some[1]: want a predicate"},
	{
		"some in some of one level", op("some", nested("event"), op("not", op("some", nested("event"), exists(attr("event", "k"))))),
		"filter.some[1].not[0].some[0]: a some over events stands inside another",
	},
	{
		"some in some in some", op("some", nested("event"), op("some", nested("link"), op("some", nested("event"), exists(attr("event", "k"))))),
		"a some over events stands inside another",
	},
	{"a later call", later(func(e *expressionv1.Expression) { from(e.GetCall()) }), "filter: it has a field of a later protocol version"},
	{"a later term", later(func(e *expressionv1.Expression) { from(arg(e, 0)) }), "filter.and[0]: it has a field of a later"},
	{"a later attribute", later(func(e *expressionv1.Expression) { from(arg(e, 0, 0).GetAttr()) }), "filter.and[0].exists[0]: it has a field of a later"},
	{"a later field", later(func(e *expressionv1.Expression) { from(arg(e, 1, 0).GetField()) }), "filter.and[1].in[0]: it has a field of a later"},
	{"a later list", later(func(e *expressionv1.Expression) { from(arg(e, 1, 1).GetList()) }), "filter.and[1].in[1]: it has a field of a later"},
	{"a later collection", later(func(e *expressionv1.Expression) { from(arg(e, 2, 0).GetNested()) }), "filter.and[2].some[0]: it has a field of a later"},
	{"a later constant", later(func(e *expressionv1.Expression) { from(arg(e, 2, 1, 1).GetScalar()) }), "filter.and[2].some[1].eq[1]: it has a field of a later"},
}

var referenceRefusals = []refusal{
	{"no key", exists(attr("span", "")), "filter.exists[0]: an attribute without a key"},
	{"unknown level", exists(attr("trace", "k")), `level "trace" is none of span, resource, scope, event, link`},
	{"a field without a level", exists(field("", "name")), "a field without a level"},
	{"a field of an unknown level", exists(field("instrumentation", "name")), `level "instrumentation" is none of`},
	{"unknown field", exists(field("span", "durations")), `span has no field "durations"`},
	{"a field of another level", exists(field("resource", "name")), `resource has no field "name"`},
	{"a field in snake case", exists(field("span", "trace_id")), `span has no field "trace_id"`},
}

var valueRefusals = []refusal{
	{"unknown type", eq(attr("", "k"), typed("duration", "2s")), `filter.eq[1]: type "duration" is none of string, int, double, bool`},
	{"no int", eq(attr("", "k"), typed("int", "2.5")), `filter.eq[1]: "2.5" is no int`},
	{"an int out of range", eq(attr("", "k"), typed("int", "9223372036854775808")), "is no int"},
	{"no double", eq(attr("", "k"), typed("double", "one")), `"one" is no double`},
	{"a double out of range", eq(attr("", "k"), typed("double", "1e999")), "is no double"},
	{"no bool", eq(attr("", "k"), typed("bool", "yes")), `"yes" is no bool`},
	{"no element of the list's type", op("in", attr("", "k"), list("int", "1", "two")), `filter.in[1][1]: "two" is no int`},
	{"unknown list type", op("in", attr("", "k"), list("text", "1")), `type "text" is none of`},
	{"an empty list", op("in", attr("", "k"), list("")), "filter.in[1]: the list is empty"},
	{"an empty list, negated", op("not_in", field("span", "name"), list("string")), "filter.not_in[1]: the list is empty"},
	{"in of a constant", op("in", attr("", "k"), value("v")), "filter.in[1]: want a list, got a constant"},
	{"in on a constant", op("in", value("v"), list("", "v")), "filter.in[0]: want an attribute or a field, got a constant"},
	{"no kind", eq(field("span", "kind"), value("SERVER")), `"SERVER" is never a span.kind: one of unspecified, internal, server, client, producer, consumer`},
	{"no kind, typed", eq(typed("string", "SPAN_KIND_SERVER"), field("span", "kind")), "filter.eq[0]: "},
	{"no status", op("in", field("span", "status"), list("", "ok", "failed")), `filter.in[1][1]: "failed" is never a span.status: one of unset, ok, error`},
	{"no duration", op("gt", field("span", "duration"), value("banana")), "span.duration is compared with a duration and its unit, like 2s or 1m30s"},
	{"a duration without a unit", op("gt", field("span", "duration"), value("5000")), "a duration and its unit"},
	{"no duration in a list", op("in", field("event", "timeSinceStart"), list("", "1s", "x")), "filter.in[1][1]: event.timeSinceStart is compared with a duration"},
	{"no instant", op("gt", field("span", "startTime"), value("yesterday")), "an instant of RFC 3339"},
	{"an instant as a number", op("gt", field("event", "time"), value("1767225600000000000")), "an instant of RFC 3339"},
	{"an instant finer than nanoseconds", eq(field("span", "startTime"), value("2026-08-16T18:56:20.1234567891Z")), "to nanoseconds"},
	{"an instant with a comma", eq(field("span", "startTime"), value("2026-08-16T18:56:20,5Z")), "an instant of RFC 3339"},
	{"an untyped constant beside a typed one", eq(value("two"), typed("int", "2")), `filter.eq[0]: "two" is no int`},
}

var domainRefusals = []refusal{
	{"a number and a duration", op("gt", field("span", "duration"), typed("int", "5")), "filter.gt: span.duration is a duration and int(5) is a number: they cannot be compared"},
	{"a duration and a name", eq(field("span", "duration"), field("span", "name")), "cannot be compared"},
	{"a name and a number", eq(field("span", "name"), typed("double", "5")), "cannot be compared"},
	{"an instant and a duration", op("lt", field("span", "startTime"), field("span", "duration")), "cannot be compared"},
	{"an instant and a string", eq(field("span", "startTime"), typed("string", "2026-08-16T18:56:20Z")), "cannot be compared"},
	{"a bool and an int", eq(typed("bool", "true"), typed("int", "1")), "cannot be compared"},
	{"a list of another type", op("in", field("span", "duration"), list("int", "5")), "filter.in[1]: a list of type int beside span.duration, which holds a duration"},
	{"bools have no order", op("gt", attr("", "flag"), typed("bool", "false")), "filter.gt[1]: bool(false) has no order"},
	{"kinds have no order", op("lt", field("span", "kind"), value("server")), "filter.lt[0]: span.kind has no order"},
	{"statuses have no order", op("gte", attr("", "k"), field("span", "status")), "filter.gte[1]: span.status has no order"},
	{"lists of too much together", op("or", op("in", attr("", "k"), list("", numbered(3_999)...)), op("not", op("not_in", attr("", "k"), list("", "a", "b")))), "filter: 4001 constants in the lists of one filter, at most 4000"},
	{"patterns of too much together", op("and", repeated(7, op("regex", attr("", "k"), value("(ab){600}")))...), "filter: the patterns of one filter take more than 20000 steps together"},
	{"regex on a duration", op("regex", field("span", "duration"), value("2")), "filter.regex[0]: a pattern matches text, and span.duration holds a duration"},
	{"regex on an instant", op("regex", field("event", "time"), value("2")), "a pattern matches text"},
	{"regex of a reference", op("regex", attr("", "k"), attr("", "k")), "filter.regex[1]: want a constant, the pattern, got an attribute"},
	{"regex on a constant", op("regex", value("k"), value("k")), "filter.regex[0]: want an attribute or a field, got a constant"},
	{"a pattern of a type", op("regex", attr("", "k"), typed("int", "5")), "filter.regex[1]: the pattern has type int, and is a string"},
	{"no pattern", op("regex", attr("", "k"), value("(")), "filter.regex[1]: the pattern is no RE2"},
	{"a backreference", op("regex", attr("", "k"), value(`(a)\1`)), "the pattern is no RE2"},
	{"an anchor", op("regex", attr("", "k"), value("^a")), "filter.regex[1]: the pattern has the anchor ^"},
	{"a word boundary", op("regex", attr("", "k"), value(`\bword`)), `the pattern has the word boundary \b`},
	{"a lazy quantifier", op("regex", attr("", "k"), value("a+?b")), "the pattern has a lazy quantifier"},
	{"a case flag", op("regex", attr("", "k"), value("(?i)get")), "the pattern has the flag i"},
	{"a flag behind a class that looks like [:alpha:]", op("regex", attr("", "k"), value("[[:](?i)abc")), "the pattern has the flag i"},
	{"an anchor behind it", op("regex", attr("", "k"), value("[[:]^a")), "the pattern has the anchor ^"},
	{"a lazy quantifier behind it", op("regex", attr("", "k"), value("[[:]a*?")), "the pattern has a lazy quantifier"},
	{"a word boundary behind it", op("regex", attr("", "k"), value(`[[:]\bx`)), `the pattern has the word boundary \b`},
	{"a pattern too long", op("regex", attr("", "k"), value(strings.Repeat("a", span.PatternBytesMax+1))), "at most 1024"},
	{"a pattern too large", op("regex", attr("", "k"), value("(abcdefghijk){1000}")), "more than 4000 steps"},
	{"a tag of a key", op("stoa.tag", attr("", "k"), value("v")), "filter.stoa.tag[0]: want a constant, got an attribute"},
	{"a tag of a number", op("stoa.tag", value("k"), typed("int", "5")), "filter.stoa.tag[1]: it has type int, and is a string"},
	{"a tag without a value", op("stoa.tag", value("k")), "filter.stoa.tag: 1 arguments, want two"},
	{"phrase on a field", op("phrase", field("span", "name"), list("", "get")), "filter.phrase[0]: want an attribute, got span.name"},
	{"phrase of a constant", op("phrase", attr("", "k"), value("get")), "filter.phrase[1]: want a list, got a constant"},
	{"phrase of nothing", op("phrase", attr("", "k"), list("")), "filter.phrase[1]: the list is empty"},
	{"phrase of numbers", op("phrase", attr("", "k"), list("int", "5")), `filter.phrase[1]: a list of type "int", and words are strings`},
	{"two words in one", op("fulltext", attr("", "k"), list("", "a", "two words")), `filter.fulltext[1][1]: "two words" is not one word`},
	{"an empty word", op("fulltext", attr("", "k"), list("", "")), "filter.fulltext[1][0]: a word of 0 UTF-16 units, want 1 to 255"},
	{"a word with punctuation", op("phrase", attr("", "k"), list("", "don't")), "is not one word"},
	{"a long word", op("phrase", attr("", "k"), list("", strings.Repeat("x", 256))), "a word of 256 UTF-16 units"},
	{"many words", op("phrase", attr("", "k"), list("", make([]string, 65)...)), "filter.phrase[1]: 65 words, at most 64"},
}

// TestAFilterThatCannotBeEvaluatedIsRefused, as a whole, before the store is asked, with the
// path to the node and the reason.
func TestAFilterThatCannotBeEvaluatedIsRefused(t *testing.T) {
	_, ask := asked(t)
	many := make([]*expressionv1.Expression, span.FilterNodesMax)
	for i := range many {
		many[i] = exists(attr("", "k"))
	}
	tables := [][]refusal{structureRefusals, referenceRefusals, valueRefusals, domainRefusals, {{"many calls", op("or", many...), "more than 1000 calls"}}}
	for _, table := range tables {
		for _, c := range table {
			q, err := ask(&storagev2.TraceQueryParameters{Filter: c.filter.GetCall()})
			if status.Code(err) != codes.InvalidArgument || q != nil {
				t.Errorf("%s: %v, want InvalidArgument; asked %v", c.what, err, q)
			} else if message := status.Convert(err).Message(); !strings.Contains(message, c.says) {
				t.Errorf("%s: %q does not say %q", c.what, message, c.says)
			}
		}
	}
	for what, fine := range map[string]*expressionv1.Expression{
		"20 calls deep": within(19, exists(attr("", "k"))), "1000 calls": op("or", many[1:]...),
		"some beside some": op("and", op("some", nested("event"), exists(attr("event", "k"))), op("some", nested("event"), exists(attr("event", "k")))),
		"[Aa]":             op("regex", attr("", "k"), value("[Aa]")),
		"a long word":      op("phrase", attr("", "k"), list("", strings.Repeat("x", 255))),
	} {
		if q, err := ask(&storagev2.TraceQueryParameters{Filter: fine.GetCall()}); err != nil || q == nil || q.Filter == nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestConstantsAreReadAsWhatTheyStandBeside: what reaches the store has nothing left to read.
func TestConstantsAreReadAsWhatTheyStandBeside(t *testing.T) {
	_, ask := asked(t)
	for _, c := range []struct {
		filter *expressionv1.Expression
		want   string
	}{
		{eq(field("span", "name"), value("5")), `eq(span.name, string("5"))`},
		{eq(value("5"), field("span", "name")), `eq(string("5"), span.name)`},
		{op("gt", field("span", "duration"), value("90s")), `gt(span.duration, duration(1m30s))`},
		{op("lte", value("2026-08-16T20:56:20.5+02:00"), field("event", "time")), `lte(instant(2026-08-16T18:56:20.5Z), event.time)`},
		{eq(attr("", "k"), value("5")), `eq(attr("k"), "5")`},
		{op("ne", attr("scope", "k"), typed("int", "-5")), `ne(attr(scope, "k"), int(-5))`},
		{eq(value("5"), typed("int", "5")), `eq(int(5), int(5))`},
		{eq(attr("", "k"), typed("double", "1e3")), `eq(attr("k"), double(1000))`},
		{eq(attr("", "k"), typed("bool", "T")), `eq(attr("k"), bool(true))`},
		{op("in", field("link", "spanID"), list("", "a", "b")), `in(link.spanID, [string("a"), string("b")])`},
		{op("not_in", attr("event", "k"), list("int", "1", "2")), `not_in(attr(event, "k"), [int(1), int(2)])`},
		{op("in", attr("link", "k"), list("", "1", "x")), `in(attr(link, "k"), ["1", "x"])`},
		{op("and", op("not", exists(field("span", "kind"))), op("some", nested("link"), op("regex", attr("link", "k"), value("a|b")))), `and(not(exists(span.kind)), some(link, regex(attr(link, "k"), "a|b")))`},
		{op("or", op("phrase", attr("", "k"), list("", "a", "b")), op("fulltext", attr("", "k"), list("string", "c"))), `or(phrase(attr("k"), ["a", "b"]), fulltext(attr("k"), ["c"]))`},
	} {
		q, err := ask(&storagev2.TraceQueryParameters{Filter: c.filter.GetCall()})
		if err != nil || q.Filter.String() != c.want {
			t.Errorf("%v\ngot  %v, %v\nwant %s", c.filter, q, err, c.want)
		}
	}
}
