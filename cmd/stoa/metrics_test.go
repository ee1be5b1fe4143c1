package main

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
	"github.com/stoadb/stoa/wal"
)

// TestQuarantinedSpansCountAsDropped: they were acknowledged, and no answer holds them.
func TestQuarantinedSpansCountAsDropped(t *testing.T) {
	store, err := cluster.Open(t.Context(), cluster.Options{
		FS: vfs.NewCrash(1), ReserveBytes: -1, Heartbeat: make(chan time.Time), Logger: slog.New(slog.DiscardHandler),
		CheckPart: func(*span.Batch) error { return errors.New("injected") }, Log: wal.Options{FileBytes: 1 << 20},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close(t.Context()) })
	request := enginetest.Payload(enginetest.NewGenerator(1, 9).Spans(12))
	for range 2 { // sent again, the same spans are not dropped once more
		if _, err := store.Write(t.Context(), request); err != nil {
			t.Fatal(err)
		}
	}
	n := &node{store: store, server: api.NewServer(store, store, api.Options{})}
	answer := httptest.NewRecorder()
	metricsHandler(n).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	const want = "\nstoa_spans_dropped_total{reason=\"quarantined\"} 12\n"
	if !strings.Contains(answer.Body.String(), want) {
		t.Errorf("/metrics lacks %q", strings.TrimSpace(want))
	}
}

func TestMetricsCountWhatHappened(t *testing.T) {
	server := startServer(t, t.TempDir())
	wants(t, 0, nil, "import", "--addr", server.Storage, "--admin", server.Admin, fixture(t, "jaeger-integration-fixtures"))
	flushed, err := http.Post(server.AdminURL()+"/flush", "", nil)
	if err != nil || flushed.StatusCode != http.StatusOK {
		t.Fatalf("/flush: %v, %v", flushed, err)
	}
	flushed.Body.Close()
	response, err := http.Get(server.AdminURL() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(response.Body); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\nstoa_spans_accepted_total 38\n", "\nstoa_spans_dropped_total{reason=\"trace_id\"} 0\n",
		"\nstoa_spans_dropped_total{reason=\"quarantined\"} 0\n", "\nstoa_log_torn_bytes 0\n",
		"\nstoa_exports_total{outcome=\"stored\"} 32\n", "\nstoa_quarantined_parts{shard=\"0\"} 0\n",
		"\nstoa_damaged_segments{shard=\"0\"} 0\n",
	} {
		if !strings.Contains(body.String(), want) {
			t.Errorf("/metrics lacks %q", strings.TrimSpace(want))
		}
	}
	if !regexp.MustCompile(`\nstoa_segment_table_bytes\{shard="\d"\} [1-9]`).MatchString(body.String()) {
		t.Error("/metrics tells of no tables of segments")
	}
	stopServer(t, server)
}
