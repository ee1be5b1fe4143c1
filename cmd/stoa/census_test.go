package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
)

// census counts whole traces as they come out of the server, with protobuf's generated
// types and with nothing of the engine: an independent hand for the fields of an
// expected file that describe the data itself.
type census struct {
	got      expected
	services map[string]bool
	ops      map[[2]string]bool
	perOp    map[expectedOperation]int
	scopes   map[string]bool
	values   map[string]map[string]bool
	edges    map[[2]string]uint64
	sizes    []int

	startingBefore, endingAfter [2]int // at least, at most; see overlap
}

func newCensus() *census {
	return &census{
		got: expected{
			SpansPerService: map[string]int{}, TracesPerService: map[string]int{}, Kinds: map[string]int{},
			AttributeValueTypes: map[string]int{}, DistinctValues: map[string]int{},
			AttributeKeys: map[string]map[string]int{"resource": {}, "span": {}, "event": {}},
			SampleTraces:  map[string]expectedTrace{},
		},
		services: map[string]bool{}, ops: map[[2]string]bool{}, perOp: map[expectedOperation]int{}, scopes: map[string]bool{},
		values: map[string]map[string]bool{}, edges: map[[2]string]uint64{},
	}
}

// member is a span with what it stands in.
type member struct {
	span    *trace.Span
	service string
}

// add counts one whole trace.
func (c *census) add(parts []*trace.ResourceSpans) {
	var members []member
	inTrace := map[string]bool{}
	failed := false
	for _, rs := range parts {
		service := ""
		for _, kv := range rs.GetResource().GetAttributes() {
			if kv.Key == "service.name" {
				service = kv.GetValue().GetStringValue()
			}
		}
		for _, ss := range rs.ScopeSpans {
			c.scopes[ss.GetScope().GetName()+" "+ss.GetScope().GetVersion()] = true
			for _, s := range ss.Spans {
				members = append(members, member{s, service})
				inTrace[service] = true
				c.attributes("resource", rs.GetResource().GetAttributes())
				c.span(s, service)
				failed = failed || s.GetStatus().GetCode() == trace.Status_STATUS_CODE_ERROR
			}
		}
	}
	for service := range inTrace {
		c.services[service] = true
		c.got.TracesPerService[service]++
	}
	if failed {
		c.got.TracesWithError++
	}
	c.got.Traces++
	c.sizes = append(c.sizes, len(members))
	c.family(members)
	c.sample(members, inTrace)
}

func (c *census) span(s *trace.Span, service string) {
	g := &c.got
	kind := strings.TrimPrefix(s.Kind.String(), "SPAN_KIND_")
	g.Spans++
	g.SpansPerService[service]++
	g.Kinds[kind]++
	c.ops[[2]string{service, s.Name}] = true
	c.perOp[expectedOperation{Service: service, Kind: kind, Operation: s.Name}]++
	if s.GetStatus().GetCode() == trace.Status_STATUS_CODE_ERROR {
		g.StatusErrorSpans++
	}
	g.Events += len(s.Events)
	g.Links += len(s.Links)
	if s.EndTimeUnixNano < s.StartTimeUnixNano {
		g.NegativeDurations++
	}
	if g.FirstStart == 0 || s.StartTimeUnixNano < g.FirstStart {
		g.FirstStart = s.StartTimeUnixNano
	}
	g.LastStart = max(g.LastStart, s.StartTimeUnixNano)
	c.attributes("span", s.Attributes)
	var ofEvents []*common.KeyValue
	for _, e := range s.Events {
		ofEvents = append(ofEvents, e.Attributes...)
	}
	c.attributes("event", ofEvents)
}

// attributes counts a span's attributes of one level; a key counts once a span.
func (c *census) attributes(level string, list []*common.KeyValue) {
	seen := map[string]bool{}
	for _, kv := range list {
		if !seen[kv.Key] {
			seen[kv.Key] = true
			c.got.AttributeKeys[level][kv.Key]++
		}
		kind, text := valueText(kv.Value)
		c.got.AttributeValueTypes[kind]++
		if c.values[kv.Key] == nil {
			c.values[kv.Key] = map[string]bool{}
		}
		c.values[kv.Key][text] = true
	}
}

