package api_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/api/queryhttp"
	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
)

// jaegerRefusal is what the query port says in Jaeger's form of an error.
func jaegerRefusal(code int, reason string) string {
	return fmt.Sprintf(`{"data":null,"total":0,"limit":0,"offset":0,"errors":[{"code":%d,"msg":%q}]}`+"\n", code, reason)
}

// TestTheQueryPortAnswersForTheTenantNamed by the header alone, from the tenant's own store.
func TestTheQueryPortAnswersForTheTenantNamed(t *testing.T) {
	stores := map[string]*cluster.Store{}
	tenants := api.Tenants{Header: "x-scope"}
	for _, name := range []string{"a", "b"} {
		stores[name] = realStore(t, vfs.NewCrash(1))
		tenants.List = append(tenants.List, api.Tenant{Name: name, Store: stores[name], Query: queryhttp.New(stores[name], queryhttp.Options{})})
	}
	tenants.List = append(tenants.List, api.Tenant{Name: "c", Store: &scripted{}})
	main := realStore(t, vfs.NewCrash(1))
	for _, store := range []*cluster.Store{stores["a"], main} {
		if _, err := store.Write(t.Context(), enginetest.Numbered(1)); err != nil {
			t.Fatal(err)
		}
	}
	server := start(t, &scripted{}, api.Options{Query: queryhttp.New(main, queryhttp.Options{}), Tenants: tenants})
	const listed = `{"data":[%s],"total":%d,"limit":0,"offset":0,"errors":null}` + "\n"
	for _, c := range []struct {
		path    string
		headers []string
		code    int
		text    string
	}{
		{"/api/services", []string{"X-Scope", "a"}, 200, fmt.Sprintf(listed, `"numbered"`, 1)},
		{"/api/services", []string{"X-Scope", "b"}, 200, fmt.Sprintf(listed, "", 0)},
		{"/api/services", []string{"X-Scope", "c"}, 404, jaegerRefusal(404, "not served")},
		{"/api/services", []string{"X-Scope", "A"}, 403, jaegerRefusal(403, "unknown tenant")},
		{"/api/services", []string{"X-Scope", "a", "X-Scope", "a"}, 403, jaegerRefusal(403, "extra tenant header")},
		{"/api/services", nil, 401, jaegerRefusal(401, "missing tenant header")},
		{"/api/services?tenant=a", nil, 401, jaegerRefusal(401, "missing tenant header")},
		{"/api/nothing", nil, 401, jaegerRefusal(401, "missing tenant header")},
		{"/metrics", []string{"X-Scope", "a"}, 404, jaegerRefusal(404, "GET /metrics is not served here")},
	} {
		if code, text := ask(t, http.MethodGet, server.query+c.path, c.headers...); code != c.code || text != c.text {
			t.Errorf("%s, header %q: %d %q, want %d %q", c.path, c.headers, code, text, c.code, c.text)
		}
	}
	alone := start(t, &scripted{}, api.Options{Query: queryhttp.New(main, queryhttp.Options{})})
	if code, text := ask(t, http.MethodGet, alone.query+"/api/services", "X-Tenant", "nobody"); code != 200 || text != fmt.Sprintf(listed, `"numbered"`, 1) {
		t.Errorf("without tenants: %d %q", code, text)
	}
	without := start(t, &scripted{}, api.Options{})
	if code, text := ask(t, http.MethodGet, without.query+"/api/services"); code != 404 || text != jaegerRefusal(404, "not served") {
		t.Errorf("without a handler: %d %q", code, text)
	}
}

// TestTheQueryPortIsBounded: queries at once, together with those of gRPC, and their time; a panic
// costs one answer. All of it is counted.
func TestTheQueryPortIsBounded(t *testing.T) {
	entered, release := make(chan struct{}, 1), make(chan struct{})
	handler := http.NewServeMux()
	handler.HandleFunc("GET /slow", func(_ http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	handler.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic("a test") })
	handler.HandleFunc("GET /late", func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		queryhttp.Refuse(w, http.StatusGatewayTimeout, context.Cause(r.Context()).Error())
	})
	options := api.Options{Query: handler, QueriesMax: 1, Log: slog.New(slog.DiscardHandler), Random: func() float64 { return 1 }}
	server := start(t, &scripted{}, options)
	done := make(chan int, 1)
	go func() {
		code, _ := ask(t, http.MethodGet, server.query+"/slow")
		done <- code
	}()
	<-entered
	answer, err := http.Get(server.query + "/slow")
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close() // nothing of it is read
	if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); answer.StatusCode != http.StatusServiceUnavailable || err != nil || seconds != 2 {
		t.Errorf("a second query: %s, Retry-After %v", answer.Status, answer.Header["Retry-After"])
	}
	if _, err := server.Services(t.Context()); err == nil || !strings.Contains(err.Error(), "1 queries run already") {
		t.Errorf("a query of gRPC beside it: %v", err)
	}
	close(release)
	if code := <-done; code != http.StatusOK {
		t.Errorf("the first query: %d", code)
	}
	if code, text := ask(t, http.MethodGet, server.query+"/panic"); code != 500 || text != jaegerRefusal(500, "internal error") {
		t.Errorf("a panic: %d %q", code, text)
	}
	options.WorkTimeMax = time.Millisecond
	short := start(t, &scripted{}, options)
	if code, text := ask(t, http.MethodGet, short.query+"/late"); code != 504 || text != jaegerRefusal(504, "call took too long: more than 1ms (WorkTimeMax)") {
		t.Errorf("out of time: %d %q", code, text)
	}
	for _, c := range []struct {
		server       *running
		method, code string
	}{
		{server, "HTTP GET /slow", "OK"}, {server, "HTTP refused", "Unavailable"}, {server, "HTTP GET /panic", "Internal"}, {short, "HTTP GET /late", "DeadlineExceeded"},
	} {
		if n := c.server.Stats().Calls[api.Call{Method: c.method, Code: c.code}]; n != 1 {
			t.Errorf("%s %s: %d calls, want 1; all: %v", c.method, c.code, n, c.server.Stats().Calls)
		}
	}
	if n := server.Stats().QueriesRunning; n != 0 {
		t.Errorf("%d queries run for ever", n)
	}
}

