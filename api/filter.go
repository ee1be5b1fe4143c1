package api

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/stoadb/stoa/api/pb/expressionv1"
	"github.com/stoadb/stoa/api/wire"
	"github.com/stoadb/stoa/engine/span"
)

// filterOf reads a structured filter (jaeger.expression.v1) and checks all that can be known
// of it without a span: a caller may come directly, without Jaeger's own checks before it.
// What cannot be evaluated is refused as a whole, with the path to the node and the reason;
// answering a part of the question would be a wrong answer. So is a message with fields
// from a later version of the protocol: they may mean anything.
//
// Reading leaves nothing for later: a constant beside a field, or beside a typed constant,
// is read as the same kind; only one beside an attribute may stay untyped.
func filterOf(root *expressionv1.Call) (span.Filter, error) {
	f, err := (&filterReader{}).call("filter", root, 1)
	if err != nil {
		return nil, err
	}
	if err := span.CheckWeight(f); err != nil {
		return nil, refuse("filter", "%s", reason(err))
	}
	return f, nil
}

// filterOperators is what filterReader serves, as Capabilities announces it.
var filterOperators = []string{
	"and", "or", "not", "eq", "ne", "gt", "lt", "gte", "lte", "regex", "exists", "in", "not_in", "some", "phrase", "fulltext",
}

// tagOperator takes a tag of a legacy search into a filter. It is Stoa's own, for who asks with
// its client; Jaeger has no such operator, and is not told of it.
const tagOperator = wire.TagOperator

// filterLevels is the same for levels.
func filterLevels() []string {
	levels := make([]string, span.Levels)
	for level := range levels {
		levels[level] = span.Level(level).String()
	}
	return levels
}

// filterReader walks one filter.
type filterReader struct {
	nodes int
	bound [span.Levels]bool // levels that a some around binds
}

func refuse(path, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s", span.ErrInvalid, path, fmt.Sprintf(format, args...))
}

// known refuses a message with fields that this version does not know.
func known(path string, message proto.Message) error {
	if len(message.ProtoReflect().GetUnknown()) > 0 {
		return refuse(path, "it has a field of a later protocol version")
	}
	return nil
}

// knownWhole is known of a message and of all within it.
func knownWhole(path string, message protoreflect.Message) error {
	if len(message.GetUnknown()) > 0 {
		return refuse(path, "it has a field of a later protocol version")
	}
	var err error
	message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.Message() == nil || field.IsMap():
		case field.IsList():
			for i := 0; i < value.List().Len() && err == nil; i++ {
				err = knownWhole(path, value.List().Get(i).Message())
			}
		default:
			err = knownWhole(path, value.Message())
		}
		return err == nil
	})
	return err
}

var comparators = map[string]span.Comparator{
	"eq": span.Equal, "ne": span.NotEqual, "gt": span.Greater, "lt": span.Less, "gte": span.GreaterOrEqual, "lte": span.LessOrEqual,
}

// call reads one call, the depth-th from the root.
func (r *filterReader) call(path string, c *expressionv1.Call, depth int) (span.Filter, error) {
	if depth > span.FilterDepthMax {
		return nil, refuse(path, "calls stand more than %d deep one inside the other", span.FilterDepthMax)
	}
	if r.nodes++; r.nodes > span.FilterNodesMax {
		return nil, refuse(path, "more than %d calls in one filter", span.FilterNodesMax)
	}
	if err := known(path, c); err != nil {
		return nil, err
	}
	path += "." + opName(c.GetOp())
	if err := checkArity(path, c); err != nil {
		return nil, err
	}
	args := c.GetArgs()
	switch op := c.GetOp(); op {
	case "and":
		parts, err := r.predicates(path, args, depth)
		return span.And{Parts: parts}, err
	case "or":
		parts, err := r.predicates(path, args, depth)
		return span.Or{Parts: parts}, err
	case "not":
		part, err := r.predicate(at(path, 0), args[0], depth)
		return span.Not{Part: part}, err
	case "some":
		return r.some(path, args, depth)
	case "exists":
		reference, err := referenceOf(at(path, 0), args[0])
		return span.Exists{Reference: reference}, err
	case "in", "not_in":
		reference, values, err := membership(path, args)
		if op == "in" {
			return span.In{Reference: reference, Values: values}, err
		}
		return span.NotIn{Reference: reference, Values: values}, err
	case "regex":
		return regexOf(path, args)
	case tagOperator:
		return tagOf(path, args)
	case "phrase", "fulltext":
		attribute, words, err := textSearch(path, args)
		if op == "phrase" {
			return span.Phrase{Attribute: attribute, Words: words}, err
		}
		return span.FullText{Attribute: attribute, Words: words}, err
	}
	return comparison(path, comparators[c.GetOp()], args)
}

