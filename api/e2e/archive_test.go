package e2e_test

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"syscall"
	"testing"
)

// archive asks as Jaeger's page does when somebody presses "Archive Trace".
func (j *jaeger) archive(t *testing.T, id string) int {
	t.Helper()
	answer, err := http.Post(j.query+"/api/archive/"+id, "application/json", nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close() // read to its end
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("archive %s: %d %.200s", id, answer.StatusCode, body)
	return answer.StatusCode
}

// anyTrace is the id of the longest sample, of one of them.
func anyTrace(want *truth) string {
	return slices.MaxFunc(slices.Sorted(maps.Keys(want.SampleTraces)), func(a, b string) int {
		return want.SampleTraces[a].Spans - want.SampleTraces[b].Spans
	})
}

// TestAnArchivedTraceOutlivesKillAndStore archives through each Jaeger's own endpoint,
// kills Stoa, and reads the trace through a Jaeger whose storage is another, empty Stoa:
// what it answers can only come from the archive.
func TestAnArchivedTraceOutlivesKillAndStore(t *testing.T) {
	all := built(t)
	r := recording{name: "hotrod", requests: 100}
	for _, g := range generations {
		t.Run(g.name, func(t *testing.T) {
			want := r.truth(t)
			folder := t.TempDir()
			stoa := startStoa(t, all.stoa, folder)
			j := g.start(t, all, stoa.storage, stoa.archive)
			j.load(t, stoa, r, want.Spans)
			id := anyTrace(want)
			if code := j.archive(t, id); code != http.StatusOK {
				t.Fatalf("archive: %d", code)
			}
			if code := j.archive(t, "00000000000000000000000000abcdef"); code != http.StatusNotFound {
				t.Errorf("archiving an unknown trace: %d, want 404", code)
			}
			stoa.end(syscall.SIGKILL)
			j.end(syscall.SIGKILL)

			again, empty := startStoa(t, all.stoa, folder), startStoa(t, all.stoa, t.TempDir())
			j = g.start(t, all, empty.storage, again.archive)
			archived := *want
			archived.SampleTraces = map[string]sampleTrace{id: want.SampleTraces[id]}
			j.checkTraces(t, &archived)
			for other := range want.SampleTraces {
				if other != id && j.ask(t, "/api/traces/"+other, nil, nil) != http.StatusNotFound {
					t.Errorf("trace %s was not archived and is there", other)
				}
			}
			var services []string
			if j.ask(t, "/api/services", nil, &services); len(services) > 0 {
				t.Errorf("what is archived shows among the services: %q", services)
			}
		})
	}
}
