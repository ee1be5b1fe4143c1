package api_test

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/api/pb/storagev2"
	"github.com/stoadb/stoa/engine/span"
)

func arrayOf(values ...*storagev2.AnyValue) *storagev2.AnyValue {
	return &storagev2.AnyValue{Value: &storagev2.AnyValue_ArrayValue{ArrayValue: &storagev2.ArrayValue{Values: values}}}
}

// TestAConditionOfALaterVersionIsRefused wherever a search may have one, and by name: what is not
// understood must not be left out. The store is not asked. Filters and orders have such cases of
// their own.
func TestAConditionOfALaterVersionIsRefused(t *testing.T) {
	asked := false
	server := start(t, &scripted{
		find:      func(context.Context, span.Query) ([]span.Found, error) { asked = true; return nil, nil },
		summaries: func(context.Context, span.Query) ([]span.Summary, error) { asked = true; return nil, nil },
		findSpans: func(context.Context, span.SpanQuery, func(span.FoundSpan) error) (bool, error) {
			asked = true
			return false, nil
		},
	}, api.Options{})
	reader := storagev2.NewTraceReaderClient(server.connection)
	searches := map[string]func(p *storagev2.TraceQueryParameters) error{
		"FindTraceIDs": func(p *storagev2.TraceQueryParameters) error {
			_, err := reader.FindTraceIDs(t.Context(), &storagev2.FindTraceIDsRequest{Query: p})
			return err
		},
		"FindTraceSummaries": func(p *storagev2.TraceQueryParameters) error {
			_, err := trailerOf(reader.FindTraceSummaries(t.Context(), &storagev2.FindTraceSummariesRequest{Query: p}))
			return err
		},
		"FindTraces": func(p *storagev2.TraceQueryParameters) error {
			p.Pagination = nil // which it never takes
			_, err := trailerOf(reader.FindTraces(t.Context(), &storagev2.FindTracesRequest{Query: p}))
			return err
		},
	}
	check := func(what, message string, err error) {
		t.Helper()
		refused := status.Code(err) == codes.InvalidArgument && strings.Contains(status.Convert(err).Message(), message+": it has a field of a later protocol version")
		switch {
		case message == "" && (err != nil || !asked):
			t.Errorf("%s, as it is: %v", what, err)
		case message != "" && (!refused || asked):
			t.Errorf("%s, %s: %v, want InvalidArgument that names it; asked: %v", what, message, err, asked)
		}
		asked = false
	}
	for message, change := range map[string]func(p *storagev2.TraceQueryParameters){
		"":                     func(*storagev2.TraceQueryParameters) {},
		"TraceQueryParameters": func(p *storagev2.TraceQueryParameters) { from(p) },
		"pagination":           func(p *storagev2.TraceQueryParameters) { from(p.GetPagination()) },
		"attributes[1]":        func(p *storagev2.TraceQueryParameters) { from(p.GetAttributes()[1]) },
		"attributes[0]":        func(p *storagev2.TraceQueryParameters) { from(p.GetAttributes()[0].GetValue()) },
		"attributes[2]": func(p *storagev2.TraceQueryParameters) {
			inner := &storagev2.AnyValue{}
			from(inner)
			p.Attributes = append(p.Attributes, &storagev2.KeyValue{Key: "list", Value: arrayOf(arrayOf(), arrayOf(inner))})
		},
	} {
		for name, search := range searches {
			if name == "FindTraces" && message == "pagination" {
				continue
			}
			p := &storagev2.TraceQueryParameters{Attributes: []*storagev2.KeyValue{text("a", "b"), text("c", "d")}, Pagination: paged(1, "")}
			change(p)
			check(name, message, search(p))
		}
	}
	for message, change := range map[string]func(p *storagev2.SpanQueryParameters){
		"":                    func(*storagev2.SpanQueryParameters) {},
		"SpanQueryParameters": func(p *storagev2.SpanQueryParameters) { from(p) },
		"pagination":          func(p *storagev2.SpanQueryParameters) { from(p.GetPagination()) },
	} {
		p := allSpans(1)
		change(p)
		_, err := trailerOf(reader.FindSpans(t.Context(), &storagev2.FindSpansRequest{Query: p}))
		check("FindSpans", message, err)
	}
}