// valueText gives the type's name and the value as text, as jaeger.md compares it.
func valueText(v *common.AnyValue) (kind, text string) {
	switch v := v.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return "string", v.StringValue
	case *common.AnyValue_IntValue:
		return "int", strconv.FormatInt(v.IntValue, 10)
	case *common.AnyValue_BoolValue:
		return "bool", strconv.FormatBool(v.BoolValue)
	case *common.AnyValue_DoubleValue:
		return "double", strconv.FormatFloat(v.DoubleValue, 'f', -1, 64)
	case *common.AnyValue_BytesValue:
		return "bytes", base64.StdEncoding.EncodeToString(v.BytesValue)
	case *common.AnyValue_ArrayValue:
		items := make([]string, 0, len(v.ArrayValue.Values))
		for _, item := range v.ArrayValue.Values {
			_, s := valueText(item)
			b, _ := json.Marshal(s)
			items = append(items, string(b))
		}
		return "array", "[" + strings.Join(items, ",") + "]"
	}
	return fmt.Sprintf("%T", v), ""
}

// family resolves parents by the rule of the data's README and counts edges, orphans,
// depth and width.
func (c *census) family(members []member) {
	byID := map[string][]int{}
	for i, m := range members {
		byID[string(m.span.SpanId)] = append(byID[string(m.span.SpanId)], i)
	}
	for _, same := range byID {
		c.got.DuplicateSpanIDsInATrace += len(same) - 1
	}
	ofKind := func(same []int, kind trace.Span_SpanKind) (int, bool) {
		at := slices.IndexFunc(same, func(i int) bool { return members[i].span.Kind == kind })
		if at < 0 {
			return 0, false
		}
		return same[at], true
	}
	parents := make([]int, len(members))
	children := make([]int, len(members))
	for i, m := range members {
		parents[i] = -1
		if len(m.span.ParentSpanId) == 0 {
			c.got.RootSpans++
		}
		if client, ok := ofKind(byID[string(m.span.SpanId)], trace.Span_SPAN_KIND_CLIENT); ok && m.span.Kind == trace.Span_SPAN_KIND_SERVER {
			parents[i] = client
		} else if len(m.span.ParentSpanId) > 0 {
			same := byID[string(m.span.ParentSpanId)]
			if len(same) == 0 {
				c.got.SpansWithMissingParent++
				continue
			}
			parents[i] = same[0]
			if server, ok := ofKind(same, trace.Span_SPAN_KIND_SERVER); ok {
				parents[i] = server
			}
		}
		if p := parents[i]; p >= 0 {
			parent := members[p]
			children[p]++
			c.edges[[2]string{parent.service, m.service}]++
			c.overlap(members, byID[string(parent.span.SpanId)], p, m.span)
		}
	}
	for i := range members {
		depth := 1
		for p := parents[i]; p >= 0 && depth <= len(members); p = parents[p] {
			depth++
		}
		c.got.DeepestTrace = max(c.got.DeepestTrace, depth)
		c.got.WidestParent = max(c.got.WidestParent, children[i])
	}
}

// overlap counts a child that starts before its parent or ends after it. Where several
// spans of one id and kind are equally entitled to be the parent (one message, five
// receivers), an expected file takes the one that arrived first, and a set of spans has
// no such order: then the count is a range, from "of every candidate" to "of any".
func (c *census) overlap(members []member, same []int, parent int, child *trace.Span) {
	early, late := [2]bool{true, false}, [2]bool{true, false} // of every, of any
	for _, i := range same {
		candidate := members[i].span
		if candidate.Kind != members[parent].span.Kind {
			continue
		}
		before, after := child.StartTimeUnixNano < candidate.StartTimeUnixNano, child.EndTimeUnixNano > candidate.EndTimeUnixNano
		early = [2]bool{early[0] && before, early[1] || before}
		late = [2]bool{late[0] && after, late[1] || after}
	}
	for i := range 2 {
		if early[i] {
			c.startingBefore[i]++
		}
		if late[i] {
			c.endingAfter[i]++
		}
	}
}

