package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/api/client"
	"github.com/stoadb/stoa/api/pb/storagev2"
	"github.com/stoadb/stoa/engine/span"
)

// explainer is a store whose searches read 7 pages, where somebody wants to know.
func explainer() *scripted {
	note := func(q span.Query) {
		if q.Explain != nil {
			q.Explain.PagesRead.Add(7)
		}
	}
	return &scripted{
		find: func(_ context.Context, q span.Query) ([]span.Found, error) {
			note(q)
			return nil, nil
		},
		summaries: func(_ context.Context, q span.Query) ([]span.Summary, error) {
			note(q)
			return []span.Summary{{TraceID: span.TraceID{1}, Spans: 3}}, nil
		},
		findSpans: func(_ context.Context, q span.SpanQuery, _ func(f span.FoundSpan) error) (bool, error) {
			note(q.Query)
			return false, nil
		},
	}
}

// TestASearchIsExplainedWhereItsHeaderAsks, in the trailer of every kind of search, whole or a
// page of it, and nowhere else.
func TestASearchIsExplainedWhereItsHeaderAsks(t *testing.T) {
	server := start(t, explainer(), api.Options{})
	reader := storagev2.NewTraceReaderClient(server.connection)
	whole, page := &storagev2.TraceQueryParameters{}, &storagev2.TraceQueryParameters{Pagination: paged(5, "")}
	ids := func(p *storagev2.TraceQueryParameters) func(ctx context.Context) (metadata.MD, error) {
		return func(ctx context.Context) (trailer metadata.MD, err error) {
			_, err = reader.FindTraceIDs(ctx, &storagev2.FindTraceIDsRequest{Query: p}, grpc.Trailer(&trailer))
			return trailer, err
		}
	}
	summaries := func(p *storagev2.TraceQueryParameters) func(ctx context.Context) (metadata.MD, error) {
		return func(ctx context.Context) (metadata.MD, error) {
			return trailerOf(reader.FindTraceSummaries(ctx, &storagev2.FindTraceSummariesRequest{Query: p}))
		}
	}
	calls := map[string]func(ctx context.Context) (metadata.MD, error){
		"FindTraceIDs": ids(whole), "a page of FindTraceIDs": ids(page),
		"FindTraceSummaries": summaries(whole), "a page of FindTraceSummaries": summaries(page),
		"FindTraces": func(ctx context.Context) (metadata.MD, error) {
			return trailerOf(reader.FindTraces(ctx, &storagev2.FindTracesRequest{}))
		},
		"FindSpans": func(ctx context.Context) (metadata.MD, error) {
			return trailerOf(reader.FindSpans(ctx, &storagev2.FindSpansRequest{Query: allSpans(1)}))
		},
	}
	for value, want := range map[string]bool{"": false, "0": false, "1": true} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "x-stoa-explain", value)
		if value == "" {
			ctx = t.Context()
		}
		for name, call := range calls {
			trailer, err := call(ctx)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			told := trailer.Get("x-stoa-explain")
			if (len(told) == 1) != want || want && !strings.Contains(told[0], `"pagesRead":7,`) {
				t.Errorf("%s asked with %q tells %q", name, value, told)
			}
		}
	}
}

// trailerOf reads a stream to its end.
func trailerOf[M any](stream grpc.ServerStreamingClient[M], err error) (metadata.MD, error) {
	for err == nil {
		_, err = stream.Recv()
	}
	if !errors.Is(err, io.EOF) {
		return nil, err
	}
	return stream.Trailer(), nil
}

// TestTheClientGivesAnswerAndExplanation.
func TestTheClientGivesAnswerAndExplanation(t *testing.T) {
	server := start(t, explainer(), api.Options{})
	c, err := client.Dial(t.Context(), server.storage)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	found, explained, err := c.ExplainedSummaries(t.Context(), span.AllTime())
	if err != nil || len(found) != 1 || found[0].Spans != 3 || explained.PagesRead != 7 || explained.Milliseconds < 0 {
		t.Errorf("%+v, %+v, %v", found, explained, err)
	}
	if found, err := c.Summaries(t.Context(), span.AllTime()); err != nil || len(found) != 1 {
		t.Errorf("without an explanation: %+v, %v", found, err)
	}
}

// TestAttributesAreAskedForBelowTheirPath, with keys as they are, and only read.
func TestAttributesAreAskedForBelowTheirPath(t *testing.T) {
	answers := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.EscapedPath()) })
	server := start(t, &scripted{}, api.Options{Attributes: answers})
	for _, path := range []string{"/attributes", "/attributes/db", "/attributes/a%2Fb", "/attributes/%2E%2E"} {
		if code, body := ask(t, http.MethodGet, server.admin+path); code != http.StatusOK || body != path {
			t.Errorf("GET %s: %d %s", path, code, body)
		}
	}
	if code, _ := ask(t, http.MethodPost, server.admin+"/attributes"); code != http.StatusMethodNotAllowed {
		t.Errorf("POST /attributes: %d", code)
	}
	server = start(t, &scripted{}, api.Options{})
	if code, _ := ask(t, http.MethodGet, server.admin+"/attributes"); code != http.StatusNotFound {
		t.Errorf("without a handler: %d", code)
	}
}
