package api

import (
	"strings"

	"github.com/stoadb/stoa/api/pb/expressionv1"
	"github.com/stoadb/stoa/engine/span"
)

// operandOf reads what a comparison compares.
func operandOf(path string, e *expressionv1.Expression) (span.Operand, error) {
	if e.GetScalar() != nil {
		return constantOf(path, e)
	}
	return referenceOf(path, e)
}

// referenceOf reads an attribute or a field.
func referenceOf(path string, e *expressionv1.Expression) (span.Reference, error) {
	if err := known(path, e); err != nil {
		return nil, err
	}
	switch term := e.GetTerm().(type) {
	case *expressionv1.Expression_Attr:
		return attributeOf(path, term.Attr)
	case *expressionv1.Expression_Field:
		return fieldOf(path, term.Field)
	case *expressionv1.Expression_Nested:
		return nil, refuse(path, "a collection stands nowhere but first in some")
	}
	return nil, refuse(path, "want an attribute or a field, got %s", termName(e))
}

func attributeOf(path string, a *expressionv1.AttributeReference) (span.Reference, error) {
	if err := known(path, a); err != nil {
		return nil, err
	}
	if a.GetKey() == "" {
		return nil, refuse(path, "an attribute without a key")
	}
	if a.GetLevel() == "" {
		return span.Attribute{Unqualified: true, Key: a.GetKey()}, nil
	}
	level, ok := span.LevelOf(a.GetLevel())
	if !ok {
		return nil, unknownLevel(path, a.GetLevel())
	}
	return span.Attribute{Level: level, Key: a.GetKey()}, nil
}

func fieldOf(path string, f *expressionv1.FieldReference) (span.Reference, error) {
	if err := known(path, f); err != nil {
		return nil, err
	}
	if f.GetLevel() == "" {
		return nil, refuse(path, "a field without a level")
	}
	level, ok := span.LevelOf(f.GetLevel())
	if !ok {
		return nil, unknownLevel(path, f.GetLevel())
	}
	field, ok := span.FieldOf(level, f.GetName())
	if !ok {
		return nil, refuse(path, "%v has no field %.100q; an attribute of that name is asked for as one", level, f.GetName())
	}
	return field, nil
}

func unknownLevel(path, level string) error {
	return refuse(path, "level %.100q is none of %s", level, strings.Join(filterLevels(), ", "))
}

// constantOf reads a scalar by its type alone.
func constantOf(path string, e *expressionv1.Expression) (span.Constant, error) {
	scalar := e.GetScalar()
	if err := known(path, e); err != nil {
		return span.Constant{}, err
	}
	if err := known(path, scalar); err != nil {
		return span.Constant{}, err
	}
	return typed(path, scalar.GetType(), scalar.GetValue())
}

// typed reads text as a type of the wire; none leaves it open.
func typed(path, typeName, text string) (span.Constant, error) {
	c, err := span.ReadConstant(typeName, text)
	return c, because(path, err)
}

// asField reads text as a value of a field.
func asField(path string, f span.Field, text string) (span.Constant, error) {
	c, err := f.ConstantOf(text)
	return c, because(path, err)
}

// because is an error with the path to the node before its reason; nil for nil.
func because(path string, err error) error {
	if err == nil {
		return nil
	}
	return refuse(path, "%s", reason(err))
}
