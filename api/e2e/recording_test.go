package e2e_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// dataFolder holds the real traces and their independently computed answers; it lies
// beside the repository, not in it.
const dataFolder = "../../../shared/data"

// recording is a recorded file, or the first requests of one.
type recording struct {
	name     string
	requests int // 0 is all
}

// each calls visit with each export request; the bytes are its until it returns.
func (r recording) each(t *testing.T, visit func(request []byte)) {
	t.Helper()
	f, err := os.Open(filepath.Join(dataFolder, r.name+".otlp.zst"))
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("SKIP: no %s.otlp.zst in %s; nothing was checked", r.name, dataFolder)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // read only
	content, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	records := bufio.NewReader(content)
	for n := 0; r.requests == 0 || n < r.requests; n++ {
		size, err := binary.ReadUvarint(records)
		if errors.Is(err, io.EOF) {
			return
		}
		request := make([]byte, size)
		if err == nil {
			_, err = io.ReadFull(records, request)
		}
		if err != nil {
			t.Fatal(err)
		}
		visit(request)
	}
}

// requestSpansMax is how many spans a request to Jaeger has. Jaeger 1.76 gives up a request
// five seconds after it began to write its spans to the storage, one at a time.
const requestSpansMax = 32

// cut makes small requests of one, span order and resources kept.
func cut(t *testing.T, request []byte) (parts [][]byte) {
	t.Helper()
	var decoded collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(request, &decoded); err != nil {
		t.Fatal(err)
	}
	part, spans := &collector.ExportTraceServiceRequest{}, 0
	flush := func() {
		encoded, err := proto.Marshal(part)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, encoded)
		part, spans = &collector.ExportTraceServiceRequest{}, 0
	}
	for _, resource := range decoded.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for list := range slices.Chunk(scope.GetSpans(), requestSpansMax) {
				part.ResourceSpans = append(part.ResourceSpans, &trace.ResourceSpans{
					Resource: resource.GetResource(), SchemaUrl: resource.GetSchemaUrl(),
					ScopeSpans: []*trace.ScopeSpans{{Scope: scope.GetScope(), SchemaUrl: scope.GetSchemaUrl(), Spans: list}},
				})
				if spans += len(list); spans >= requestSpansMax {
					flush()
				}
			}
		}
	}
	if spans > 0 {
		flush()
	}
	return parts
}

// truth is what Jaeger has to answer once it holds a recording. The lists of questions and
// the edges are those of the expected file where the whole recording is taken.
type truth struct {
	Spans        int                    `json:"spans"`
	Services     []string               `json:"services"`
	FirstStart   uint64                 `json:"first_start_ns"`
	LastStart    uint64                 `json:"last_start_ns"`
	Edges        []edge                 `json:"edges_between_services"`
	SampleTraces map[string]sampleTrace `json:"sample_traces"`
	Tags         []tagQuery             `json:"service_tag_queries"`
	Durations    []durationQuery        `json:"duration_queries"`

	operations map[operation]map[string]bool // the ids of its traces
}

type edge struct {
	Parent string `json:"parent"`
	Child  string `json:"child"`
	Calls  uint64 `json:"calls"`
}

type sampleTrace struct {
	Spans  int    `json:"spans"`
	SHA256 string `json:"span_ids_sha256"` // of the sorted span ids in hexadecimal, joined by commas
}

type tagQuery struct {
	Service string `json:"service"`
	Key     string `json:"key"`
	Value   string `json:"value"`
	Traces  int    `json:"traces"`
}

type durationQuery struct {
	Service     string `json:"service"`
	MinDuration uint64 `json:"min_duration_ns"`
	Traces      int    `json:"traces"`
}

type operation struct{ service, name string }

// emptyService is what both Jaegers make of a service without a name before they store it.
const emptyService = "empty-service-name"

func named(service string) string {
	if service == "" {
		return emptyService
	}
	return service
}

