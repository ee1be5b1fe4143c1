package bench_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stoadb/stoa/bench"
)

// asked is a mix of one class.
func asked(ask bench.Ask) *bench.Mix {
	return &bench.Mix{Classes: []bench.Class{{Name: "any", Questions: 1, Ask: ask}}}
}

// ingestRun asks a server that answers a first call and is asked nothing else.
func ingestRun(t *testing.T) bench.MixRun {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"data":[]}`) // a client that is gone reads nothing
	}))
	t.Cleanup(server.Close)
	run := bench.MixRun{State: "ingest"}
	run.API, run.Address, run.Clients, run.Questions = bench.JaegerHTTP, server.URL, 1, 3
	return run
}

// Questions are asked from when the load has begun on, and its rate is that of what it says.
func TestQuestionsAreAskedBesideALoad(t *testing.T) {
	mix := asked(func(context.Context, bench.Asker, int) (int, error) {
		time.Sleep(200 * time.Millisecond) // in which the load goes on, on a busy machine too
		return 1, nil
	})
	load := []string{"sh", "-c", `i=0; sleep 0.05; while :; do i=$((i+1000)); echo $i; echo none; sleep 0.005; done`}
	records, err := mix.AskDuringIngest(t.Context(), ingestRun(t), load)
	if err != nil || len(records) != 1 || records[0].Asked != 3 || records[0].IngestSpansASecond <= 0 || records[0].State != "ingest" {
		t.Errorf("%+v, %v", records, err)
	}
}

// A load that ends before the questions do, or before it has begun, is an error which tells what it
// said: they would be those of a server at rest.
func TestALoadThatEndsBesideQuestionsIsAnError(t *testing.T) {
	mix := asked(func(ctx context.Context, _ bench.Asker, _ int) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	})
	run := ingestRun(t)
	for script, want := range map[string]string{
		`echo 5; echo went wrong >&2; exit 1`:  "the load beside the questions: exit status 1: went wrong",
		`echo went wrong >&2; exit 1`:          "the load beside the questions: exit status 1: went wrong",
		`exit 0`:                               "the load beside the questions: it has ended",
		`while :; do echo 0; sleep 0.01; done`: "the load beside the questions: its spans are rejected",
	} {
		if _, err := mix.AskDuringIngest(t.Context(), run, []string{"sh", "-c", script}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", script, err, want)
		}
	}
	if _, err := mix.AskDuringIngest(t.Context(), run, []string{"/nothing/here"}); err == nil {
		t.Error("a program that is not there is no error")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := mix.AskDuringIngest(ctx, run, []string{"sh", "-c", "echo 1; exec sleep 100"}); err == nil {
		t.Error("given up, and no error")
	}
}
