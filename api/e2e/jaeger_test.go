package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// jaeger is a running Jaeger in front of a Stoa.
type jaeger struct {
	*process
	otlp  string // takes OTLP over HTTP
	query string // root of its HTTP API
	admin string // root of its metrics, "" where they are not needed
}

// generation is one of the two Jaegers, and the storage API it speaks with Stoa. archive
// may be "": then Jaeger has none.
type generation struct {
	name  string
	start func(t *testing.T, all programs, storage, archive string) *jaeger
}

var generations = []generation{
	{"jaeger 1.76.0, storage v1", startJaeger1},
	{"jaeger 2.13.0, storage v2", startJaeger2},
}

// startJaeger1 starts all-in-one with remote storage. The queue is larger than its
// default, 2,000 spans, beyond which Jaeger drops what comes faster than a person's
// traffic; it takes no traces of itself.
func startJaeger1(t *testing.T, all programs, storage, archive string) *jaeger {
	t.Helper()
	a := freeAddresses(t, 7)
	p := start(t, all.jaeger1, []string{"SPAN_STORAGE_TYPE=grpc", "OTEL_TRACES_SAMPLER=always_off"},
		"--grpc-storage.server="+storage, "--grpc-storage-archive.server="+archive, fmt.Sprintf("--grpc-storage-archive.enabled=%t", archive != ""), "--collector.queue-size=500000", "--log-level=warn",
		"--collector.otlp.http.host-port="+a[0], "--query.http-server.host-port="+a[1],
		"--collector.otlp.grpc.host-port="+a[2], "--collector.grpc-server.host-port="+a[3],
		"--collector.http-server.host-port="+a[4], "--query.grpc-server.host-port="+a[5], "--admin.http.host-port="+a[6])
	j := p.jaeger(t, a)
	j.admin = "http://" + a[6]
	return j
}

// config2 is the configuration of Jaeger 2: what docs/api.md says, on other ports.
const config2 = `
service:
  extensions: [jaeger_storage, jaeger_query]
  pipelines:
    traces: {receivers: [otlp], processors: [batch], exporters: [jaeger_storage_exporter]}
  telemetry:
    metrics: {level: none}
    logs: {level: warn}
extensions:
  jaeger_query:
    storage: {traces: stoa%[5]s}
    http: {endpoint: %[2]q}
    grpc: {endpoint: %[3]q}
  jaeger_storage:
    backends:
      stoa: {grpc: {endpoint: %[4]q, tls: {insecure: true}}}
%[6]s
receivers:
  otlp: {protocols: {http: {endpoint: %[1]q}}}
processors:
  batch:
exporters:
  jaeger_storage_exporter: {trace_storage: stoa}
`

func startJaeger2(t *testing.T, all programs, storage, archive string) *jaeger {
	t.Helper()
	name, backend := "", ""
	if archive != "" {
		name, backend = ", traces_archive: archive", fmt.Sprintf("      archive: {grpc: {endpoint: %q, tls: {insecure: true}}}", archive)
	}
	return startJaeger2With(t, all, storage, name, backend)
}

// startJaeger2With starts Jaeger 2 with a further storage, which more of the configuration describes.
func startJaeger2With(t *testing.T, all programs, storage, name, backend string) *jaeger {
	t.Helper()
	a := freeAddresses(t, 3)
	file := filepath.Join(t.TempDir(), "jaeger.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, config2, a[0], a[1], a[2], storage, name, backend), 0o600); err != nil {
		t.Fatal(err)
	}
	return start(t, all.jaeger2, nil, "--config", file).jaeger(t, a)
}

func (p *process) jaeger(t *testing.T, a []string) *jaeger {
	t.Helper()
	j := &jaeger{process: p, otlp: "http://" + a[0] + "/v1/traces", query: "http://" + a[1]}
	p.await(t, j.query+"/api/services")
	return j
}
