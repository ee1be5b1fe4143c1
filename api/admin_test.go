package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/engine/span"
)

func ask(t *testing.T, method, url string, headers ...string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestAdminAnswersByMethodAndState(t *testing.T) {
	store := &scripted{}
	server := start(t, store, api.Options{Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "stoa_spans 1\n")
	})})
	expect := func(method, path string, wantCode int, wantBody string, headers ...string) {
		t.Helper()
		if code, body := ask(t, method, server.admin+path, headers...); code != wantCode || !strings.Contains(body, wantBody) {
			t.Errorf("%s %s: %d %q, want %d %q", method, path, code, body, wantCode, wantBody)
		}
	}
	expect("GET", "/health", 200, "ok")
	expect("GET", "/ready", 200, "ready")
	expect("GET", "/metrics", 200, "stoa_spans 1")
	expect("POST", "/flush", 200, `{"done":"flush","seconds":`)
	expect("POST", "/compact", 200, `{"done":"compact","seconds":`)
	expect("GET", "/debug/pprof/heap", 200, "\x1f\x8b")
	expect("GET", "/debug/pprof/profile?seconds=1", 200, "\x1f\x8b")
	expect("GET", "/debug/pprof/cmdline", 404, "")
	expect("GET", "/debug/pprof/profile?seconds=61", 400, "at most 60")
	expect("GET", "/debug/pprof/heap", 403, "web pages", "Origin", "https://example.org")
	expect("GET", "/debug/pprof/heap", 403, "web pages", "Sec-Fetch-Site", "cross-site")
	expect("POST", "/settle", 200, `{"done":"settle","seconds":`)
	expect("GET", "/settle", 405, "")
	expect("GET", "/flush", 405, "")
	expect("GET", "/compact", 405, "")
	expect("POST", "/metrics", 405, "")
	expect("DELETE", "/ready", 405, "")
	expect("GET", "/", 404, "")
	expect("GET", "/imports/x", 404, "")
	expect("POST", "/flush", 403, "web pages", "Origin", "https://example.org")

	store.ready = errors.New("shard 2: a part is quarantined")
	expect("GET", "/ready", 503, "shard 2: a part is quarantined")
	expect("GET", "/health", 200, "ok")
	store.operate = func(context.Context) error { return fmt.Errorf("disk full: %w", span.ErrUnavailable) }
	expect("POST", "/flush", 503, "flush: disk full")
	store.operate = func(context.Context) error { return errors.New("broken") }
	expect("POST", "/compact", 500, "compact: broken")
	expect("POST", "/settle", 500, "settle: broken")
	store.operate = func(context.Context) error { panic("admin") }
	expect("POST", "/compact", 500, "internal error")
	store.operate = nil
	expect("POST", "/compact", 200, "done")
	if panics := server.Stats().Panics; panics != 1 {
		t.Errorf("%d panics counted", panics)
	}
}

// TestOneOperationAtATime, and one whose client goes away is stopped.
func TestOneOperationAtATime(t *testing.T) {
	entered, ended := make(chan struct{}), make(chan error, 1)
	var first atomic.Bool
	server := start(t, &scripted{operate: func(ctx context.Context) error {
		if first.Swap(true) {
			return nil
		}
		close(entered)
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}}, api.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.admin+"/compact", nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if response, err := http.DefaultClient.Do(request); err == nil {
			response.Body.Close()
		}
	}()
	<-entered
	for _, path := range []string{"/flush", "/settle"} {
		if code, body := ask(t, "POST", server.admin+path); code != http.StatusConflict {
			t.Errorf("%s as second operation: %d %q", path, code, body)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("operation without a client: %v", err)
	}
	for code := 0; code != http.StatusOK; {
		if code, _ = ask(t, "POST", server.admin+"/flush"); code != http.StatusOK && code != http.StatusConflict {
			t.Fatalf("after it: %d", code)
		}
	}
}

func TestDrainingServerIsNotReady(t *testing.T) {
	release := make(chan struct{})
	entered := make(chan struct{})
	server := start(t, &scripted{find: func(context.Context, span.Query) ([]span.Found, error) {
		close(entered)
		<-release
		return nil, nil
	}}, api.Options{})
	go server.FindTraceIDs(context.Background(), span.AllTime())
	<-entered
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		server.Stop(t.Context())
	}()
	for code := 0; code != http.StatusServiceUnavailable; {
		var body string
		if code, body = ask(t, "GET", server.admin+"/ready"); code == http.StatusServiceUnavailable && !strings.Contains(body, "draining") {
			t.Errorf("ready says %q", body)
		}
	}
	close(release)
	<-stopped
}

// TestAdminHeadersHaveATimeAndASize: a client that sends them drop by drop is let go.
func TestAdminHeadersHaveATimeAndASize(t *testing.T) {
	server := start(t, &scripted{}, api.Options{})
	if code, _ := ask(t, "GET", server.admin+"/health", "X-Long", strings.Repeat("x", 64<<10)); code != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("long headers: %d", code)
	}
	if testing.Short() {
		t.Skip("SKIP: waiting for the header timeout takes 5 s")
	}
	connection, err := net.Dial("tcp", strings.TrimPrefix(server.admin, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	if _, err := connection.Write([]byte("GET /health HTTP/1.1\r\nHost:")); err != nil {
		t.Fatal(err)
	}
	// The server's own limit is 5 s; a minute is when this test gives up.
	if err := connection.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, connection); err != nil {
		t.Errorf("the connection stayed open: %v", err)
	}
}
