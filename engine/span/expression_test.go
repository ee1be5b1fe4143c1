package span_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
)

// now is when the texts below are read.
var now = time.Unix(1_767_225_600, 0)

// texts are what somebody may type, and what is read: the canonical text of the filter, or
// the column of the trouble and a part of what is said of it.
var texts = []struct {
	text, want string
	column     int
}{
	// The plain form.
	{"", "<nil>", 0},
	{"  service=frontend\terror=true ", `and(eq(resource.service, string("frontend")), tag("error", "true"))`, 0},
	{"name=a operation=a", `and(eq(span.name, string("a")), eq(span.name, string("a")))`, 0},
	{"service= name=", "<nil>", 0},
	{"minDuration=10ms maxDuration=2s", `and(gte(span.duration, duration(10ms)), lte(span.duration, duration(2s)))`, 0},
	{`"service"=a 'b c'="d\te\n\"\\"`, `and(tag("service", "a"), tag("b c", "d\te\n\"\\"))`, 0},
	{"a= b=c", `and(tag("a", ""), tag("b", "c"))`, 0},
	{"a=b=c", `tag("a", "b=c")`, 0},
	{"(a=1)", `tag("(a", "1)")`, 0},
	{"not(a=1)", `tag("not(a", "1)")`, 0},
	{"and(a=1, b=2)", `and(tag("and(a", "1,"), tag("b", "2)"))`, 0},
	{`exists(attr("a=b"))`, `tag("exists(attr(\"a", "b\"))")`, 0},
	{"and=1 or=2 not=3 in=4", `and(tag("and", "1"), tag("or", "2"), tag("not", "3"), tag("in", "4"))`, 0},
	{"span.kind=server resource.a=b", `and(tag("span.kind", "server"), tag("resource.a", "b"))`, 0},
	{`service="=x"`, `eq(resource.service, string("=x"))`, 0},
	{"service==x", "a single = compares", 9},
	{"service=a service=b", "service stands twice", 11},
	{"name=a operation=b", "another name is asked for already", 18},
	{"from=yesterday", `"yesterday" is not a time`, 6},
	{"from=1 since=1h", "from is given already", 14},
	{"from=2026-01-02 to=2026-01-01", "the time range is empty", 17},
	{"maxDuration=0s", "a maximum of 0 is not a bound", 13},
	{"minDuration=2s maxDuration=1s", "minDuration is more than maxDuration", 16},
	// And, or, not, parentheses.
	{"a=1 and b=2 AND c=3 d=4", `and(tag("a", "1"), tag("b", "2"), tag("c", "3"), tag("d", "4"))`, 0},
	{"a=1 or b=2 c=3", `or(tag("a", "1"), and(tag("b", "2"), tag("c", "3")))`, 0},
	{"not a=1 not b=2", `and(not(tag("a", "1")), not(tag("b", "2")))`, 0},
	{"not not(a=1 or b=2)", `not(not(or(tag("a", "1"), tag("b", "2"))))`, 0},
	{"service=x (a=1 or b=2)", `and(eq(resource.service, string("x")), or(tag("a", "1"), tag("b", "2")))`, 0},
	{"( a=1 )", `tag("a", "1")`, 0},
	{"or=5 or and=6", `or(tag("or", "5"), tag("and", "6"))`, 0},
	{"a=or or b=and", `or(tag("a", "or"), tag("b", "and"))`, 0},
	{"(service=a or service=b) since=1h", `or(eq(resource.service, string("a")), eq(resource.service, string("b")))`, 0},
	{"url=http://h/p?q=1,2[3]&c=it's or b=1", `or(tag("url", "http://h/p?q=1,2[3]&c=it's"), tag("b", "1"))`, 0},
	{"a= b=c or d=1", `or(and(tag("a", ""), tag("b", "c")), tag("d", "1"))`, 0},
	{"a=1 or", "expected a condition here", 7},
	{"or a=1", "expected a condition before or", 1},
	{"( a=1", "this is not closed: ) is missing", 1},
	{"a=1 or b=2)", ") is not expected here", 11},
	{"since=1h or a=1", "since bounds the whole search", 1},
	{"not service=", "service bounds the whole search", 5},
	{"a=1 && b=2", "write and or or, not &&", 5},
	{"a=f(x) or b=1", "a value that holds ( goes in quotes", 4},
	{"ä=1 or b", `"b" has no value`, 8},
	{"a=1 or =c", "a key is missing before =", 8},
	{`a=1 or b="c`, "the quote is not closed", 10},
	{`a=1 or b="c"d`, "a space is missing after the quote", 13},
	{`a=1 or b="\y"`, "a backslash stands before", 11},
	{strings.Repeat("( ", 80) + "a=1", "more than 128 parentheses", 128},
	{strings.Repeat("not ", 20) + "a=1", "conditions stand 21 deep", 1},
	{strings.Repeat("a=1 ", 1000), "1000 conditions, at most 999", 4001},
	// Operators.
	{"a = 1", `tag("a", "1")`, 0},
	{"span.a=1 x=2 or y=3", `or(and(eq(attr(span, "a"), "1"), tag("x", "2")), tag("y", "3"))`, 0},
	{"resource.service.name != x", `ne(attr(resource, "service.name"), "x")`, 0},
	{"link.a>=5 or event.b < \"2.5\"", `or(gte(attr(link, "a"), "5"), lt(attr(event, "b"), "2.5"))`, 0},
	{"scope.a in (1, 'b c') or a=1", `or(in(attr(scope, "a"), ["1", "b c"]), tag("a", "1"))`, 0},
	{"span.a not in [int(1), int(2)]", `not_in(attr(span, "a"), [int(1), int(2)])`, 0},
	{"span.a =~ 'x.y' or span.b !~ z", `or(regex(attr(span, "a"), "x.y"), and(exists(attr(span, "b")), not(regex(attr(span, "b"), "z"))))`, 0},
	{"a in (1, 2)", `or(tag("a", "1"), tag("a", "2"))`, 0},
	{"service in (a, b)", `in(resource.service, ["a", "b"])`, 0},
	{"service != a", `ne(resource.service, "a")`, 0},
	{"name =~ GET", `regex(span.name, "GET")`, 0},
	{"attr('a') = 1", `eq(attr("a"), "1")`, 0},
	{"attr(event, 'a b') != string('1')", `ne(attr(event, "a b"), string("1"))`, 0},
	{"int(5) < span.a", `lt(int(5), attr(span, "a"))`, 0},
	{"int(5) < a or b=1", `or(or(gt(attr(span, "a"), int(5)), gt(attr(resource, "a"), int(5)), gt(attr(scope, "a"), int(5)), gt(attr(event, "a"), int(5)), gt(attr(link, "a"), int(5))), tag("b", "1"))`, 0},
	{"span.duration > 1m30s", `gt(span.duration, duration(1m30s))`, 0},
	{"span.duration in (1s, 2s)", `in(span.duration, [duration(1s), duration(2s)])`, 0},
	{"span.startTime >= 2026-01-02T03:04:05.5Z", `gte(span.startTime, instant(2026-01-02T03:04:05.5Z))`, 0},
	{"span.kind != server", `ne(span.kind, string("server"))`, 0},
	{"event.a =~", "a value is missing here", 11},
	{"a<b=c or d=1", "a value that holds = goes in quotes", 4},
	{"a<b<c or d=1", "a value that holds < goes in quotes", 4},
	{"a > 1 " + strings.Repeat("b=1 or ", 1000) + "c=1", "more than 999 conditions", 1},
	{"a==b or d=1", "a single = compares", 3},
	{"a=~b=c", "a value that holds = goes in quotes", 5},
	{"duration>10ms", "did you mean span.duration?", 1},
	{"a=1 or Service=b", "did you mean service?", 8},
	{"a=b minduration=10ms", "did you mean minDuration?", 5},
	{"span.Name = a or b=1", "did you mean span.name?", 1},
	{"minDuration > 2s", "minDuration takes = alone", 1},
	{"span.duration > 5", "is compared with a duration and its unit", 17},
	{"span.kind > server", "span.kind has no order", 1},
	{"span.a > bool(true)", "bool(true) has no order", 10},
	{"a < bool(true)", "bool(true) has no order", 5},
	{"span.duration = int(5)", "they cannot be compared", 17},
	{"span.status = bad or a=1", "is never a span.status", 15},
	{"span.status in (ok, bad)", "is never a span.status", 21},
	{"span.duration =~ 2s", "a pattern matches text", 1},
	{"span.a =~ ^x", "the anchor ^", 11},
	{"span.a in 5", "expected a list", 11},
	{"span.a in (5", "this is not closed: ) is missing", 11},
	{"span.a in ()", "a value is missing here", 12},
	{"span.a = duration(2s)", "no attribute is one", 10},
	{"a > instant(2026-01-01T00:00:00Z)", "no attribute is one", 5},
	{"span.a = int(x)", `"x" is no int`, 14},
	{"foo(a) = 1", "foo( is nothing that is known here", 1},
	// Calls.
	{`exists(a.b)`, `or(exists(attr(span, "a.b")), exists(attr(resource, "a.b")), exists(attr(scope, "a.b")), exists(attr(event, "a.b")), exists(attr(link, "a.b")))`, 0},
	{`exists(event.a) exists(span.parentSpanID) exists(service)`, `and(exists(attr(event, "a")), exists(span.parentSpanID), exists(resource.service))`, 0},
	{`some(event, event.a = 1 and event.timeSinceStart > 1ms)`, `some(event, and(eq(attr(event, "a"), "1"), gt(event.timeSinceStart, duration(1ms))))`, 0},
	{`phrase(event.message, "redis: timeout!")`, `phrase(attr(event, "message"), ["redis", "timeout"])`, 0},
	{`fulltext(attr("a"), ["x", "y"])`, `fulltext(attr("a"), ["x", "y"])`, 0},
	{`lte(span.startTime, event.time)`, `lte(span.startTime, event.time)`, 0},
	{`eq("5", int(5))`, `eq("5", int(5))`, 0},
	{`tag("error", "true")`, `tag("error", "true")`, 0},
	{`and( a=1, b=2 c=3)`, `and(tag("a", "1"), and(tag("b", "2"), tag("c", "3")))`, 0},
	{`eq(span.a, b)`, "in a call a constant goes in quotes", 12},
	{`and( a=1 )`, "wants two conditions or more", 1},
	{`some(span, a = 1)`, "some is of event or link", 6},
	{`some(event, some(event, event.a = 1))`, "stands inside another", 18},
	{`phrase(span.name, "a")`, "words are looked for in attributes", 8},
	{`phrase(span.a, "--")`, "0 words, want 1 to 64", 16},
	{`attr("") = 1`, "an attribute without a key", 6},
	{`exists("a"`, "this is not closed", 7},
	{`exists(int(5))`, "expected a key or a field", 8},
	{`regex(int(5), "a")`, "expected a key or a field, not a constant", 7},
	{`tag(a, "b")`, "expected a text in quotes", 5},
}

