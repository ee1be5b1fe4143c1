package span_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"regexp/syntax"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
)

// TestTheTextOfAFilterIsCanonical: two filters have the same text if and only if they are
// the same tree.
func TestTheTextOfAFilterIsCanonical(t *testing.T) {
	byText := make(map[string]span.Filter)
	for seed := range uint64(20) {
		gen, model := enginetest.NewGenerator(seed, 3), enginetest.NewModel()
		if _, err := model.Add(enginetest.Payload(gen.Spans(20))); err != nil {
			t.Fatal(err)
		}
		for range 500 {
			f := gen.Filter(model)
			known, ok := byText[f.String()]
			if diff := cmp.Diff(known, f, cmpopts.EquateNaNs()); ok && diff != "" {
				t.Fatalf("two trees are both %v:\n%s", f, diff)
			}
			byText[f.String()] = f
		}
	}
	if len(byText) < 5000 {
		t.Errorf("only %d different filters", len(byText))
	}
}

func TestFiltersAsText(t *testing.T) {
	key := span.Attribute{Level: span.EventLevel, Key: `a"b`}
	for want, f := range map[string]span.Filter{
		`and(exists(attr("k")), not(exists(span.name)))`: span.And{Parts: []span.Filter{
			span.Exists{Reference: span.Attribute{Unqualified: true, Key: "k"}}, span.Not{Part: span.Exists{Reference: span.SpanName}},
		}},
		`or(exists(link.spanID), exists(scope.version))`: span.Or{Parts: []span.Filter{
			span.Exists{Reference: span.LinkSpanID}, span.Exists{Reference: span.ScopeVersion},
		}},
		`some(event, lte(attr(event, "a\"b"), "5"))`: span.Some{Level: span.EventLevel, Part: span.Comparison{
			Op: span.LessOrEqual, Left: key, Right: span.Untyped("5"),
		}},
		`ne(int(-5), double(0.1))`:            span.Comparison{Op: span.NotEqual, Left: span.OfInt(-5), Right: span.OfDouble(0.1)},
		`lt(double(NaN), bool(true))`:         span.Comparison{Op: span.Less, Left: span.OfDouble(math.NaN()), Right: span.OfBool(true)},
		`gt(span.duration, duration(-1m30s))`: span.Comparison{Op: span.Greater, Left: span.SpanDuration, Right: span.OfDuration(-90e9)},
		`in(event.time, [instant(1969-12-31T23:59:59.5Z), instant(1970-01-01T00:00:00Z)])`: span.In{
			Reference: span.EventTime, Values: []span.Constant{span.OfInstant(-1, 5e8), span.OfInstant(0, 0)},
		},
		`not_in(span.name, [string("\xff")])`:     span.NotIn{Reference: span.SpanName, Values: []span.Constant{span.OfString("\xff")}},
		`regex(span.name, "a|b")`:                 span.Regex{Reference: span.SpanName, Pattern: "a|b"},
		`phrase(attr(event, "a\"b"), ["c", "d"])`: span.Phrase{Attribute: key, Words: []string{"c", "d"}},
		`fulltext(attr(event, "a\"b"), ["c"])`:    span.FullText{Attribute: key, Words: []string{"c"}},
		`not(nothing)`:                            span.Not{},
		`exists(200)`:                             span.Exists{Reference: span.Field(200)},
	} {
		if f.String() != want {
			t.Errorf("got  %v\nwant %s", f, want)
		}
	}
}

// TestPatternsAreJudgedBehindAnyClass: whatever a character class looks like, what follows it is
// looked at, and nothing inside it. Go's parser says where a class ends: the shortest beginning
// that it takes.
func TestPatternsAreJudgedBehindAnyClass(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"[", "]", "[:", ":]", "[:alpha:]", "^", "-", ":", "a", "z", "é", `\\`, `\]`, `\[`, `\-`, `\d`, `\pL`, `\p{Greek}`, `\x{5b}`, `\x5b`, `\133`, `\07`, "$", "*?", "{"}
	isClass := func(text string) bool {
		_, err := syntax.Parse(text, syntax.Perl)
		return err == nil
	}
	classes := 0
next:
	for range 10_000 {
		class := "["
		for range 1 + random.IntN(7) {
			class += pieces[random.IntN(len(pieces))]
		}
		class += "]"
		for end := 1; end < len(class); end++ {
			if class[end-1] == ']' && isClass(class[:end]) {
				continue next // it ends before
			}
		}
		if !isClass(class) {
			continue
		}
		classes++
		if err := span.CheckPattern(class); err != nil {
			t.Fatalf("%q: %v", class, err)
		}
		for behind, says := range map[string]string{"^": "anchor", "a*?": "lazy", `\b`: "boundary", "(?i)a": "flag i", "(?i)a[[:alpha:]]": "flag i"} {
			if err := span.CheckPattern(class + behind); isClass(class+behind) && (err == nil || !strings.Contains(err.Error(), says)) {
				t.Fatalf("%q: %v", class+behind, err)
			}
		}
	}
	if classes < 1_000 {
		t.Errorf("%d classes show little", classes)
	}
}

