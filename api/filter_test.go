package api_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stoadb/stoa/api/pb/expressionv1"
	"github.com/stoadb/stoa/api/pb/storagev2"
)

// filterCase is a filter and the traces of the corpus that it finds.
type filterCase struct {
	what   string
	filter *expressionv1.Expression
	want   string
}

const everything = "cart shop bare"

func exists(e *expressionv1.Expression) *expressionv1.Expression { return op("exists", e) }

func eq(a, b *expressionv1.Expression) *expressionv1.Expression { return op("eq", a, b) }

// combinators: "missing" becomes true through not alone.
var combinators = []filterCase{
	{"and holds on one span", op("and", eq(attr("", "http.status_code"), value("500")), eq(field("span", "name"), value("GET /cart"))), "cart"},
	{"and over spans of different traces", op("and", eq(field("span", "name"), value("POST /shop")), eq(field("span", "name"), value("GET /cart"))), ""},
	{"or", op("or", eq(field("span", "name"), value("POST /shop")), eq(field("span", "name"), value("GET /cart"))), "cart shop"},
	{"or of three", op("or", exists(attr("", "nothing")), exists(attr("", "empty")), eq(field("span", "status"), value("ok"))), "cart bare"},
	{"not", op("not", eq(field("span", "name"), value("GET /cart"))), "shop bare"},
	{"not makes the missing true", op("not", eq(attr("", "retry"), value("9"))), "shop bare"},
	{"ne does not", op("ne", attr("", "retry"), value("9")), "shop"},
	{"not of ne", op("not", op("ne", attr("", "retry"), value("9"))), "cart bare"},
	{"not_in does not", op("not_in", attr("", "retry"), list("", "9", "10")), "shop"},
	{"not of not_in", op("not", op("not_in", attr("", "retry"), list("", "9", "10"))), "cart bare"},
	{"a leaf on a missing value", op("lt", attr("", "nothing"), value("9")), ""},
	{"and within or within not", op("not", op("or", op("and", exists(attr("", "retry")), exists(attr("", "empty"))), exists(attr("", "env")))), "bare"},
}

// levels: each reads its own attributes only, none is span or resource.
var levels = []filterCase{
	{"span", eq(attr("span", "zone"), value("us")), "cart"},
	{"span is not resource", eq(attr("span", "zone"), value("eu")), ""},
	{"resource", eq(attr("resource", "zone"), value("eu")), "cart"},
	{"scope", exists(attr("scope", "built")), "cart"},
	{"event", eq(attr("event", "attempt"), value("2")), "cart"},
	{"link", eq(attr("link", "why"), value("follow")), "cart"},
	{"unqualified is span", eq(attr("", "zone"), value("us")), "cart"},
	{"unqualified is resource", eq(attr("", "zone"), value("eu")), "cart"},
	{"unqualified is not scope", exists(attr("", "built")), ""},
	{"unqualified is neither event nor link", op("or", exists(attr("", "type")), exists(attr("", "why"))), ""},
	{"a positive leaf: one of several values", eq(attr("", "env"), value("test")), "shop"},
	{"a negated leaf: none of several values", op("ne", attr("", "env"), value("test")), "cart"},
	{"not_in of several values", op("not_in", attr("", "env"), list("", "prod")), ""},
	{"any event", eq(attr("event", "type"), value("Timeout")), "cart shop"},
	{"none of the events", op("ne", attr("event", "type"), value("Timeout")), ""},
	{"none of the links", op("ne", attr("link", "why"), value("other")), "cart"},
}

