package api_test

import (
	"context"
	"fmt"
	"net/http"
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
	}
}

// TestASearchIsExplainedWhereItsHeaderAsks, in the trailer of every kind of search, and nowhere
// else.
func TestASearchIsExplainedWhereItsHeaderAsks(t *testing.T) {
	server := start(t, explainer(), api.Options{})
	reader := storagev2.NewTraceReaderClient(server.connection)
	for value, want := range map[string]bool{"": false, "0": false, "1": true} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "x-stoa-explain", value)
		if value == "" {
			ctx = t.Context()
		}
		var ids, traces metadata.MD
		if _, err := reader.FindTraceIDs(ctx, &storagev2.FindTraceIDsRequest{}, grpc.Trailer(&ids)); err != nil {
			t.Fatal(err)
		}
		stream, err := reader.FindTraces(ctx, &storagev2.FindTracesRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err == nil {
			t.Fatal("a trace was found")
		}
		traces = stream.Trailer()
		for name, trailer := range map[string]metadata.MD{"FindTraceIDs": ids, "FindTraces": traces} {
			if told := trailer.Get("x-stoa-explain"); (len(told) == 1) != want {
				t.Errorf("%s asked with %q tells %q", name, value, told)
			}
		}
	}
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