// TestPatternsAreJudgedAsWritten, not as a parser rewrites them.
func TestPatternsAreJudgedAsWritten(t *testing.T) {
	for pattern, refused := range map[string]string{
		"": "", "a": "", "a|b": "", "[Aa]": "", "[aA][bB]": "", "(?:a|A)": "", "(a|A)": "", "é+": "", `\.`: "", `\d{2,3}`: "",
		`[\^$]`: "", "[^$]": "", `\^\$`: "", `\Q^$\b(?i)\E`: "", `\Qa*?`: "", `[*?]`: "", `\*?`: "", `a*\Q\E?`: "", "[]^]": "", "[^]^]": "",
		"[[:alpha:]^]": "", `[\]^]`: "", "x{,2}?": "", "x{a}?": "", "(?s).": "", "(?m)a": "", "(?-i)a": "", "(?s-i:a)": "", "(?P<name>a)": "",
		"(?P<i>a)": "", "(?<Ui>a)": "", `\pL`: "", `\p{Greek}?`: "", `\x{e9}?`: "", "{": "", "a{1": "", `[a\]](?:b)?`: "",
		`[\d-[:alpha:]^]`: "", `[\pL-[:alpha:]^]`: "", `[a-\x7a-[:alpha:]^]`: "", `[a-\172-[:alpha:]^]`: "",
		"^": "anchor ^", "a$": "anchor $", `\Aa`: `anchor \A`, `a\z`: `anchor \z`, "(^a)": "anchor", "a|^b": "anchor", "(?:^){0}a": "anchor",
		"[a]^": "anchor", `\\^`: "anchor", `[\]]$`: "anchor", `\Q\E^`: "anchor", "[[:alpha:]]$": "anchor", "[]]^": "anchor",
		`\b`: `word boundary \b`, `a\B`: `word boundary \B`, `[b]\b`: "word boundary",
		"a*?": "lazy", "a+?": "lazy", "a??": "lazy", "a{2}?": "lazy", "a{2,}?": "lazy", "a{2,3}?": "lazy", "(a)*?": "lazy", `\d{3}?`: "lazy", `\pL+?`: "lazy",
		"(?i)a": "flag i", "(?i:a)": "flag i", "(?si)a": "flag i", "(?i-s:a)": "flag i", "a(?:b(?i:c))": "flag i", "(?U)a*": "flag U", "(?sU:a*)": "flag U",
		"(": "no RE2", `\1`: "no RE2", "a**": "no RE2", "(?=a)": "no RE2", "a{1001}": "no RE2", "\xff": "no RE2",
		strings.Repeat("a", 1025): "1025 bytes", "(aaaaaaaaaaaa){999}": "4000 steps", "((a{9}){9}){9}": "", ".{1000}": "", "((a{9}){9}){999}": "no RE2",
	} {
		err := span.CheckPattern(pattern)
		switch {
		case refused == "" && err != nil:
			t.Errorf("%q: %v", pattern, err)
		case refused != "" && (!errors.Is(err, span.ErrInvalid) || !strings.Contains(err.Error(), refused)):
			t.Errorf("%q: %v, want %q", pattern, err, refused)
		}
	}
}

// FuzzPatterns: no pattern breaks the check, and one without the characters of a refused
// construct passes it.
func FuzzPatterns(f *testing.F) {
	for _, seed := range []string{"a", `\Q^`, "[^]]*?", "(?i:a)", "(?P<a>b)", "x{1,2}?", `\x{10FFFF}`, "[[:^alpha:]]", "(?s-U:.)"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		err := span.CheckPattern(pattern)
		if err == nil || strings.ContainsAny(pattern, `^$\?(`) {
			return
		}
		for _, refused := range []string{"anchor", "boundary", "lazy", "flag"} {
			if strings.Contains(err.Error(), "the pattern has a "+refused) || strings.Contains(err.Error(), "the pattern has the "+refused) {
				t.Errorf("%q: %v", pattern, err)
			}
		}
	})
}

func TestWordsAreRunsOfLettersDigitsAndMarks(t *testing.T) {
	for word, fine := range map[string]bool{
		"a": true, "Refund": true, "käse": true, "e\u0301": true, "5": true, "١٢": true, "日本": true, strings.Repeat("x", 255): true,
		strings.Repeat("\U00020000", 127): true, // two units each
		"":                                false, "two words": false, "don't": false, "foo_bar": false, "a-b": false, " a": false, "½": false, "😀": false, "\xff": false,
		strings.Repeat("x", 256): false, strings.Repeat("\U00020000", 128): false,
	} {
		if err := span.CheckWord(word); (err == nil) != fine || err != nil && !errors.Is(err, span.ErrInvalid) {
			t.Errorf("%.40q: %v", word, err)
		}
	}
}

// TestFieldsAreFoundByTheirNames, each on its own level alone.
func TestFieldsAreFoundByTheirNames(t *testing.T) {
	found := 0
	for level := span.Level(0); level < span.Levels; level++ {
		if known, ok := span.LevelOf(level.String()); !ok || known != level {
			t.Errorf("level %v is found as %v", level, known)
		}
		for f := span.NoField + 1; f < span.Fields; f++ {
			known, ok := span.FieldOf(level, f.Name())
			switch {
			case ok && known == f && f.Level() == level:
				found++
			case ok && known.Level() != level, !ok && f.Level() == level:
				t.Errorf("%v on level %v is found as %v, %v", f, level, known, ok)
			}
			if !f.IsKnown() || f.String() != f.Level().String()+"."+f.Name() {
				t.Errorf("field %v", f)
			}
		}
	}
	if found != span.Fields-1 || span.NoField.IsKnown() || span.Field(span.Fields).IsKnown() {
		t.Errorf("%d fields found of %d", found, span.Fields-1)
	}
}

func TestTurnedComparatorsSayTheSame(t *testing.T) {
	pairs := map[span.Comparator]span.Comparator{
		span.Equal: span.Equal, span.NotEqual: span.NotEqual, span.Less: span.Greater, span.LessOrEqual: span.GreaterOrEqual,
	}
	for a, b := range pairs {
		if a.Turned() != b || b.Turned() != a {
			t.Errorf("%v and %v", a, b)
		}
	}
}