// comparisons: the kinds of values, typed and untyped constants.
var comparisons = []filterCase{
	{"untyped meets an int and a string", eq(attr("", "http.status_code"), value("500")), "cart shop"},
	{"untyped meets them as a number and as text", eq(attr("", "http.status_code"), value("500.0")), "cart"},
	{"string", eq(attr("", "http.status_code"), typed("string", "500")), "shop"},
	{"int", eq(attr("", "http.status_code"), typed("int", "500")), "cart"},
	{"double is no int", eq(attr("", "http.status_code"), typed("double", "500")), ""},
	{"int is no double", eq(attr("", "whole"), typed("int", "3")), "shop"},
	{"double", eq(attr("", "whole"), typed("double", "3")), "cart"},
	{"untyped meets int and double", eq(attr("", "whole"), value("3")), "cart shop"},
	{"untyped 2.5: a number, and a text", eq(attr("", "ratio"), value("2.5")), "cart shop"},
	{"untyped 2.50: a number", eq(attr("", "ratio"), value("2.50")), "cart"},
	{"ints beyond 2^53 are exact", eq(attr("", "big"), value("9007199254740992")), ""},
	{"ints beyond 2^53", eq(attr("", "big"), value("9007199254740993")), "cart"},
	{"bool", eq(attr("", "flag"), typed("bool", "true")), "cart"},
	{"untyped meets a bool and a string", eq(attr("", "flag"), value("true")), "cart shop"},
	{"untyped meets bytes", eq(attr("", "raw"), value("AQID")), "cart"},
	{"untyped meets an array", eq(attr("", "list"), value(`[1,"a"]`)), "cart"},
	{"ne of another type", op("ne", attr("", "retry"), typed("string", "9")), "cart shop"},
	{"the constant on the left", eq(value("us"), attr("", "zone")), "cart"},
	{"two attributes", eq(attr("span", "env"), attr("resource", "env")), ""},
	{"two attributes differ", op("ne", attr("span", "env"), attr("resource", "env")), "shop"},
	{"two attributes, one missing", op("ne", attr("span", "zone"), attr("scope", "zone")), ""},
	{"int and double attributes", op("gt", attr("", "after"), attr("", "before")), "cart"},
	{"an attribute and a field", eq(attr("", "operation"), field("span", "name")), "cart"},
	{"a text is no duration", eq(attr("", "duration"), field("span", "duration")), ""},
	{"two constants", eq(value("1"), value("1")), everything},
	{"two constants differ", op("gt", typed("int", "1"), value("2")), ""},
	{"two constants are numbers", op("gt", value("10"), value("9")), everything},
}

// orderings: within one domain.
var orderings = []filterCase{
	{"9 is not over 10", op("gt", attr("", "retry"), value("10")), "shop"},
	{"gte", op("gte", attr("", "retry"), value("11")), "shop"},
	{"lt", op("lt", attr("", "retry"), value("11")), "cart"},
	{"lte", op("lte", attr("", "retry"), value("11")), "cart shop"},
	{"a number does not meet text", op("gte", attr("", "http.status_code"), value("500")), "cart"},
	{"text does not meet a number", op("gte", attr("", "http.status_code"), typed("string", "500")), "shop"},
	{"text in an untyped constant", op("lt", attr("", "http.status_code"), value("x")), "shop"},
	{"between an int and a double", op("gt", attr("", "ratio"), value("2")), "cart"},
	{"a typed int meets ints only", op("gte", attr("", "whole"), typed("int", "3")), "shop"},
	{"text is lexicographic", op("gt", field("span", "name"), value("H")), "shop"},
	{"the constant on the left turns it", op("lt", value("H"), field("span", "name")), "shop"},
	{"durations", op("gt", field("span", "duration"), value("1s")), "cart"},
	{"durations, both ends", op("and", op("gte", field("span", "duration"), value("5ms")), op("lte", field("span", "duration"), value("5000us"))), "shop"},
	{"instants", op("lt", field("span", "startTime"), field("span", "endTime")), "cart shop"},
	{"an instant to the nanosecond", eq(field("span", "startTime"), value("2026-08-16T18:56:20.123456789Z")), everything},
	{"an instant in another zone", eq(field("span", "startTime"), value("2026-08-16T20:56:20.123456789+02:00")), everything},
	{"a nanosecond later", op("gte", field("span", "startTime"), value("2026-08-16T18:56:20.12345679Z")), ""},
	{"before all times", op("gt", field("span", "startTime"), value("0001-01-01T00:00:00Z")), everything},
	{"after all times", op("lt", field("span", "startTime"), value("9999-12-31T23:59:59Z")), everything},
}