// TestTextsAreReadAs is the table of what the words mean, and of what is said where they
// mean nothing: with the place.
func TestTextsAreReadAs(t *testing.T) {
	for _, c := range texts {
		q, err := span.ParseQuery(c.text, now)
		wrong := (*span.TextError)(nil)
		switch {
		case c.column == 0 && (err != nil || fmt.Sprint(q.Filter) != c.want):
			t.Errorf("%q\n got %v, %v\nwant %s", c.text, q.Filter, err, c.want)
		case c.column > 0 && (!errors.As(err, &wrong) || !errors.Is(err, span.ErrInvalid)):
			t.Errorf("%q is read as %v, %v", c.text, q.Filter, err)
		case c.column > 0 && (wrong.Column() != c.column || !strings.Contains(wrong.Reason, c.want)):
			t.Errorf("%.60q: %s at %d, want %s at %d", c.text, wrong.Reason, wrong.Column(), c.want, c.column)
		}
	}
}

// TestBoundsOfTimeStandBesideTheFilter, wherever they stand in an and at the root.
func TestBoundsOfTimeStandBesideTheFilter(t *testing.T) {
	for _, text := range []string{
		"since=1h a=1 to=2026-01-02", "a=1 and since=1h and to=1767312000000000000", "(a=1 (to=2026-01-02T00:00 since=60m) )",
		`from=2025-12-31T23:00:00Z to="2026-01-02 00:00:00" a = 1`,
	} {
		q, err := span.ParseQuery(text, now)
		if err != nil || q.StartMin != 1_767_222_000_000_000_000 || q.StartMax != 1_767_312_000_000_000_000 || fmt.Sprint(q.Filter) != `tag("a", "1")` {
			t.Errorf("%s: %+v, %v", text, q, err)
		}
	}
}

