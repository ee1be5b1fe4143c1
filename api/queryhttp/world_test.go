package queryhttp_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/stoadb/stoa/api/client"
	"github.com/stoadb/stoa/api/queryhttp"
	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
	"github.com/stoadb/stoa/wal"
)

// now is what the handlers of tests take for the time.
var now = time.Date(2026, 11, 29, 20, 0, 0, 0, time.UTC)

// world is a store behind a handler on a socket, and a slow model of what is in it.
type world struct {
	t     testing.TB
	store *cluster.Store
	model *enginetest.Model
	url   string
}

func newWorld(t testing.TB, options queryhttp.Options) *world {
	t.Helper()
	store, err := cluster.Open(context.Background(), cluster.Options{FS: vfs.NewCrash(1), Shards: 3, ReserveBytes: -1, Log: wal.Options{FileBytes: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close(context.Background()) })
	w := &world{t: t, store: store, model: enginetest.NewModel()}
	w.url = serve(t, store, options)
	return w
}

// serve serves a store on a socket.
func serve(t testing.TB, store queryhttp.Store, options queryhttp.Options) string {
	t.Helper()
	if options.Now == nil {
		options.Now = func() time.Time { return now }
	}
	server := httptest.NewServer(queryhttp.New(store, options))
	t.Cleanup(server.Close)
	return server.URL
}

func (w *world) write(request []byte) {
	w.t.Helper()
	if _, err := w.model.Add(request); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.store.Write(context.Background(), request); err != nil {
		w.t.Fatal(err)
	}
}

// load writes the first requests of a recording, all of them for 0.
func (w *world) load(name string, requests int) {
	w.t.Helper()
	file, err := os.Open(filepath.Join("..", "..", "..", "shared", "data", name+".otlp.zst"))
	if err != nil {
		w.t.Skipf("SKIP: %s is absent from ../shared/data of the repository root: nothing was proved over real traces", name)
	}
	defer func() { _ = file.Close() }() // read only
	content, err := codec.NewZstdReader(file, codec.FileWindowBytesMax)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = content.Close() }() // memory only
	records := bufio.NewReader(content)
	for n := 0; requests == 0 || n < requests; n++ {
		request, err := client.ReadRequest(records)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			w.t.Fatal(err)
		}
		w.write(request)
	}
}

// rows are all distinct spans.
func (w *world) rows() []span.Row { return w.model.Matching(span.AllTime()) }

// eachForm asks in memory, in segments, in both, and merged; half is loaded before, half between.
func (w *world) eachForm(load []func(), ask func()) {
	w.t.Helper()
	for _, some := range load {
		some()
		ask()
		if err := w.store.Flush(context.Background()); err != nil {
			w.t.Fatal(err)
		}
	}
	ask()
	if err := w.store.Compact(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	ask()
}

// get asks for a path with parameters.
func get(t testing.TB, root, path string, parameters url.Values) (code int, body string) {
	t.Helper()
	return getText(t, root+path+"?"+parameters.Encode())
}

// getText asks for an address as it is.
func getText(t testing.TB, address string) (code int, body string) {
	t.Helper()
	answer, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }() // read to its end
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if kind := answer.Header.Get("Content-Type"); kind != "application/json" {
		t.Errorf("%s: content type %q", address, kind)
	}
	return answer.StatusCode, strings.TrimSuffix(string(content), "\n")
}

// ask is get of what must be answered, decoded without passing over anything.
func ask(t testing.TB, root, path string, parameters url.Values, answer any) {
	t.Helper()
	code, body := get(t, root, path, parameters)
	if code != http.StatusOK {
		t.Fatalf("%s %v: %d %s", path, parameters, code, body)
	}
	decoder := json.NewDecoder(strings.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(answer); err != nil {
		t.Fatalf("%s: %v in %s", path, err, body)
	}
}

// made is a span of a test's own, by milliseconds since the beginning of 1970.
type made struct {
	service, name string
	kind          tracev1.Span_SpanKind
	start, took   uint64
	failed        bool
}

// request makes a request of spans, each a trace of its own.
func request(t testing.TB, spans ...made) []byte {
	t.Helper()
	var traces tracev1.TracesData
	for i, m := range spans {
		s := &tracev1.Span{
			TraceId: make([]byte, 16), SpanId: []byte("eight by"), Name: m.name, Kind: m.kind,
			StartTimeUnixNano: m.start * 1e6, EndTimeUnixNano: (m.start + m.took) * 1e6, Status: &tracev1.Status{},
		}
		copy(s.TraceId, m.service+m.name)
		s.TraceId[14], s.TraceId[15] = byte(i>>8), byte(i)+1
		if m.failed {
			s.Status.Code = tracev1.Status_STATUS_CODE_ERROR
		}
		service := &commonv1.KeyValue{Key: "service.name", Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: m.service}}}
		traces.ResourceSpans = append(traces.ResourceSpans, &tracev1.ResourceSpans{
			Resource: &resourcev1.Resource{Attributes: []*commonv1.KeyValue{service}}, ScopeSpans: []*tracev1.ScopeSpans{{Spans: []*tracev1.Span{s}}},
		})
	}
	content, err := proto.Marshal(&traces)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// call is a span of one trace, whose ids are numbers; parent 0 is none. It is named op.
type call struct {
	id, parent byte
	service    string
	start      uint64 // milliseconds since 1970
}

// tree makes a request of calls. Names may be any bytes, so it is written by hand where protobuf
// would refuse: texts of two bytes that stand for one that is not UTF-8.
func tree(t testing.TB, calls ...call) []byte {
	t.Helper()
	var traces tracev1.TracesData
	for _, c := range calls {
		s := &tracev1.Span{
			TraceId: []byte("sixteen bytes id"), SpanId: []byte{7: c.id}, Name: "op",
			StartTimeUnixNano: c.start * 1e6, EndTimeUnixNano: c.start*1e6 + 1,
		}
		if c.parent > 0 {
			s.ParentSpanId = []byte{7: c.parent}
		}
		service := &commonv1.KeyValue{Key: "service.name", Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: strings.NewReplacer("\xff", "\u00ff", "\xfe", "\u00fe").Replace(c.service)}}}
		traces.ResourceSpans = append(traces.ResourceSpans, &tracev1.ResourceSpans{
			Resource: &resourcev1.Resource{Attributes: []*commonv1.KeyValue{service}}, ScopeSpans: []*tracev1.ScopeSpans{{Spans: []*tracev1.Span{s}}},
		})
	}
	content, err := proto.Marshal(&traces)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []byte{0xff, 0xfe} { // two bytes for two
		content = bytes.ReplaceAll(content, []byte(string(rune(c))), []byte{c, c})
	}
	return content
}