// opName is an operator in a path; a foreign one is shown, not trusted.
func opName(op string) string {
	if isOperator(op) {
		return op
	}
	return "?"
}

func isOperator(op string) bool { return op == tagOperator || slices.Contains(filterOperators, op) }

// at is the path to an argument.
func at(path string, arg int) string { return fmt.Sprintf("%s[%d]", path, arg) }

// checkArity checks the operator and the number of its arguments.
func checkArity(path string, c *expressionv1.Call) error {
	op, n := c.GetOp(), len(c.GetArgs())
	switch {
	case op == "":
		return refuse(path, "a call without an operator")
	case !isOperator(op):
		return refuse(path, "operator %.100q is none of %s", op, strings.Join(filterOperators, ", "))
	case op == "and" || op == "or":
		if n < 2 {
			return refuse(path, "%d arguments, want two or more", n)
		}
	case op == "not" || op == "exists":
		if n != 1 {
			return refuse(path, "%d arguments, want one", n)
		}
	case n != 2:
		return refuse(path, "%d arguments, want two", n)
	}
	return nil
}

func (r *filterReader) predicates(path string, args []*expressionv1.Expression, depth int) ([]span.Filter, error) {
	parts := make([]span.Filter, len(args))
	for i, arg := range args {
		var err error
		if parts[i], err = r.predicate(at(path, i), arg, depth); err != nil {
			return nil, err
		}
	}
	return parts, nil
}

// predicate reads an argument that must be a call.
func (r *filterReader) predicate(path string, e *expressionv1.Expression, depth int) (span.Filter, error) {
	if err := known(path, e); err != nil {
		return nil, err
	}
	if e.GetCall() == nil {
		return nil, refuse(path, "want a predicate, which is a call, got %s", termName(e))
	}
	return r.call(path, e.GetCall(), depth+1)
}

func (r *filterReader) some(path string, args []*expressionv1.Expression, depth int) (span.Filter, error) {
	over, where := args[0].GetNested(), at(path, 0)
	if err := known(where, args[0]); err != nil {
		return nil, err
	}
	if over == nil {
		return nil, refuse(where, "want a collection (nested), the events or the links, got %s", termName(args[0]))
	}
	if err := known(where, over); err != nil {
		return nil, err
	}
	level, ok := span.LevelOf(over.GetLevel())
	if !ok || level != span.EventLevel && level != span.LinkLevel {
		return nil, refuse(where, "collection %.100q: want event or link", over.GetLevel())
	}
	if r.bound[level] {
		return nil, refuse(where, "a some over %vs stands inside another: which of the two a reference means is not defined", level)
	}
	r.bound[level] = true
	part, err := r.predicate(at(path, 1), args[1], depth)
	r.bound[level] = false
	return span.Some{Level: level, Part: part}, err
}

// termName tells what an argument is.
func termName(e *expressionv1.Expression) string {
	switch e.GetTerm().(type) {
	case *expressionv1.Expression_Attr:
		return "an attribute"
	case *expressionv1.Expression_Field:
		return "a field"
	case *expressionv1.Expression_Nested:
		return "a collection"
	case *expressionv1.Expression_Scalar:
		return "a constant"
	case *expressionv1.Expression_List:
		return "a list"
	case *expressionv1.Expression_Call:
		return "a call"
	}
	return "nothing"
}