// TestAStopLetsQueriesEnd, and cuts them off when its time is up.
func TestAStopLetsQueriesEnd(t *testing.T) {
	for _, patient := range []bool{true, false} {
		entered, release := make(chan struct{}, 1), make(chan struct{})
		server := start(t, &scripted{}, api.Options{Query: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			entered <- struct{}{}
			select {
			case <-release:
			case <-r.Context().Done():
			}
		})})
		failed := make(chan error, 1)
		go func() {
			answer, err := http.Get(server.query + "/")
			if err == nil {
				err = answer.Body.Close()
			}
			failed <- err
		}()
		<-entered
		ctx, cancel := context.WithCancel(t.Context())
		stopped := make(chan struct{})
		go func() {
			server.Stop(ctx)
			close(stopped)
		}()
		for { // until the stop has closed the listener
			connection, err := net.Dial("tcp", strings.TrimPrefix(server.query, "http://"))
			if err != nil {
				break
			}
			_ = connection.Close() // it was only to see whether it opens
			time.Sleep(time.Millisecond)
		}
		if patient {
			close(release)
		} else {
			cancel()
		}
		if err := <-failed; (err == nil) != patient {
			t.Errorf("patient %t: %v", patient, err)
		}
		<-stopped
		cancel()
	}
}

// TestABodyTakesNoPlaceOfAQuery: before net/http sends an answer larger than its buffer it reads the
// body that was announced. Whoever announces one and never sends it is refused before it has a
// place, whether it says how long the body is or not, and its connection ends.
func TestABodyTakesNoPlaceOfAQuery(t *testing.T) {
	const queriesMax = 2
	store := realStore(t, vfs.NewCrash(1))
	if _, err := store.Write(t.Context(), enginetest.Numbered(1)); err != nil {
		t.Fatal(err)
	}
	rows, err := store.Rates(t.Context(), span.RateQuery{StartMax: 1<<64 - 1, Service: "numbered", Step: 1_000_000_000})
	if err != nil || len(rows) != 1 {
		t.Fatalf("%d rates: %v", len(rows), err)
	}
	server := start(t, store, api.Options{Query: queryhttp.New(store, queryhttp.Options{}), QueriesMax: queriesMax, PeerTimeMax: 100 * time.Millisecond})
	path := fmt.Sprintf("/api/metrics/calls?service=numbered&spanKind=unspecified&step=1000&endTs=%d", rows[0].Start/1_000_000+10_000)
	reason := jaegerRefusal(400, "a query has no body")
	for _, announced := range []string{"Content-Length: 10", "Transfer-Encoding: chunked"} {
		var connections []net.Conn
		for range 2 * queriesMax {
			connection, err := net.Dial("tcp", strings.TrimPrefix(server.query, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = connection.Close() }() // the server has closed it
			if _, err := fmt.Fprintf(connection, "GET %s HTTP/1.1\r\nHost: stoa\r\n%s\r\n\r\n", path, announced); err != nil {
				t.Fatal(err)
			}
			if err := connection.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			connections = append(connections, connection)
		}
		for _, connection := range connections {
			from := bufio.NewReader(connection)
			answer, err := http.ReadResponse(from, nil)
			if err != nil {
				t.Fatalf("%s: no answer (%d queries run): %v", announced, server.Stats().QueriesRunning, err)
			}
			body, err := io.ReadAll(answer.Body)
			if err != nil || answer.StatusCode != http.StatusBadRequest || string(body) != reason || !answer.Close || answer.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: %s, %v, close %t: %q, %v", announced, answer.Status, answer.Header, answer.Close, body, err)
			}
			if _, err := from.ReadByte(); !errors.Is(err, io.EOF) {
				t.Errorf("%s: the connection does not end: %v", announced, err)
			}
		}
		if n := server.Stats().QueriesRunning; n != 0 {
			t.Errorf("%s: %d queries run", announced, n)
		}
		if code, text := ask(t, http.MethodGet, server.query+path); code != http.StatusOK || len(text) < 32<<10 {
			t.Errorf("a query without a body: %d, %d bytes", code, len(text))
		}
	}
	if n := server.Stats().Calls[api.Call{Method: "HTTP refused", Code: "InvalidArgument"}]; n != 4*queriesMax {
		t.Errorf("%d calls were counted as refused", n)
	}
}

// A panic in an answer that has begun cuts the connection: a second answer behind the first would
// look like a part of it.
func TestAPanicCutsAnAnswerThatHasBegun(t *testing.T) {
	server := start(t, &scripted{}, api.Options{Query: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/header" {
			w.WriteHeader(http.StatusOK)
		} else {
			_, _ = w.Write([]byte("{"))
		}
		_ = http.NewResponseController(w).Flush() // the client says below whether it arrived
		panic("a test")
	})})
	client := &http.Client{Timeout: 20 * time.Second} // an answer that nobody ends is no cut
	for _, path := range []string{"/header", "/body"} {
		answer, err := client.Get(server.query + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close() // it was read as far as it goes
		if !errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(string(body), "internal error") {
			t.Errorf("%s: %q, %v", path, body, err)
		}
	}
	for range 1000 { // the count comes after the cut
		if server.Stats().Calls[api.Call{Method: "HTTP refused", Code: "Internal"}] == 2 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("calls: %v", server.Stats().Calls)
}
