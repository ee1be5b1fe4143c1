package api_test

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
	"github.com/stoadb/stoa/wal"
)

// waitingDisk is one whose reads of segments wait, once it is told so, until it is told to go on.
type waitingDisk struct {
	vfs.FS
	slow   atomic.Bool
	inside atomic.Int32
	goOn   chan struct{}
}

func (d *waitingDisk) Open(name string) (vfs.File, error) {
	f, err := d.FS.Open(name)
	return &waitingFile{f, d, name}, err
}

type waitingFile struct {
	vfs.File
	disk *waitingDisk
	name string
}

func (f *waitingFile) ReadAt(b []byte, offset int64) (int, error) {
	if f.disk.slow.Load() && strings.HasPrefix(f.name, "shard-") {
		f.disk.inside.Add(1)
		<-f.disk.goOn
	}
	return f.File.ReadAt(b, offset)
}

// TestBlockedAdminQuestionsLetOthersAsk: twice as many as there are processors, and four at
// least, wait for the disk, of each kind; programs are answered all the same.
func TestBlockedAdminQuestionsLetOthersAsk(t *testing.T) {
	disk := &waitingDisk{FS: vfs.NewCrash(1), goOn: make(chan struct{})}
	store, err := cluster.Open(t.Context(), cluster.Options{
		FS: disk, Shards: 1, ReserveBytes: -1, PagesBytesMax: 1, Log: wal.Options{FileBytes: 1 << 20}, Heartbeat: make(chan time.Time),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close(context.Background()) })
	for i := range 10 {
		if _, err := store.Write(t.Context(), enginetest.Numbered(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	reads := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		found, err := store.Find(r.Context(), span.Query{StartMax: math.MaxUint64, Limit: 100})
		fmt.Fprint(w, len(found), err)
	})
	each := max(4, 2*runtime.GOMAXPROCS(0))
	server := start(t, store, api.Options{Attributes: reads, Rates: reads, Edges: reads, QueriesMax: int64(6*each + 1)})
	disk.slow.Store(true)
	var group sync.WaitGroup
	for range each {
		for _, path := range []string{"/attributes/k", "/rates", "/edges"} {
			group.Go(func() {
				if code, text := ask(t, http.MethodGet, server.admin+path); code != http.StatusOK || text != "10 <nil>" {
					t.Errorf("%s: %d %q", path, code, text)
				}
			})
		}
	}
	eventually(t, "all of them wait", func() bool { return server.Stats().QueriesRunning == int64(3*each) && disk.inside.Load() > 0 })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range each {
		if services, err := server.Services(ctx); err != nil || len(services) != 1 {
			t.Errorf("services beside them: %v, %v", services, err)
		}
	}
	close(disk.goOn)
	group.Wait()
	if n := server.Stats().QueriesRunning; n != 0 {
		t.Errorf("%d queries run for ever", n)
	}
}

// asTold is what answers the admin port in these tests: it answers at once, or as its parameter says.
func asTold(t *testing.T, entered, release chan struct{}) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !span.IsAtLeisure(r.Context()) {
			t.Errorf("%s is not at leisure", r.URL)
		}
		switch r.FormValue("be") {
		case "slow":
			entered <- struct{}{}
			<-release
		case "late":
			<-r.Context().Done()
			http.Error(w, context.Cause(r.Context()).Error(), http.StatusGatewayTimeout)
		case "panic":
			panic("a test")
		}
	})
}

// TestAdminQuestionsHaveHalfOfThePlaces of queries, and are told of as others are.
func TestAdminQuestionsHaveHalfOfThePlaces(t *testing.T) {
	var told inFlight
	entered, release := make(chan struct{}), make(chan struct{})
	answers := asTold(t, entered, release)
	server := start(t, &scripted{}, api.Options{Attributes: answers, Rates: answers, Edges: answers, QueriesMax: 4, Questions: &told})
	var group sync.WaitGroup
	for _, path := range []string{"/rates", "/attributes"} {
		group.Go(func() {
			if code, text := ask(t, http.MethodGet, server.admin+path+"?be=slow"); code != http.StatusOK || text != "" {
				t.Errorf("%s: %d %q", path, code, text)
			}
		})
		<-entered
	}
	if now, running := told.now.Load(), server.Stats().QueriesRunning; now != 2 || running != 2 {
		t.Errorf("%d questions are in flight, %d queries run, want 2", now, running)
	}
	answer, err := http.Get(server.admin + "/edges")
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close() // nothing of it is read
	if answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
		t.Errorf("a third: %s, %v", answer.Status, answer.Header)
	}
	if _, err := server.Services(t.Context()); err != nil {
		t.Errorf("of a program: %v", err)
	}
	close(release)
	group.Wait()
	eventually(t, "none is in flight", func() bool { return told.now.Load() == 0 && server.Stats().QueriesRunning == 0 })
	wantCalls(t, server, map[api.Call]uint64{
		{Method: "HTTP GET /rates", Code: "OK"}: 1, {Method: "HTTP GET /attributes", Code: "OK"}: 1, {Method: "HTTP GET /edges", Code: "Unavailable"}: 1,
	})
}

// TestAdminQuestionsAreBounded: their time is that of queries, web pages are kept out, and a panic
// costs one answer. All of it is counted.
func TestAdminQuestionsAreBounded(t *testing.T) {
	answers := asTold(t, nil, nil)
	options := api.Options{Attributes: answers, Rates: answers, Edges: answers, Log: slog.New(slog.DiscardHandler)}
	server := start(t, &scripted{}, options)
	options.WorkTimeMax = time.Millisecond
	short := start(t, &scripted{}, options)
	expect := func(base, path string, wantCode int, want string, headers ...string) {
		t.Helper()
		if code, text := ask(t, http.MethodGet, base+path, headers...); code != wantCode || !strings.Contains(text, want) {
			t.Errorf("%s: %d %q, want %d %q", path, code, text, wantCode, want)
		}
	}
	expect(server.admin, "/rates?be=panic", 500, "internal error")
	expect(server.admin, "/rates", 403, "web pages", "Origin", "https://example.org")
	expect(server.admin, "/attributes/k", 403, "web pages", "Sec-Fetch-Site", "cross-site")
	expect(server.admin, "/edges", 200, "", "Sec-Fetch-Site", "none")
	expect(short.admin, "/edges?be=late", 504, "call took too long: more than 1ms (WorkTimeMax)")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.admin+"/rates", strings.NewReader("a body"))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close() // nothing of it is read
	if answer.StatusCode != http.StatusBadRequest {
		t.Errorf("with a body: %s", answer.Status)
	}
	wantCalls(t, server, map[api.Call]uint64{
		{Method: "HTTP GET /edges", Code: "OK"}: 1, {Method: "HTTP GET /rates", Code: "Internal"}: 1, {Method: "HTTP GET /rates", Code: "PermissionDenied"}: 1,
		{Method: "HTTP GET /attributes/", Code: "PermissionDenied"}: 1, {Method: "HTTP GET /rates", Code: "InvalidArgument"}: 1,
	})
	wantCalls(t, short, map[api.Call]uint64{{Method: "HTTP GET /edges", Code: "DeadlineExceeded"}: 1})
	if stats := server.Stats(); stats.QueriesRunning != 0 || stats.Panics != 1 {
		t.Errorf("stats %+v", stats)
	}
}

// wantCalls waits until so many are counted: an answer may come before its count.
func wantCalls(t *testing.T, server *running, want map[api.Call]uint64) {
	t.Helper()
	for call, n := range want {
		eventually(t, fmt.Sprintf("%d of %v", n, call), func() bool { return server.Stats().Calls[call] == n })
	}
}