// texts: regex, phrase and fulltext.
var texts = []filterCase{
	{"regex, anywhere", op("regex", field("span", "name"), value("/c.rt")), "cart"},
	{"regex, case-sensitive", op("regex", field("span", "name"), value("/CART")), ""},
	{"regex with both cases", op("regex", field("span", "name"), value("/[Cc]art")), "cart"},
	{"regex on an attribute", op("regex", attr("", "http.status_code"), value("5..")), "shop"},
	{"regex on a word", op("regex", field("span", "kind"), typed("string", "serv|none")), "cart"},
	{"regex on an event", op("regex", field("event", "name"), value("except")), "cart shop"},
	{"phrase", op("phrase", attr("", "note"), list("", "refund", "policy")), "cart"},
	{"phrase over punctuation, typed", op("phrase", attr("", "note"), list("string", "POLICY", "Refund")), "shop"},
	{"phrase, the later of two beginnings", op("phrase", attr("", "note"), list("", "refund", "the")), "cart"},
	{"phrase, begun twice in a row", op("phrase", attr("", "again"), list("", "refund", "policy")), "cart"},
	{"phrase, a word between", op("phrase", attr("", "note"), list("", "please", "the")), ""},
	{"fulltext in any order", op("fulltext", attr("", "note"), list("", "policy", "refund")), "cart shop"},
	{"fulltext lacks one", op("fulltext", attr("", "note"), list("", "policy", "no")), "cart"},
	{"a tag, of any type by its text", op("stoa.tag", value("http.status_code"), value("500")), "cart shop"},
	{"a tag of the resource", op("stoa.tag", value("resource.env"), typed("string", "prod")), "cart shop"},
	{"a tag that means the status", op("not", op("stoa.tag", value("error"), value("true"))), "shop bare"},
	{"tags of one event", op("some", nested("event"), op("and", op("stoa.tag", value("type"), value("Timeout")), op("stoa.tag", value("event"), value("exception")))), "cart"},
	{"whole words", op("fulltext", attr("", "note"), list("", "fund")), ""},
	{"one word", op("phrase", attr("span", "zone"), list("", "US")), "cart"},
	{"ASCII case alone", op("phrase", attr("", "word"), list("", "kÄse")), ""},
	{"beyond ASCII", op("phrase", attr("", "word"), list("", "KäSE")), "cart"},
	{"words of a number", op("phrase", attr("", "http.status_code"), list("", "500")), "shop"},
	{"in", op("in", field("resource", "service"), list("", "cart", "shop", "none")), "cart shop"},
	{"in, each untyped", op("in", attr("", "retry"), list("", "9", "x")), "cart"},
	{"in, typed", op("in", attr("", "http.status_code"), list("int", "500", "501")), "cart"},
	{"in, words", op("in", field("span", "kind"), list("string", "server", "client")), "cart shop"},
	{"in, durations", op("in", field("span", "duration"), list("", "2s", "0")), "cart bare"},
	{"not_in, durations", op("not_in", field("span", "duration"), list("", "2000ms", "1h")), "shop bare"},
	{"not_in, typed", op("not_in", attr("", "http.status_code"), list("string", "500")), "cart"},
}

