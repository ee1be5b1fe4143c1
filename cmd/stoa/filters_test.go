package main

import (
	"time"

	"github.com/stoadb/stoa/api/pb/expressionv1"
	"github.com/stoadb/stoa/engine/span"
)

// filters asks for tags, durations and services once more, by the structured filter: the
// matching spans by level through the engine, the traces through FindTraceIDs.
func (a *answers) filters() {
	a.t.Helper()
	step := 1
	if a.want.Spans > 10_000 {
		step = 8 // each question looks at every span: few are enough there
	}
	for i := 0; i < len(a.want.TagQueries); i += step {
		q := a.want.TagQueries[i]
		what := "filter " + q.Key + "=" + q.Value + ": "
		equal(a.t, what+"spans by resource", a.filtered(isOneOf(span.ResourceLevel, q.Key, q.Value)), q.SpansResource)
		equal(a.t, what+"spans by span", a.filtered(isOneOf(span.SpanLevel, q.Key, q.Value)), q.SpansSpan)
		equal(a.t, what+"spans by event", a.filtered(isOneOf(span.EventLevel, q.Key, q.Value)), q.SpansEvent)
	}
	for i := 0; i < len(a.want.ServiceTagQueries); i += step {
		q := a.want.ServiceTagQueries[i]
		service := span.Comparison{Op: span.Equal, Left: span.ResourceService, Right: span.OfString(q.Service)}
		both := span.And{Parts: []span.Filter{service, isOneOf(span.SpanLevel, q.Key, q.Value)}}
		equal(a.t, "filter "+both.String(), a.filtered(both), q.Spans)
	}
	for i := 0; i < len(a.want.DurationQueries); i += min(step, 4) {
		q := a.want.DurationQueries[i]
		nanos := int64(q.MinDuration)
		filter := span.Filter(span.Comparison{Op: span.GreaterOrEqual, Left: span.SpanDuration, Right: span.OfDuration(nanos)})
		wire := comparedField("gte", "span", "duration", time.Duration(nanos).String())
		if q.Service != "" { // else any
			filter = span.And{Parts: []span.Filter{
				span.Comparison{Op: span.Equal, Left: span.ResourceService, Right: span.OfString(q.Service)}, filter,
			}}
			wire = &expressionv1.Expression{Term: &expressionv1.Expression_Call{Call: &expressionv1.Call{Op: "and", Args: []*expressionv1.Expression{
				comparedField("eq", "resource", "service", q.Service), wire,
			}}}}
		}
		equal(a.t, "filter "+filter.String(), a.filtered(filter), q.Spans)
		search := params()
		search.Filter = wire.GetCall()
		equal(a.t, "traces by filter "+filter.String(), len(a.find(search)), q.Traces)
	}
	failed := span.Comparison{Op: span.Equal, Left: span.SpanStatus, Right: span.OfString("error")}
	equal(a.t, "filter "+failed.String(), a.filtered(failed), a.want.StatusErrorSpans)
}

// filtered is the number of spans on which a filter holds.
func (a *answers) filtered(f span.Filter) int {
	a.t.Helper()
	q := span.AllTime()
	q.Filter = f
	return a.spans(q, nil)
}

// isOneOf asks a level for a value as the expected file has it; see texts.
func isOneOf(level span.Level, key, value string) span.Filter {
	in := span.In{Reference: span.Attribute{Level: level, Key: key}}
	for _, text := range texts(value) {
		in.Values = append(in.Values, span.Untyped(text))
	}
	return in
}

func comparedField(op, level, name, value string) *expressionv1.Expression {
	return &expressionv1.Expression{Term: &expressionv1.Expression_Call{Call: &expressionv1.Call{Op: op, Args: []*expressionv1.Expression{
		{Term: &expressionv1.Expression_Field{Field: &expressionv1.FieldReference{Level: level, Name: name}}},
		{Term: &expressionv1.Expression_Scalar{Scalar: &expressionv1.Scalar{Value: value}}},
	}}}}
}
