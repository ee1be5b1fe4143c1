package client

import (
	"fmt"
	"strconv"
	"time"

	"github.com/stoadb/stoa/api/pb/expressionv1"
	"github.com/stoadb/stoa/api/wire"
	"github.com/stoadb/stoa/engine/span"
)

// filterCall spells a filter on the wire. Where the server refuses it, it says why.
func filterCall(f span.Filter) *expressionv1.Call {
	switch f := f.(type) {
	case span.And:
		return &expressionv1.Call{Op: "and", Args: callArgs(f.Parts...)}
	case span.Or:
		return &expressionv1.Call{Op: "or", Args: callArgs(f.Parts...)}
	case span.Not:
		return &expressionv1.Call{Op: "not", Args: callArgs(f.Part)}
	case span.Some:
		over := &expressionv1.Expression{Term: &expressionv1.Expression_Nested{Nested: &expressionv1.NestedReference{Level: f.Level.String()}}}
		return &expressionv1.Call{Op: "some", Args: append([]*expressionv1.Expression{over}, callArgs(f.Part)...)}
	case span.Comparison:
		return leafCall(f.Op.String(), term(f.Left), term(f.Right))
	case span.In:
		return membershipCall("in", "or", f.Reference, f.Values)
	case span.NotIn:
		return membershipCall("not_in", "and", f.Reference, f.Values)
	case span.Exists:
		return leafCall("exists", term(f.Reference))
	case span.Regex:
		return leafCall("regex", term(f.Reference), term(span.OfString(f.Pattern)))
	case span.Phrase:
		return leafCall("phrase", term(f.Attribute), list("string", f.Words))
	case span.FullText:
		return leafCall("fulltext", term(f.Attribute), list("string", f.Words))
	case span.Tag:
		return leafCall(wire.TagOperator, term(span.OfString(f.Key)), term(span.OfString(f.Value)))
	}
	return &expressionv1.Call{Op: fmt.Sprintf("%T", f)} // of no meaning: refused
}

func leafCall(op string, args ...*expressionv1.Expression) *expressionv1.Call {
	return &expressionv1.Call{Op: op, Args: args}
}

func callArgs(parts ...span.Filter) []*expressionv1.Expression {
	args := make([]*expressionv1.Expression, len(parts))
	for i, part := range parts {
		args[i] = &expressionv1.Expression{Term: &expressionv1.Expression_Call{Call: filterCall(part)}}
	}
	return args
}

// membershipCall spells a list, which has one type on the wire: of several types it is as many
// lists, joined.
func membershipCall(op, join string, reference span.Reference, values []span.Constant) *expressionv1.Call {
	var typeNames []string
	texts := make(map[string][]string)
	for _, value := range values {
		typeName, text := spelled(value)
		if texts[typeName] == nil {
			typeNames = append(typeNames, typeName)
		}
		texts[typeName] = append(texts[typeName], text)
	}
	if len(typeNames) == 0 {
		return leafCall(op, term(reference), list("", nil))
	}
	joined := &expressionv1.Call{Op: join}
	for _, typeName := range typeNames {
		call := leafCall(op, term(reference), list(typeName, texts[typeName]))
		if len(typeNames) == 1 {
			return call
		}
		joined.Args = append(joined.Args, &expressionv1.Expression{Term: &expressionv1.Expression_Call{Call: call}})
	}
	return joined
}

func term(o span.Operand) *expressionv1.Expression {
	switch o := o.(type) {
	case span.Attribute:
		attr := &expressionv1.AttributeReference{Key: o.Key}
		if !o.Unqualified {
			attr.Level = o.Level.String()
		}
		return &expressionv1.Expression{Term: &expressionv1.Expression_Attr{Attr: attr}}
	case span.Field:
		return &expressionv1.Expression{Term: &expressionv1.Expression_Field{
			Field: &expressionv1.FieldReference{Level: o.Level().String(), Name: o.Name()},
		}}
	case span.Constant:
		typeName, text := spelled(o)
		return &expressionv1.Expression{Term: &expressionv1.Expression_Scalar{Scalar: &expressionv1.Scalar{Type: typeName, Value: text}}}
	}
	return &expressionv1.Expression{} // of no meaning: refused
}

func list(typeName string, values []string) *expressionv1.Expression {
	return &expressionv1.Expression{Term: &expressionv1.Expression_List{List: &expressionv1.List{Type: typeName, Values: values}}}
}

// spelled gives a constant's type on the wire and its text. Times have no type there: what
// they stand beside tells.
func spelled(c span.Constant) (typeName, text string) {
	switch c.Type {
	case span.StringConstant:
		return "string", c.Text
	case span.IntConstant:
		return "int", strconv.FormatInt(c.Int, 10)
	case span.DoubleConstant:
		return "double", strconv.FormatFloat(c.Double, 'g', -1, 64)
	case span.BoolConstant:
		return "bool", strconv.FormatBool(c.Int != 0)
	case span.DurationConstant:
		return "", time.Duration(c.Int).String()
	case span.InstantConstant:
		return "", time.Unix(c.Int, int64(c.Nanos)).UTC().Format(time.RFC3339Nano)
	}
	return "", c.Text
}
