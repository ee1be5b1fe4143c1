package api

import (
	"slices"
	"strings"

	"github.com/stoadb/stoa/api/pb/expressionv1"
	"github.com/stoadb/stoa/engine/span"
)

// comparison reads eq, ne, gt, lt, gte and lte.
func comparison(path string, op span.Comparator, args []*expressionv1.Expression) (span.Filter, error) {
	left, err := operandOf(at(path, 0), args[0])
	if err != nil {
		return nil, err
	}
	right, err := operandOf(at(path, 1), args[1])
	if err != nil {
		return nil, err
	}
	if left, err = beside(at(path, 0), left, right); err != nil {
		return nil, err
	}
	if right, err = beside(at(path, 1), right, left); err != nil {
		return nil, err
	}
	if part, err := span.CheckComparison(op, left, right); err != nil {
		if part >= 0 {
			path = at(path, part)
		}
		return nil, because(path, err)
	}
	return span.Comparison{Op: op, Left: left, Right: right}, nil
}

// beside reads a constant once more, as the kind of what it stands beside.
func beside(path string, o, other span.Operand) (span.Operand, error) {
	constant, ok := o.(span.Constant)
	if !ok {
		return o, nil
	}
	constant, err := constant.Beside(other)
	return constant, because(path, err)
}

// membership reads in and not_in.
func membership(path string, args []*expressionv1.Expression) (span.Reference, []span.Constant, error) {
	reference, err := referenceOf(at(path, 0), args[0])
	if err != nil {
		return nil, nil, err
	}
	list, err := listOf(at(path, 1), args[1])
	if err != nil {
		return nil, nil, err
	}
	values := make([]span.Constant, len(list.GetValues()))
	for i, text := range list.GetValues() {
		where := at(at(path, 1), i)
		if values[i], err = typed(where, list.GetType(), text); err != nil {
			return nil, nil, err
		}
		field, isField := reference.(span.Field)
		if !isField {
			continue
		}
		if d := values[i].Domain(); d != span.UnknownDomain && d != field.Domain() {
			return nil, nil, refuse(at(path, 1), "a list of type %s beside %v, which holds %v", list.GetType(), field, field.Domain())
		}
		if values[i], err = asField(where, field, text); err != nil {
			return nil, nil, err
		}
	}
	return reference, values, nil
}

// listOf reads a list, which has at least one element: membership in nothing, and a search
// for no words, is an oversight.
func listOf(path string, e *expressionv1.Expression) (*expressionv1.List, error) {
	if err := known(path, e); err != nil {
		return nil, err
	}
	list := e.GetList()
	if list == nil {
		return nil, refuse(path, "want a list, got %s", termName(e))
	}
	if err := known(path, list); err != nil {
		return nil, err
	}
	if len(list.GetValues()) == 0 {
		return nil, refuse(path, "the list is empty")
	}
	return list, nil
}

// regexOf reads regex.
func regexOf(path string, args []*expressionv1.Expression) (span.Filter, error) {
	reference, err := referenceOf(at(path, 0), args[0])
	if err != nil {
		return nil, err
	}
	if field, ok := reference.(span.Field); ok && field.Domain() != span.TextDomain {
		return nil, refuse(at(path, 0), "a pattern matches text, and %v holds %v", field, field.Domain())
	}
	where := at(path, 1)
	if args[1].GetScalar() == nil {
		return nil, refuse(where, "want a constant, the pattern, got %s", termName(args[1]))
	}
	pattern, err := constantOf(where, args[1])
	if err != nil {
		return nil, err
	}
	if pattern.Type != span.UntypedConstant && pattern.Type != span.StringConstant {
		return nil, refuse(where, "the pattern has type %s, and is a string", args[1].GetScalar().GetType())
	}
	if err := span.CheckPattern(pattern.Text); err != nil {
		return nil, refuse(where, "%s", reason(err))
	}
	return span.Regex{Reference: reference, Pattern: pattern.Text}, nil
}

// textSearch reads phrase and fulltext.
func textSearch(path string, args []*expressionv1.Expression) (attribute span.Attribute, words []string, err error) {
	reference, err := referenceOf(at(path, 0), args[0])
	if err != nil {
		return attribute, nil, err
	}
	attribute, ok := reference.(span.Attribute)
	if !ok {
		return attribute, nil, refuse(at(path, 0), "want an attribute, got %v: fields are short and searched with eq and regex", reference)
	}
	list, err := listOf(at(path, 1), args[1])
	if err != nil {
		return attribute, nil, err
	}
	if t := list.GetType(); t != "" && t != "string" {
		return attribute, nil, refuse(at(path, 1), "a list of type %.100q, and words are strings", t)
	}
	words = slices.Clone(list.GetValues())
	if len(words) > span.WordsMax {
		return attribute, nil, refuse(at(path, 1), "%d words, at most %d", len(words), span.WordsMax)
	}
	for i, word := range words {
		if err := span.CheckWord(word); err != nil {
			return attribute, nil, refuse(at(at(path, 1), i), "%s", reason(err))
		}
	}
	return attribute, words, nil
}

// reason is an error without the kind that refuse puts before the path.
func reason(err error) string {
	return strings.TrimPrefix(err.Error(), span.ErrInvalid.Error()+": ")
}

// tagOf reads tagOperator: the key and the value of a tag.
func tagOf(path string, args []*expressionv1.Expression) (span.Filter, error) {
	var texts [2]string
	for i := range texts {
		if args[i].GetScalar() == nil {
			return nil, refuse(at(path, i), "want a constant, got %s", termName(args[i]))
		}
		c, err := constantOf(at(path, i), args[i])
		if err != nil {
			return nil, err
		}
		if c.Type != span.UntypedConstant && c.Type != span.StringConstant {
			return nil, refuse(at(path, i), "it has type %s, and is a string", args[i].GetScalar().GetType())
		}
		texts[i] = c.Text
	}
	return span.Tag{Key: texts[0], Value: texts[1]}, nil
}