// TestEveryFilterIsSayable: the text of any filter that Jaeger's protocol can carry is read as
// the same tree.
func TestEveryFilterIsSayable(t *testing.T) {
	said := 0
	for seed := range uint64(20) {
		gen, model := enginetest.NewGenerator(seed, 3), enginetest.NewModel()
		if _, err := model.Add(enginetest.Payload(gen.Spans(20))); err != nil {
			t.Fatal(err)
		}
		for range 500 {
			f := gen.Filter(model)
			q, err := span.ParseQuery(span.Text(f), now)
			if err != nil {
				// Neither has the wire: a key that is empty, and types for two constants that are
				// times. A year of five digits is no RFC 3339.
				if !strings.Contains(err.Error(), "without a key") && !strings.Contains(err.Error(), "no attribute is one") &&
					!strings.Contains(f.String(), "instant(36812-") {
					t.Fatalf("%s: %v", span.Text(f), err)
				}
				continue
			}
			said++
			if q.Filter.String() != f.String() {
				t.Fatalf("%s is read as\n%v", span.Text(f), q.Filter)
			}
		}
	}
	if said < 8500 {
		t.Errorf("only %d of 10000 filters were read", said)
	}
}

// TestPlainTextsMeanWhatTheyAlwaysMeant: whatever stands in words KEY=VALUE, they are our own
// words and tags, on one span.
func TestPlainTextsMeanWhatTheyAlwaysMeant(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	piece := func() string {
		return pick("a", "or", "and", "not", "in", "(", ")", "[", "]", ",", "span.", "event.name", "attr(", "exists(", "=", "~", "<", "é", "5", "\"", "'", "\\", ".", "!")
	}
	for range 20_000 {
		var words []string
		var want []span.Filter
		for range 1 + random.IntN(4) {
			key, value := pick("a", "span.kind", "(b", "not(c", "or", "in", "é")+piece(), ""
			for range random.IntN(4) {
				value += piece()
			}
			if strings.ContainsAny(key, "=<>~!") {
				key = strings.Map(func(c rune) rune {
					if strings.ContainsRune("=<>~!", c) {
						return '-'
					}
					return c
				}, key)
			}
			spelled := value
			if value == "" || strings.ContainsAny(value[:1], "=~\"'") {
				spelled = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
			}
			words, want = append(words, key+"="+spelled), append(want, span.Tag{Key: key, Value: value})
		}
		text := strings.Join(words, pick(" ", "  ", "\t"))
		q, err := span.ParseQuery(text, now)
		filter := span.Filter(span.And{Parts: want})
		if len(want) == 1 {
			filter = want[0]
		}
		if err != nil || q.Filter.String() != filter.String() || !span.IsPlain(text) {
			t.Fatalf("%s\n got %v, %v\nwant %v", text, q.Filter, err, filter)
		}
	}
}

// FuzzQueryText: any text is read or refused with a place in it; what is read is said again as
// the same.
func FuzzQueryText(f *testing.F) {
	for _, c := range texts {
		f.Add(c.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, err := span.ParseQuery(text, now)
		if err != nil {
			if wrong := (*span.TextError)(nil); !errors.As(err, &wrong) || wrong.Offset < 0 || wrong.Offset > len(text) || wrong.Column() < 1 {
				t.Fatalf("%q: %#v", text, err)
			}
			return
		}
		if q.Filter == nil {
			return
		}
		again, err := span.ParseQuery(span.Text(q.Filter), now)
		if err != nil || again.Filter.String() != q.Filter.String() {
			t.Fatalf("%q is read as\n%v, that as\n%v, %v", text, q.Filter, again.Filter, err)
		}
	})
}
