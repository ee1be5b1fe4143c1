package bench

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/stoadb/stoa/api/wire"
	"github.com/stoadb/stoa/engine/span"
)

// jaegerWeb asks over Jaeger's first HTTP API, which its own page and Grafana use. Spans are
// asked for raw: else Jaeger moves clocks and makes ids anew.
//
//	GET /api/services                        {"data": ["frontend", ...]}
//	GET /api/operations?service=             {"data": [{"name", "spanKind"}, ...]}
//	GET /api/services/{service}/operations   {"data": ["GET /", ...]}
//	GET /api/dependencies?endTs&lookback     {"data": [{"parent", "child", "callCount"}, ...]}, milliseconds
//	GET /api/traces/{id}?raw                 {"data": [{"traceID", "spans": [...]}]}
//	GET /api/traces?service&operation&tags&minDuration&maxDuration&start&end&limit&raw, microseconds
type jaegerWeb struct{ *web }

// jaegerAnswer is what every answer of the API is wrapped in.
type jaegerAnswer[T any] struct {
	Data   []T `json:"data"`
	Errors []struct {
		Code    int    `json:"code"`
		Message string `json:"msg"`
	} `json:"errors"`
}

// read decodes an answer. What was not found is no error, whether the status says so or,
// as VictoriaTraces has it, the list of errors.
func (a *jaegerAnswer[T]) read(body []byte) error {
	if err := json.Unmarshal(body, a); err != nil {
		return err
	}
	for _, e := range a.Errors {
		if e.Code != http.StatusNotFound {
			return fmt.Errorf("the server answers an error: %d %s", e.Code, e.Message)
		}
	}
	return nil
}

func (w *jaegerWeb) Services(ctx context.Context) ([]string, error) {
	return jaegerList[string](ctx, w.web, "/api/services", nil)
}

func jaegerList[T any](ctx context.Context, w *web, path string, parameters url.Values) ([]T, error) {
	body, err := w.catalog(ctx, path, parameters)
	if err != nil {
		return nil, err
	}
	var answer jaegerAnswer[T]
	if err := answer.read(body); err != nil {
		return nil, fmt.Errorf("GET %s: %w", path, err)
	}
	return answer.Data, nil
}

// jaegerOperation is a span name with its kind in lower case, "" for none.
type jaegerOperation struct {
	Name string `json:"name"`
	Kind string `json:"spanKind"`
}

func (w *jaegerWeb) Operations(ctx context.Context, service string) ([]span.Operation, error) {
	list, err := jaegerList[jaegerOperation](ctx, w.web, "/api/operations", url.Values{"service": {service}})
	if err != nil {
		return nil, err
	}
	return operationsOf(service, list)
}

func operationsOf(service string, list []jaegerOperation) ([]span.Operation, error) {
	operations := make([]span.Operation, len(list))
	for i, o := range list {
		kind, ok := wire.KindNumber(o.Kind)
		if !ok {
			return nil, fmt.Errorf("server answered a span kind %q", o.Kind)
		}
		operations[i] = span.Operation{Service: service, Name: o.Name, Kind: kind}
	}
	return operations, nil
}

// ServiceNames gives those of all time: the API does not ask for one.
func (w *jaegerWeb) ServiceNames(ctx context.Context, _, _ uint64) ([]string, error) {
	return w.Services(ctx)
}

// OperationNames gives those of all time.
func (w *jaegerWeb) OperationNames(ctx context.Context, service string, _, _ uint64) ([]string, error) {
	return jaegerList[string](ctx, w.web, "/api/services/"+url.PathEscape(service)+"/operations", nil)
}

func (w *jaegerWeb) Dependencies(ctx context.Context, startMin, startMax uint64) ([]span.Edge, error) {
	const millisecond = uint64(time.Millisecond)
	end := (startMax + millisecond - 1) / millisecond
	list, err := jaegerList[struct {
		Parent string `json:"parent"`
		Child  string `json:"child"`
		Calls  uint64 `json:"callCount"`
	}](ctx, w.web, "/api/dependencies", url.Values{
		"endTs": {strconv.FormatUint(end, 10)}, "lookback": {strconv.FormatUint(end-startMin/millisecond, 10)},
	})
	edges := make([]span.Edge, len(list))
	for i, e := range list {
		edges[i] = span.Edge{Parent: e.Parent, Child: e.Child, Calls: e.Calls}
	}
	return edges, err
}

func (w *jaegerWeb) GetTraces(ctx context.Context, ids []span.TraceID, yield func(chunk []byte) error) error {
	for _, id := range ids {
		if err := yieldFound(ctx, w, id, yield); err != nil {
			return err
		}
	}
	return nil
}