// quantified: some binds one element.
var quantified = []filterCase{
	{"without some: different events", op("and", eq(field("event", "name"), value("exception")), eq(attr("event", "type"), value("Timeout"))), "cart shop"},
	{"some: one event", op("some", nested("event"), op("and", eq(field("event", "name"), value("exception")), eq(attr("event", "type"), value("Timeout")))), "cart"},
	{"some: one link", op("some", nested("link"), op("and", eq(field("link", "traceState"), value("x=1")), eq(attr("link", "why"), value("batch")))), ""},
	{"some with the span around", op("some", nested("event"), op("and", eq(field("span", "kind"), value("client")), eq(attr("event", "type"), value("Reset")))), "shop"},
	{"ne within some", op("some", nested("event"), op("ne", attr("event", "type"), value("Timeout"))), "cart shop"},
	{"not within some", op("some", nested("event"), op("not", exists(attr("event", "attempt")))), "shop"},
	{"every, by negation", op("not", op("some", nested("event"), op("not", exists(attr("event", "attempt"))))), "cart bare"},
	{"some of the other level inside", op("some", nested("event"), op("and", eq(field("event", "name"), value("retry")),
		op("some", nested("link"), eq(attr("link", "why"), value("follow"))))), "cart"},
	{"links are any within some over events", op("some", nested("event"), op("and", eq(attr("link", "why"), value("batch")), eq(field("link", "traceState"), value("x=1")))), "cart"},
	{"some with nothing of the element", op("some", nested("event"), eq(value("1"), value("1"))), "cart shop"},
}

// fieldCases: every field, and exists on it.
var fieldCases = []filterCase{
	{"traceID", eq(field("span", "traceID"), value("a0000000000000000000000000000001")), "cart"},
	{"traceID exists", exists(field("span", "traceID")), everything},
	{"spanID", eq(field("span", "spanID"), value("0000000000000002")), "shop"},
	{"spanID exists", exists(field("span", "spanID")), everything},
	{"parentSpanID", eq(field("span", "parentSpanID"), value("0000000000000abc")), "cart"},
	{"parentSpanID exists", exists(field("span", "parentSpanID")), "cart"},
	{"parentSpanID ne", op("ne", field("span", "parentSpanID"), value("0000000000000000")), "cart"},
	{"traceState", eq(field("span", "traceState"), value("vendor=1")), "cart"},
	{"traceState exists", exists(field("span", "traceState")), "cart"},
	{"name", eq(field("span", "name"), value("")), "bare"},
	{"name exists", exists(field("span", "name")), everything},
	{"kind", eq(field("span", "kind"), value("server")), "cart"},
	{"kind unspecified", eq(field("span", "kind"), typed("string", "unspecified")), "bare"},
	{"kind exists", exists(field("span", "kind")), everything},
	{"startTime exists", exists(field("span", "startTime")), everything},
	{"endTime", op("gt", field("span", "endTime"), value("2026-08-16T18:56:22Z")), "cart"},
	{"status", eq(field("span", "status"), value("error")), "cart"},
	{"status unset", eq(field("span", "status"), value("unset")), "shop"},
	{"status ne", op("ne", field("span", "status"), value("error")), "shop bare"},
	{"statusMessage", eq(field("span", "statusMessage"), value("card refused")), "cart"},
	{"statusMessage exists", exists(field("span", "statusMessage")), "cart"},
	{"duration", eq(field("span", "duration"), value("2s")), "cart"},
	{"service", eq(field("resource", "service"), value("shop")), "shop"},
	{"service exists", exists(field("resource", "service")), "cart shop"},
	{"resource schemaURL", eq(field("resource", "schemaURL"), value("https://example.org/1")), "cart"},
	{"scope name", eq(field("scope", "name"), value("lib")), "cart"},
	{"an empty scope name is missing", exists(field("scope", "name")), "cart"},
	{"scope version", op("gte", field("scope", "version"), value("1")), "cart"},
	{"an empty scope version is missing", op("ne", field("scope", "version"), value("1")), "cart"},
	{"scope schemaURL", exists(field("scope", "schemaURL")), "cart"},
	{"event name", eq(field("event", "name"), value("retry")), "cart"},
	{"an empty event name is one", eq(field("event", "name"), value("")), "shop"},
	{"event name exists", exists(field("event", "name")), "cart shop"},
	{"event time", op("lt", field("event", "time"), field("span", "startTime")), "cart"},
	{"event timeSinceStart", op("gte", field("event", "timeSinceStart"), value("50us")), "cart"},
	{"before the start", eq(field("event", "timeSinceStart"), value("-1ms")), "cart"},
	{"link traceID", eq(field("link", "traceID"), value("a0000000000000000000000000000002")), "cart"},
	{"link spanID", op("in", field("link", "spanID"), list("", "0000000000000007")), "cart"},
	{"link traceState", eq(field("link", "traceState"), value("x=1")), "cart"},
	{"link traceState exists with a link", op("not", exists(field("link", "traceState"))), "shop bare"},
	{"an attribute exists, even empty", exists(attr("", "empty")), "cart"},
	{"an attribute of a field's name is another thing", exists(attr("span", "duration")), "cart"},
}