func (c *census) sample(members []member, services map[string]bool) {
	one := expectedTrace{Spans: len(members), Services: sortedKeys(services), Start: members[0].span.StartTimeUnixNano}
	ids := make([]string, 0, len(members))
	for _, m := range members {
		one.Start = min(one.Start, m.span.StartTimeUnixNano)
		one.End = max(one.End, m.span.EndTimeUnixNano)
		ids = append(ids, hex.EncodeToString(m.span.SpanId))
	}
	sort.Strings(ids)
	sum := sha256.Sum256([]byte(strings.Join(ids, ",")))
	one.SpanIDsSHA256 = hex.EncodeToString(sum[:])
	c.got.SampleTraces[hex.EncodeToString(members[0].span.TraceId)] = one
}

// result completes the counts.
func (c *census) result() *expected {
	g := &c.got
	g.Services, g.Scopes = sortedKeys(c.services), sortedKeys(c.scopes)
	g.Operations = len(c.ops)
	for key, values := range c.values {
		g.DistinctValues[key] = len(values)
	}
	for pair, calls := range c.edges {
		edge := expectedEdge{pair[0], pair[1], calls}
		g.EdgesWithSelf = append(g.EdgesWithSelf, edge)
		if pair[0] != pair[1] {
			g.EdgesBetweenServices = append(g.EdgesBetweenServices, edge)
		}
	}
	slices.Sort(c.sizes)
	at := func(share float64) int { return c.sizes[int(share*float64(len(c.sizes)-1))] }
	g.TraceSize = map[string]int{"min": c.sizes[0], "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": c.sizes[len(c.sizes)-1]}
	return g
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

// compareCensus compares the fields that a census counts.
func compareCensus(t *testing.T, c *census, want *expected) {
	t.Helper()
	got := c.result()
	within := func(what string, bounds [2]int, want int) {
		if want < bounds[0] || want > bounds[1] {
			t.Errorf("%s: got %d to %d, want %d", what, bounds[0], bounds[1], want)
		}
	}
	within("children starting before their parent", c.startingBefore, want.ChildrenStartingBeforeParent)
	within("children ending after their parent", c.endingAfter, want.ChildrenEndingAfterParent)
	gotValue, wantValue := reflect.ValueOf(*got), reflect.ValueOf(*want)
	for i := range gotValue.NumField() {
		name := gotValue.Type().Field(i).Name
		switch name {
		case "Files", "Requests", "MaxSpansInARequest": // how it came in
		case "TopOperations", "TagQueries", "ServiceTagQueries", "DurationQueries", "StartRangeQueries": // questions
		case "ChildrenStartingBeforeParent", "ChildrenEndingAfterParent": // above
		case "SampleTraces":
			for id, trace := range want.SampleTraces {
				if !reflect.DeepEqual(got.SampleTraces[id], trace) {
					t.Errorf("trace %s: got %+v, want %+v", id, got.SampleTraces[id], trace)
				}
			}
		case "DistinctValues":
			for key, n := range want.DistinctValues { // the file lists the largest only
				equal(t, "distinct values of "+key, got.DistinctValues[key], n)
			}
		case "EdgesBetweenServices", "EdgesWithSelf":
			calls := map[[2]string]uint64{}
			for _, e := range gotValue.Field(i).Interface().([]expectedEdge) {
				calls[[2]string{e.Parent, e.Child}] = e.Calls
			}
			compareEdges(t, "census of "+name, calls, wantValue.Field(i).Interface().([]expectedEdge))
		default:
			if g, w := gotValue.Field(i).Interface(), wantValue.Field(i).Interface(); !reflect.DeepEqual(g, w) {
				t.Errorf("census of %s: got %v, want %v", name, g, w)
			}
		}
	}
}

// compareEdges compares calls by (parent, child).
func compareEdges(t *testing.T, what string, got map[[2]string]uint64, want []expectedEdge) {
	t.Helper()
	equal(t, what, len(got), len(want))
	for _, e := range want {
		equal(t, what+": "+e.Parent+" -> "+e.Child, got[[2]string{e.Parent, e.Child}], e.Calls)
	}
}