func (w *jaegerWeb) trace(ctx context.Context, id span.TraceID) ([]byte, error) {
	return w.get(ctx, "/api/traces/"+id.String(), url.Values{"raw": {"true"}})
}

func (w *jaegerWeb) FindTraces(ctx context.Context, q span.Query, yield func(chunk []byte) error) error {
	parameters := url.Values{
		"service": {q.Service}, "limit": {strconv.Itoa(q.LimitOrDefault())}, "raw": {"true"},
		"start": {strconv.FormatUint(q.StartMin/microsecond, 10)}, "end": {strconv.FormatUint(q.StartMax/microsecond, 10)},
	}
	if q.Name != "" {
		parameters.Set("operation", q.Name)
	}
	if len(q.Tags) > 0 {
		parameters.Set("tags", tagsJSON(q.Tags))
	}
	setDurations(parameters, q, "minDuration", "maxDuration")
	body, err := w.catalog(ctx, "/api/traces", parameters)
	if err != nil {
		return err
	}
	return yield(body)
}

// tagsJSON is a JSON object of texts.
func tagsJSON(tags []span.Tag) string {
	texts := make(map[string]string, len(tags))
	for _, tag := range tags {
		texts[tag.Key] = tag.Value
	}
	b, _ := json.Marshal(texts) // a map of texts is always JSON
	return string(b)
}

// setDurations writes the bounds of a search as Go does: 1.5ms.
func setDurations(parameters url.Values, q span.Query, least, most string) {
	if q.DurationMin > 0 {
		parameters.Set(least, time.Duration(q.DurationMin).String())
	}
	if q.DurationMax > 0 {
		parameters.Set(most, time.Duration(q.DurationMax).String())
	}
}

func (w *jaegerWeb) Summaries(context.Context, span.Query) ([]span.Summary, error) {
	return nil, fmt.Errorf("%w: summaries", ErrNotServed)
}

// jaegerTrace is a trace as the API tells it.
type jaegerTrace struct {
	ID    string       `json:"traceID"`
	Spans []jaegerSpan `json:"spans"`
}

// jaegerSpan has its times in microseconds.
type jaegerSpan struct {
	TraceID    string `json:"traceID"`
	ID         string `json:"spanID"`
	Name       string `json:"operationName"`
	Start      uint64 `json:"startTime"`
	Duration   uint64 `json:"duration"`
	References []struct {
		Type    string `json:"refType"`
		TraceID string `json:"traceID"`
		SpanID  string `json:"spanID"`
	} `json:"references"`
}

// parent is the first span of the same trace that is referred to as CHILD_OF, or where there
// is none, as anything else: a parent that a link names too is told once, as FOLLOWS_FROM.
func (s *jaegerSpan) parent() string {
	other := ""
	for _, reference := range s.References {
		switch {
		case reference.TraceID != s.TraceID:
		case reference.Type == "CHILD_OF":
			return reference.SpanID
		case other == "":
			other = reference.SpanID
		}
	}
	return other
}

// AppendJaegerJSON adds the traces of an answer of Jaeger's first HTTP API.
func AppendJaegerJSON(traces []Trace, body []byte) ([]Trace, error) {
	var answer jaegerAnswer[jaegerTrace]
	if err := answer.read(body); err != nil {
		return traces, err
	}
	for _, told := range answer.Data {
		id, err := span.ParseTraceID(told.ID)
		if err != nil {
			return traces, err
		}
		trace := Trace{ID: id, Spans: len(told.Spans)}
		for i := range told.Spans {
			s := &told.Spans[i]
			own, err1 := span.ParseTraceID(s.TraceID)
			spanID, err2 := spanIDOf(s.ID)
			parentID, err3 := spanIDOf(s.parent())
			if err := cmp.Or(err1, err2, err3); err != nil {
				return traces, err
			}
			trace.Sum += spanHash(own[:], spanID[:], parentID[:], s.Start, s.Duration, []byte(s.Name))
		}
		traces = append(traces, trace)
	}
	return traces, nil
}

// spanIDOf reads up to 16 hex digits, left-padding short ones with zeros.
func spanIDOf(text string) (id [8]byte, err error) {
	if len(text) > 2*len(id) {
		return id, fmt.Errorf("a span id of %d digits", len(text))
	}
	padded := []byte("0000000000000000")
	copy(padded[len(padded)-len(text):], text)
	if _, err := hex.Decode(id[:], padded); err != nil {
		return id, fmt.Errorf("span id %q: %w", text, err)
	}
	return id, nil
}
