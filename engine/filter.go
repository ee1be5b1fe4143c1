package engine

import (
	"fmt"
	"regexp"

	"github.com/stoadb/stoa/engine/span"
)

// compiledFilter is a span.Filter made ready: what does not depend on a batch is worked out
// once for each question. It is read-only and serves any number of runs; see filterRun.
//
// Compiling leaves a small language. A negated leaf becomes "there is a value, and none
// passes"; an unqualified reference becomes one leaf for the span or one for the resource;
// so every leaf left is positive and reads one level, and the rules for missing and for
// several values hold without a thought. What reads the resource alone, or the scope alone,
// is remembered for each of them, and the cheapest parts of an and or an or come first.
type compiledFilter struct {
	source span.Filter
	root   node
	keys   map[string]uint16 // the keys of all attribute references, numbered
	memos  int

	onResource []*memoNode // the parts that read the resource alone
	slots      int         // nodes that read elements or columns
}

// compileFilter refuses trees that are none: parts missing, unknown nodes, beyond the
// limits. api has checked all that already and says where; this guards other callers.
func compileFilter(f span.Filter) (*compiledFilter, error) {
	c := filterCompiler{keys: make(map[string]uint16)}
	root, err := c.node(f, 1)
	if err == nil {
		err = span.CheckWeight(f)
	}
	if err != nil {
		return nil, err
	}
	compiled := &compiledFilter{source: f, keys: c.keys, slots: c.slots}
	compiled.root = compiled.remembered(root)
	return compiled, nil
}

// filterCompiler numbers keys and counts nodes.
type filterCompiler struct {
	keys  map[string]uint16
	nodes int
	slots int
	bound levelSet // levels that a Some around binds
}

func invalidFilter(format string, args ...any) error {
	return fmt.Errorf("%w: filter: "+format, append([]any{span.ErrInvalid}, args...)...)
}

func (c *filterCompiler) node(f span.Filter, depth int) (node, error) {
	c.nodes++
	if depth > span.FilterDepthMax || c.nodes > span.FilterNodesMax {
		return nil, invalidFilter("more than %d calls one inside the other, or more than %d in all", span.FilterDepthMax, span.FilterNodesMax)
	}
	switch f := f.(type) {
	case span.And:
		parts, err := c.parts(f.Parts, depth)
		return allOf(parts), err
	case span.Or:
		parts, err := c.parts(f.Parts, depth)
		return anyOf(parts), err
	case span.Not:
		part, err := c.node(f.Part, depth+1)
		return notNode{part}, err
	case span.Some:
		return c.some(f, depth)
	case span.Comparison:
		return c.comparison(f)
	case span.In:
		return c.in(f.Reference, f.Values)
	case span.NotIn:
		in, err := c.in(f.Reference, f.Values)
		if err != nil {
			return nil, err
		}
		return c.unless(in, f.Reference)
	case span.Exists:
		return c.exists(f.Reference)
	case span.Regex:
		return c.regex(f)
	case span.Phrase:
		return c.words(f.Attribute, f.Words, true)
	case span.FullText:
		return c.words(f.Attribute, f.Words, false)
	case span.Tag:
		return c.tag(f)
	}
	return nil, invalidFilter("%T is no filter", f)
}

func (c *filterCompiler) parts(parts []span.Filter, depth int) ([]node, error) {
	if len(parts) == 0 {
		return nil, invalidFilter("nothing to combine")
	}
	nodes := make([]node, len(parts))
	for i, part := range parts {
		var err error
		if nodes[i], err = c.node(part, depth+1); err != nil {
			return nil, err
		}
	}
	return nodes, nil
}

func (c *filterCompiler) some(f span.Some, depth int) (node, error) {
	if f.Level != span.EventLevel && f.Level != span.LinkLevel || c.bound&only(f.Level) != 0 {
		return nil, invalidFilter("some over %v: want event or link, each once", f.Level)
	}
	before := c.bound
	c.bound |= only(f.Level)
	part, err := c.node(f.Part, depth+1)
	c.bound = before
	return someNode{f.Level, part, c.slot()}, err
}

// slot numbers a node that reads elements or columns.
func (c *filterCompiler) slot() uint32 {
	c.slots++
	return uint32(c.slots - 1)
}

// sources gives the reference level by level.
func (c *filterCompiler) sources(reference span.Reference) ([]source, error) {
	switch reference := reference.(type) {
	case span.Field:
		if reference.IsKnown() {
			return []source{{level: reference.Level(), field: reference}}, nil
		}
	case span.Attribute:
		key, known := c.keys[reference.Key]
		if !known {
			key = uint16(len(c.keys)) // fewer than twice FilterNodesMax
			c.keys[reference.Key] = key
		}
		if reference.Unqualified {
			return []source{{level: span.SpanLevel, key: key}, {level: span.ResourceLevel, key: key}}, nil
		}
		if reference.Level < span.Levels {
			return []source{{level: reference.Level, key: key}}, nil
		}
	}
	return nil, invalidFilter("%v (%T) is no reference", reference, reference)
}

// leaf makes one leaf of each level's source; one of them must hold.
func (c *filterCompiler) leaf(reference span.Reference, of func(s source) node) (node, error) {
	sources, err := c.sources(reference)
	if err != nil {
		return nil, err
	}
	nodes := make(anyOf, len(sources))
	for i, s := range sources {
		nodes[i] = of(s)
	}
	if len(nodes) == 1 {
		return nodes[0], nil
	}
	return nodes, nil
}

func (c *filterCompiler) exists(reference span.Reference) (node, error) {
	return c.leaf(reference, func(s source) node { return &existsLeaf{s, c.slot()} })
}

func (c *filterCompiler) test(reference span.Reference, test valueTest) (node, error) {
	return c.leaf(reference, func(s source) node { return &testLeaf{s, test, c.slot()} })
}

// unless is the negated leaf: each reference has a value, and the positive leaf fails.
func (c *filterCompiler) unless(positive node, references ...span.Reference) (node, error) {
	all := allOf{notNode{positive}}
	for _, reference := range references {
		exists, err := c.exists(reference)
		if err != nil {
			return nil, err
		}
		all = append(all, exists)
	}
	return all, nil
}

func (c *filterCompiler) in(reference span.Reference, values []span.Constant) (node, error) {
	if len(values) == 0 {
		return nil, invalidFilter("an empty list")
	}
	test := &equalTest{}
	for _, value := range values {
		if err := checkMeeting(span.Equal, reference, value); err != nil {
			return nil, err
		}
		test.add(value)
	}
	return c.test(reference, test)
}

func (c *filterCompiler) regex(f span.Regex) (node, error) {
	if field, ok := f.Reference.(span.Field); ok && field.IsKnown() && field.Domain() != span.TextDomain {
		return nil, invalidFilter("regex on %v, which holds %v", field, field.Domain())
	}
	if err := span.CheckPattern(f.Pattern); err != nil {
		return nil, err
	}
	pattern, err := regexp.Compile(f.Pattern)
	if err != nil {
		return nil, invalidFilter("%v", err)
	}
	return c.test(f.Reference, regexTest{pattern, span.PatternSteps(f.Pattern)})
}

func (c *filterCompiler) words(attribute span.Attribute, words []string, isPhrase bool) (node, error) {
	if len(words) == 0 || len(words) > span.WordsMax {
		return nil, invalidFilter("%d words, want 1 to %d", len(words), span.WordsMax)
	}
	for _, word := range words {
		if err := span.CheckWord(word); err != nil {
			return nil, err
		}
	}
	return c.test(attribute, newWordsTest(words, isPhrase))
}