// truth counts the recording, and takes the expected file's answers for a whole one.
func (r recording) truth(t *testing.T) *truth {
	t.Helper()
	c := census{traces: map[string][]counted{}, operations: map[operation]map[string]bool{}}
	r.each(t, func(request []byte) { c.add(t, request) })
	counted := c.truth()
	if r.requests > 0 {
		return counted
	}
	b, err := os.ReadFile(filepath.Join(dataFolder, r.name+".expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	want := &truth{operations: counted.operations}
	if err := json.Unmarshal(b, want); err != nil {
		t.Fatal(err)
	}
	for i := range want.Services {
		want.Services[i] = named(want.Services[i])
	}
	slices.Sort(want.Services)
	for i := range want.Edges {
		want.Edges[i].Parent, want.Edges[i].Child = named(want.Edges[i].Parent), named(want.Edges[i].Child)
	}
	if want.Spans == 0 || len(want.SampleTraces) == 0 {
		t.Fatalf("%s.expected.json holds no answers", r.name)
	}
	return want
}

// counted is a span as far as it counts.
type counted struct {
	service    string
	id, parent string
}

// census gathers what a slice of a recording holds. It takes a span id for one span, which
// is right for HotROD; where ids are shared the expected file has the edges.
type census struct {
	traces      map[string][]counted
	operations  map[operation]map[string]bool
	first, last uint64
	spans       int
}

func (c *census) add(t *testing.T, request []byte) {
	t.Helper()
	var decoded collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(request, &decoded); err != nil {
		t.Fatal(err)
	}
	for _, resource := range decoded.GetResourceSpans() {
		service := ""
		for _, a := range resource.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				service = a.GetValue().GetStringValue()
			}
		}
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				c.count(named(service), span)
			}
		}
	}
}

func (c *census) count(service string, span *trace.Span) {
	id := hex.EncodeToString(span.GetTraceId())
	c.traces[id] = append(c.traces[id], counted{service, hex.EncodeToString(span.GetSpanId()), hex.EncodeToString(span.GetParentSpanId())})
	o := operation{service, span.GetName()}
	if c.operations[o] == nil {
		c.operations[o] = map[string]bool{}
	}
	c.operations[o][fmt.Sprintf("%032s", id)] = true
	if c.spans == 0 {
		c.first = span.GetStartTimeUnixNano()
	}
	c.first, c.last = min(c.first, span.GetStartTimeUnixNano()), max(c.last, span.GetStartTimeUnixNano())
	c.spans++
}

// samplesOfSlice is how many traces of a slice are compared span by span.
const samplesOfSlice = 50

func (c *census) truth() *truth {
	w := &truth{Spans: c.spans, FirstStart: c.first, LastStart: c.last, SampleTraces: map[string]sampleTrace{}, operations: c.operations}
	calls := map[[2]string]uint64{}
	services := map[string]bool{}
	for id, spans := range c.traces {
		of := map[string]string{}
		var ids []string
		for _, s := range spans {
			of[s.id], services[s.service] = s.service, true
			ids = append(ids, s.id)
		}
		for _, s := range spans {
			if parent, ok := of[s.parent]; ok && parent != s.service {
				calls[[2]string{parent, s.service}]++
			}
		}
		if len(w.SampleTraces) < samplesOfSlice {
			w.SampleTraces[id] = sampleTrace{len(ids), hashOf(ids)}
		}
	}
	for pair, n := range calls {
		w.Edges = append(w.Edges, edge{pair[0], pair[1], n})
	}
	for service := range services {
		w.Services = append(w.Services, service)
	}
	slices.Sort(w.Services)
	return w
}

// hashOf is the expected files' hash of span ids.
func hashOf(ids []string) string {
	sum := sha256.Sum256([]byte(strings.Join(slices.Sorted(slices.Values(ids)), ",")))
	return hex.EncodeToString(sum[:])
}
