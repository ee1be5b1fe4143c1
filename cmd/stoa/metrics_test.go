package main

import (
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
)

// TestQuarantinedSpansCountAsDropped: they were acknowledged, and no answer holds them.
func TestQuarantinedSpansCountAsDropped(t *testing.T) {
	store, err := cluster.Open(t.Context(), cluster.Options{
		FS: vfs.NewCrash(1), ReserveBytes: -1, Heartbeat: make(chan time.Time), Logger: slog.New(slog.DiscardHandler),
		CheckPart: func(*span.Batch) error { return errors.New("injected") },
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
