package enginetest

import (
	"math"
	"slices"
	"strings"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// matches decides by first writing down every (key, value) that a tag may name on this
// span, then looking the query's tags up in that list.
func (m *Model) matches(q span.Query, row span.Row) bool {
	duration := row.End() - row.Start()
	if row.End() < row.Start() || duration > math.MaxInt64 {
		duration = 0
	}
	switch {
	case row.Start() < q.StartMin || row.Start() > q.StartMax,
		q.Service != "" && q.Service != string(row.Service()),
		q.Name != "" && q.Name != string(row.Name()),
		duration < q.DurationMin,
		q.DurationMax > 0 && duration > q.DurationMax,
		q.Filter != nil && !Holds(q.Filter, row):
		return false
	}
	if len(q.Tags) == 0 {
		return true
	}
	pairs := m.pairs[row]
	if pairs == nil {
		pairs = pairsOf(unboundTeller(row))
		m.pairs[row] = pairs
	}
	for _, tag := range q.Tags {
		if !hasTag(pairs, tag) {
			return false
		}
	}
	return true
}

func hasTag(pairs map[span.Tag]bool, tag span.Tag) bool {
	if (tag.Key == "span.kind" || tag.Key == "span.status" || tag.Key == "otel.status_code") &&
		pairs[span.Tag{Key: "\x00" + tag.Key, Value: strings.ToLower(tag.Value)}] {
		return true
	}
	return pairs[tag]
}

// pairsOf gives the pairs of a span; keys compared without case stand behind a zero byte.
func pairsOf(t teller) map[span.Tag]bool {
	row, b := t.row, t.row.Batch
	pairs := make(map[span.Tag]bool)
	add := func(prefix string, attrs []span.Attr) {
		last := make(map[string]string)
		for _, a := range attrs {
			last[b.String(a.Key)] = string(otlp.AppendText(nil, b, a))
		}
		for key, value := range last {
			pairs[span.Tag{Key: prefix + key, Value: value}] = true
		}
	}
	say := func(key, value string) {
		if value != "" {
			pairs[span.Tag{Key: key, Value: value}] = true
		}
	}
	add("", row.AppendAttrs(nil))
	add("", b.ResourceAttrsOf(b.ResourceIDs[row.Pos]))
	add("resource.", b.ResourceAttrsOf(b.ResourceIDs[row.Pos]))
	add("", b.ScopeAttrsOf(b.ScopeIDs[row.Pos]))
	for i, end := t.elements(span.EventLevel); i < end; i++ {
		add("", b.EventAttrsOf(i))
		say("event", b.String(b.Events[i].Name))
	}
	for i, end := t.elements(span.LinkLevel); i < end; i++ {
		add("", b.LinkAttrsOf(i))
	}
	if row.StatusCode() == span.StatusError {
		say("error", "true")
	} else {
		say("error", "false")
	}
	kinds := []string{"unspecified", "internal", "server", "client", "producer", "consumer"}
	if kind := int(row.Kind()); kind >= 0 && kind < len(kinds) {
		say("\x00span.kind", kinds[kind])
	}
	statuses := []string{"unset", "ok", "error"}
	if status := int(row.StatusCode()); status >= 0 && status < len(statuses) {
		say("\x00span.status", statuses[status])
		say("\x00otel.status_code", statuses[status])
	}
	say("otel.status_description", b.String(b.StatusMessages[row.Pos]))
	say("w3c.tracestate", b.String(b.TraceStates[row.Pos]))
	for _, prefix := range []string{"", "otel."} {
		say(prefix+"scope.name", b.String(row.Scope().Name))
		say(prefix+"scope.version", b.String(row.Scope().Version))
	}
	return pairs
}

// Query makes a random question, most often one that some span of the model answers.
func (g *Generator) Query(m *Model) span.Query {
	q := span.Query{StartMax: math.MaxUint64, Limit: 1 + g.rand.IntN(12)}
	ids := m.TraceIDs()
	if len(ids) == 0 {
		return q
	}
	row := pick(g, m.Trace(pick(g, ids)))
	if g.rand.IntN(3) == 0 {
		q.StartMin = g.near(row.Start())
	}
	if g.rand.IntN(3) == 0 {
		q.StartMax = g.near(row.Start())
	}
	if g.rand.IntN(3) == 0 {
		q.Service = string(row.Service())
	}
	if g.rand.IntN(3) == 0 {
		q.Name = string(row.Name())
	}
	if g.rand.IntN(5) == 0 {
		q.DurationMin = g.near(row.Duration())
	}
	if g.rand.IntN(5) == 0 {
		q.DurationMax = g.near(row.Duration())
	}
	for range g.rand.IntN(4) {
		q.Tags = append(q.Tags, g.tag(unboundTeller(row)))
	}
	if g.rand.IntN(3) == 0 {
		q.Filter = g.Filter(m)
	}
	if g.rand.IntN(4) == 0 {
		after := span.Found{TraceID: pick(g, ids), Start: g.near(row.Start())}
		if found := m.Find(q); len(found) > 0 && g.rand.IntN(2) == 0 {
			after = pick(g, found)
		}
		q.After = &after
	}
	return q
}

// tag makes a tag that most often holds on a span.
func (g *Generator) tag(t teller) span.Tag {
	pairs := pairsOf(t)
	tags := make([]span.Tag, 0, len(pairs))
	for tag := range pairs {
		tags = append(tags, tag)
	}
	slices.SortFunc(tags, func(a, b span.Tag) int {
		if c := strings.Compare(a.Key, b.Key); c != 0 {
			return c
		}
		return strings.Compare(a.Value, b.Value)
	})
	tag := pick(g, tags)
	if folded, ok := strings.CutPrefix(tag.Key, "\x00"); ok {
		tag.Key = folded
		if g.rand.IntN(2) == 0 {
			tag.Value = strings.ToUpper(tag.Value)
		}
	}
	if g.rand.IntN(8) == 0 {
		tag.Value = pick(g, texts)
	}
	return tag
}

// Order makes a random order of spans, written out.
func (g *Generator) Order() []span.SpanOrder {
	var order []span.SpanOrder
	for _, field := range g.rand.Perm(span.OrderFields)[:g.rand.IntN(span.OrderFields+1)] {
		order = append(order, span.SpanOrder{Field: span.SpanField(field), Descending: g.rand.IntN(2) == 0})
	}
	return span.FullOrder(order)
}

// near gives v, or a neighbour.
func (g *Generator) near(v uint64) uint64 { return v + uint64(g.rand.IntN(3)) - 1 }
