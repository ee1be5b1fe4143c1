package bench

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/stoadb/stoa/engine/span"
)

// jaegerWeb3 asks over Jaeger's API v3 as its HTTP gateway speaks it.
//
//	GET /api/v3/services               {"services": ["frontend", ...]}
//	GET /api/v3/operations?service=    {"operations": [{"name", "spanKind"}, ...]}
//	GET /api/v3/dependencies           2.13.0 has none
//	GET /api/v3/traces/{id}?raw_traces {"result": {"resourceSpans": [...]}}, OTLP as JSON; else 404
//	GET /api/v3/traces?query.service_name&... the same; times as RFC 3339, durations as Go writes them
type jaegerWeb3 struct {
	*web
	ignoresTags bool // takes no heed of query.attributes, as 2.13.0
}

// absentKey is an attribute that no span has.
const absentKey = "stoa.bench.absent"

// begin finds out whether the server looks at attributes: one that answers a search for an
// attribute that no span has with a trace does not. An answer without traces is heed.
func (w *jaegerWeb3) begin(ctx context.Context) error {
	services, err := w.Services(ctx)
	if err != nil || len(services) == 0 {
		return err
	}
	q := span.AllTime()
	q.StartMax, q.Service, q.Limit, q.Tags = farFuture, services[0], 1, []span.Tag{{Key: absentKey, Value: absentKey}}
	return w.traces(ctx, "/api/v3/traces", parameters3(q), func(body []byte) error {
		found, err := AppendOTLPJSON(nil, body)
		w.ignoresTags = len(found) > 0
		return err
	})
}

// farFuture is the year 2200, before which int64 holds nanoseconds.
const farFuture = 7_258_118_400 * second

func (w *jaegerWeb3) Services(ctx context.Context) ([]string, error) {
	body, err := w.catalog(ctx, "/api/v3/services", nil)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Services []string `json:"services"`
	}
	err = json.Unmarshal(body, &answer)
	return answer.Services, err
}

func (w *jaegerWeb3) Operations(ctx context.Context, service string) ([]span.Operation, error) {
	body, err := w.catalog(ctx, "/api/v3/operations", url.Values{"service": {service}})
	if err != nil {
		return nil, err
	}
	var answer struct {
		Operations []jaegerOperation `json:"operations"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, err
	}
	return operationsOf(service, answer.Operations)
}

func (w *jaegerWeb3) Dependencies(context.Context, uint64, uint64) ([]span.Edge, error) {
	return nil, fmt.Errorf("%w: the gateway of API v3 has no service graph", ErrNotServed)
}

func (w *jaegerWeb3) GetTraces(ctx context.Context, ids []span.TraceID, yield func(chunk []byte) error) error {
	for _, id := range ids {
		if err := yieldFound(ctx, w, id, yield); err != nil {
			return err
		}
	}
	return nil
}

func (w *jaegerWeb3) trace(ctx context.Context, id span.TraceID) ([]byte, error) {
	return w.get(ctx, "/api/v3/traces/"+id.String(), url.Values{"raw_traces": {"true"}})
}

// traces yields the answer where anything was found.
func (w *jaegerWeb3) traces(ctx context.Context, path string, parameters url.Values, yield func(chunk []byte) error) error {
	body, err := w.get(ctx, path, parameters)
	if errors.Is(err, errNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return yield(body)
}

func (w *jaegerWeb3) FindTraces(ctx context.Context, q span.Query, yield func(chunk []byte) error) error {
	if len(q.Tags) > 0 && w.ignoresTags {
		return fmt.Errorf("%w: it takes no heed of query.attributes", ErrNotServed)
	}
	return w.traces(ctx, "/api/v3/traces", parameters3(q), yield)
}

func parameters3(q span.Query) url.Values {
	limit := strconv.Itoa(q.LimitOrDefault())
	parameters := url.Values{
		"query.service_name": {q.Service}, "query.raw_traces": {"true"},
		"query.num_traces": {limit}, "query.search_depth": {limit}, // the old name and the new one
		"query.start_time_min": {timeText(q.StartMin)}, "query.start_time_max": {timeText(q.StartMax)},
	}
	if q.Name != "" {
		parameters.Set("query.operation_name", q.Name)
	}
	if len(q.Tags) > 0 {
		parameters.Set("query.attributes", tagsJSON(q.Tags))
	}
	setDurations(parameters, q, "query.duration_min", "query.duration_max")
	return parameters
}

func timeText(nanos uint64) string {
	return time.Unix(int64(nanos/second), int64(nanos%second)).UTC().Format(time.RFC3339Nano)
}

func (w *jaegerWeb3) Summaries(context.Context, span.Query) ([]span.Summary, error) {
	return nil, fmt.Errorf("%w: summaries", ErrNotServed)
}

// nanosJSON is a 64-bit number, which OTLP writes as a text in JSON; numbers are read too.
type nanosJSON uint64

func (n *nanosJSON) UnmarshalJSON(b []byte) error {
	v, err := strconv.ParseUint(string(bytes.Trim(b, `"`)), 10, 64)
	*n = nanosJSON(v)
	return err
}

// otlpJSON is TracesData in OTLP's JSON, whose ids are hexadecimal, wrapped as a gateway
// wraps each message of a stream.
type otlpJSON struct {
	Result *struct {
		ResourceSpans []struct {
			ScopeSpans []struct {
				Spans []struct {
					TraceID  string    `json:"traceId"`
					SpanID   string    `json:"spanId"`
					ParentID string    `json:"parentSpanId"`
					Name     string    `json:"name"`
					Start    nanosJSON `json:"startTimeUnixNano"`
					End      nanosJSON `json:"endTimeUnixNano"`
				} `json:"spans"`
			} `json:"scopeSpans"`
		} `json:"resourceSpans"`
	} `json:"result"`
	Error json.RawMessage `json:"error"`
}

// AppendOTLPJSON adds the traces of an answer of Jaeger's API v3; spans of one trace that
// follow one another are one, as AppendTraces has it.
func AppendOTLPJSON(traces []Trace, body []byte) ([]Trace, error) {
	for messages := json.NewDecoder(bytes.NewReader(body)); ; {
		var answer otlpJSON
		if err := messages.Decode(&answer); errors.Is(err, io.EOF) {
			return traces, nil
		} else if err != nil {
			return traces, err
		}
		if answer.Result == nil {
			return traces, fmt.Errorf("the server answers an error: %.200s", answer.Error)
		}
		for _, resource := range answer.Result.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				for i := range scope.Spans {
					s := &scope.Spans[i]
					id, err1 := span.ParseTraceID(s.TraceID)
					spanID, err2 := spanIDOf(s.SpanID)
					parentID, err3 := spanIDOf(s.ParentID)
					if err := cmp.Or(err1, err2, err3); err != nil {
						return traces, err
					}
					if len(traces) == 0 || traces[len(traces)-1].ID != id {
						traces = append(traces, Trace{ID: id})
					}
					last := &traces[len(traces)-1]
					last.Spans++
					last.Sum += spanHash(id[:], spanID[:], parentID[:], uint64(s.Start), uint64(s.End), []byte(s.Name))
				}
			}
		}
	}
}
