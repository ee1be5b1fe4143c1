package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/stoadb/stoa/engine/span"
)

// tempoWeb asks over Tempo's HTTP API, as its documentation has it ("Tempo HTTP API",
// "Construct a TraceQL query"). Searches answer summaries, in no order that is promised.
//
//	GET /api/search/tag/service.name/values?start&end   {"tagValues": ["frontend", ...]}, seconds
//	GET /api/v2/search/tag/name/values?q&start&end      {"tagValues": [{"type", "value"}, ...]}
//	GET /api/traces/{id}  Accept: application/protobuf  resource spans in field 1, as in TracesData
//	GET /api/search?q&limit&start&end                   {"traces": [{"traceID", "startTimeUnixNano", "durationMs", ...}]}
type tempoWeb struct{ *web }

func (w *tempoWeb) Services(context.Context) ([]string, error) {
	return nil, fmt.Errorf("%w: names of all time", ErrNotServed)
}

func (w *tempoWeb) ServiceNames(ctx context.Context, startMin, startMax uint64) ([]string, error) {
	var answer struct {
		Values []string `json:"tagValues"`
	}
	err := w.decode(ctx, "/api/search/tag/service.name/values", windowOf(startMin, startMax), &answer)
	return answer.Values, err
}

func (w *tempoWeb) OperationNames(ctx context.Context, service string, startMin, startMax uint64) ([]string, error) {
	parameters := windowOf(startMin, startMax)
	parameters.Set("q", traceQL(span.Query{Service: service}))
	var answer struct {
		Values []struct {
			Value string `json:"value"`
		} `json:"tagValues"`
	}
	err := w.decode(ctx, "/api/v2/search/tag/name/values", parameters, &answer)
	names := make([]string, len(answer.Values))
	for i, v := range answer.Values {
		names[i] = v.Value
	}
	return names, err
}

func (w *tempoWeb) decode(ctx context.Context, path string, parameters url.Values, answer any) error {
	body, err := w.catalog(ctx, path, parameters)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	return nil
}

// windowOf is a time in whole seconds that holds the one given.
func windowOf(startMin, startMax uint64) url.Values {
	return url.Values{"start": {strconv.FormatUint(startMin/second, 10)}, "end": {strconv.FormatUint((startMax+second-1)/second, 10)}}
}

func (w *tempoWeb) Operations(context.Context, string) ([]span.Operation, error) {
	return nil, fmt.Errorf("%w: names with kinds", ErrNotServed)
}

func (w *tempoWeb) Dependencies(context.Context, uint64, uint64) ([]span.Edge, error) {
	return nil, fmt.Errorf("%w: a service graph", ErrNotServed)
}

func (w *tempoWeb) FindTraces(context.Context, span.Query, func(chunk []byte) error) error {
	return fmt.Errorf("%w: a search for whole traces", ErrNotServed)
}

func (w *tempoWeb) GetTraces(ctx context.Context, ids []span.TraceID, yield func(chunk []byte) error) error {
	for _, id := range ids {
		if err := yieldFound(ctx, w, id, yield); err != nil {
			return err
		}
	}
	return nil
}

func (w *tempoWeb) trace(ctx context.Context, id span.TraceID) ([]byte, error) {
	return w.getAs(ctx, "/api/traces/"+id.String(), nil, "application/protobuf")
}

// Summaries gives of each trace its id, start, end to the millisecond, and root.
func (w *tempoWeb) Summaries(ctx context.Context, q span.Query) ([]span.Summary, error) {
	parameters := windowOf(q.StartMin, q.StartMax)
	parameters.Set("q", traceQL(q))
	parameters.Set("limit", strconv.Itoa(q.LimitOrDefault()))
	var answer struct {
		Traces []struct {
			ID          string    `json:"traceID"`
			RootService string    `json:"rootServiceName"`
			RootName    string    `json:"rootTraceName"`
			Start       nanosJSON `json:"startTimeUnixNano"`
			DurationMS  uint64    `json:"durationMs"` // left out where it is 0
		} `json:"traces"`
	}
	if err := w.decode(ctx, "/api/search", parameters, &answer); err != nil {
		return nil, err
	}
	summaries := make([]span.Summary, len(answer.Traces))
	for i, t := range answer.Traces {
		id, err := span.ParseTraceID(t.ID)
		if err != nil {
			return nil, err
		}
		summaries[i] = span.Summary{
			TraceID: id, RootService: t.RootService, RootName: t.RootName,
			Start: uint64(t.Start), End: uint64(t.Start) + t.DurationMS*uint64(time.Millisecond),
		}
	}
	return summaries, nil
}

// plainKey are keys of attributes that TraceQL takes without quotes.
var plainKey = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]*$`)

// traceQL spells a search. All of it holds on one span; the time is no part of it. Attributes
// are those of span and resource. One whose value reads as a number may be stored as a text
// or as a number, which TraceQL tells apart: both are asked for.
func traceQL(q span.Query) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if q.Service != "" {
		add("resource.service.name = %s", strconv.Quote(q.Service))
	}
	if q.Name != "" {
		add("name = %s", strconv.Quote(q.Name))
	}
	if q.DurationMin > 0 {
		add("duration >= %dus", q.DurationMin/microsecond)
	}
	if q.DurationMax > 0 {
		add("duration <= %dus", q.DurationMax/microsecond)
	}
	for _, tag := range q.Tags {
		key := "." + tag.Key
		if !plainKey.MatchString(tag.Key) {
			key = "." + strconv.Quote(tag.Key)
		}
		_, err := strconv.ParseInt(tag.Value, 10, 64)
		switch {
		case tag.Key == "error" && tag.Value == "true":
			add("status = error")
		case err == nil:
			add("(%[1]s = %[2]q || %[1]s = %[2]s)", key, tag.Value)
		default:
			add("%s = %s", key, strconv.Quote(tag.Value))
		}
	}
	return "{ " + strings.Join(parts, " && ") + " }"
}