// TestEveryRowOfTheFilterContract asks a real client's questions of the real store, in memory
// and flushed: operators, levels, fields, kinds of values, and what missing means.
func TestEveryRowOfTheFilterContract(t *testing.T) {
	server, store := storing(t)
	reader := storagev2.NewTraceReaderClient(server.connection)
	used := make(map[string]bool)
	for _, state := range []string{"memtable", "segment"} {
		for _, table := range [][]filterCase{combinators, levels, comparisons, orderings, texts, quantified, fieldCases} {
			for _, c := range table {
				noteOperators(used, c.filter)
				got, err := foundNames(t, reader, c.filter)
				if err != nil || got != c.want {
					t.Errorf("%s: %s: found %q, want %q; %v\n%v", state, c.what, got, c.want, err, c.filter)
				}
			}
		}
		if err := store.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	answer, err := storagev2.NewCapabilitiesClient(server.connection).GetCapabilities(t.Context(), &storagev2.GetCapabilitiesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, operator := range answer.GetSearch().GetFilter().GetOperators() {
		if !used[operator] {
			t.Errorf("operator %s is announced, and no case above uses it", operator)
		}
	}
}

func noteOperators(used map[string]bool, e *expressionv1.Expression) {
	if e.GetCall() == nil {
		return
	}
	used[e.GetCall().GetOp()] = true
	for _, arg := range e.GetCall().GetArgs() {
		noteOperators(used, arg)
	}
}

// foundNames gives the names of the traces found, in the order of the corpus.
func foundNames(t *testing.T, reader storagev2.TraceReaderClient, filter *expressionv1.Expression) (string, error) {
	t.Helper()
	answer, err := reader.FindTraceIDs(t.Context(), &storagev2.FindTraceIDsRequest{Query: &storagev2.TraceQueryParameters{Filter: filter.GetCall(), SearchDepth: 50}})
	var numbers []int
	for _, found := range answer.GetTraceIds() {
		numbers = append(numbers, int(found.GetTraceId()[15])-1)
	}
	slices.Sort(numbers)
	names := make([]string, len(numbers))
	for i, n := range numbers {
		names[i] = corpusNames[n]
	}
	return strings.Join(names, " "), err
}

// TestAllSearchesTakeAFilter: FindTraces, FindTraceIDs and FindTraceSummaries, with the time
// range and the depth beside it.
func TestAllSearchesTakeAFilter(t *testing.T) {
	server, _ := storing(t)
	reader := storagev2.NewTraceReaderClient(server.connection)
	p := &storagev2.TraceQueryParameters{Filter: op("exists", attr("", "retry")).GetCall(), SearchDepth: 1}
	ids, err := reader.FindTraceIDs(t.Context(), &storagev2.FindTraceIDsRequest{Query: p})
	if err != nil || len(ids.GetTraceIds()) != 1 {
		t.Errorf("ids: %v, %v", ids, err)
	}
	summaries, err := reader.FindTraceSummaries(t.Context(), &storagev2.FindTraceSummariesRequest{Query: p})
	if err != nil {
		t.Fatal(err)
	}
	if chunk, err := summaries.Recv(); err != nil || len(chunk.GetSummaries()) != 1 || chunk.GetSummaries()[0].GetRootServiceName() == "bare" {
		t.Errorf("summaries: %v, %v", chunk, err)
	}
	traces, err := reader.FindTraces(t.Context(), &storagev2.FindTracesRequest{Query: p})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := receive(t, traces); err != nil || len(got.order) != 1 {
		t.Errorf("traces: %v, %v", got.order, err)
	}
}
