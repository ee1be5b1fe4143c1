package api_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/api/client"
	"github.com/stoadb/stoa/api/pb/apiv2"
	"github.com/stoadb/stoa/api/pb/storagev1"
	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
	"github.com/stoadb/stoa/wal"
)

// archivist is a Jaeger that speaks version 1 and has the two services of an archive.
type archivist struct {
	*firstJaeger
	writer storagev1.ArchiveSpanWriterPluginClient
	reader storagev1.ArchiveSpanReaderPluginClient
}

func startArchivist(t *testing.T, store served, archive api.Store) *archivist {
	t.Helper()
	jaeger := startFirst(t, store, api.Options{Archive: archive})
	return &archivist{jaeger, storagev1.NewArchiveSpanWriterPluginClient(jaeger.connection), storagev1.NewArchiveSpanReaderPluginClient(jaeger.connection)}
}

func (a *archivist) archiveSpans(t *testing.T, spans ...*apiv2.Span) {
	t.Helper()
	for _, s := range spans {
		if _, err := a.writer.WriteArchiveSpan(t.Context(), &storagev1.WriteSpanRequest{Span: s}); err != nil {
			t.Fatal(err)
		}
	}
}

func (a *archivist) archived(t *testing.T, id span.TraceID) ([]*apiv2.Span, error) {
	t.Helper()
	stream, err := a.reader.GetArchiveTrace(t.Context(), &storagev1.GetTraceRequest{TraceId: id[:]})
	_, spans, err := read(t, stream, err)
	return spans[id], err
}

// TestTheArchiveAndTheStoreKnowNothingOfEachOther, in version 1 and on the archive's own
// port, where later Jaegers ask.
func TestTheArchiveAndTheStoreKnowNothingOfEachOther(t *testing.T) {
	a := startArchivist(t, realStore(t, vfs.NewCrash(1)), realStore(t, vfs.NewCrash(2)))
	kept, stored := []*apiv2.Span{firstSpan(id(1), 1), firstSpan(id(1), 2)}, firstSpan(id(2), 1)
	kept[0].Process.ServiceName, kept[1].Process.ServiceName = "kept", "kept"
	a.archiveSpans(t, kept...)
	a.archiveSpans(t, kept...) // again, which stores nothing twice
	a.write(t, stored)

	got, err := a.archived(t, id(1))
	if diff := cmp.Diff(kept, got, protocmp.Transform()); diff != "" || err != nil {
		t.Errorf("archived: %v\n%s", err, diff)
	}
	for what, get := range map[string]func() ([]*apiv2.Span, error){
		"the stored trace in the archive": func() ([]*apiv2.Span, error) { return a.archived(t, id(2)) },
		"the archived trace in the store": func() ([]*apiv2.Span, error) { return a.get(t, id(1)) },
	} {
		if _, err := get(); status.Code(err) != codes.NotFound || status.Convert(err).Message() != "trace not found" {
			t.Errorf("%s: %v", what, err)
		}
	}

	archive, err := client.Dial(t.Context(), a.archive)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	for name, c := range map[string]struct {
		*client.Client
		services []string
		trace    span.TraceID
	}{
		"store":   {a.Client, []string{stored.GetProcess().GetServiceName()}, id(2)},
		"archive": {archive, []string{"kept"}, id(1)},
	} {
		services, err := c.Services(t.Context())
		if diff := cmp.Diff(c.services, services); diff != "" || err != nil {
			t.Errorf("%s: services: %v\n%s", name, err, diff)
		}
		ids, err := c.FindTraceIDs(t.Context(), span.AllTime())
		if len(ids) != 1 || ids[0] != c.trace || err != nil {
			t.Errorf("%s: found %v, %v", name, ids, err)
		}
	}
	if stats := a.Stats(); stats.SpansAccepted != 5 || stats.BytesInFlight != 0 || stats.QueriesRunning != 0 {
		t.Errorf("counted of both together: %+v", stats)
	}
}

// TestCapabilitiesTellOfAnArchive on the store's port, and of none on the archive's own.
func TestCapabilitiesTellOfAnArchive(t *testing.T) {
	a := startArchivist(t, &scripted{}, &scripted{})
	for name, c := range map[string]struct {
		storagev1.PluginCapabilitiesClient
		archive bool
	}{
		"storage": {storagev1.NewPluginCapabilitiesClient(a.connection), true},
		"archive": {storagev1.NewPluginCapabilitiesClient(connect(t, a.archive)), false},
	} {
		got, err := c.Capabilities(t.Context(), &storagev1.CapabilitiesRequest{})
		if err != nil || !proto.Equal(got, &storagev1.CapabilitiesResponse{ArchiveSpanReader: c.archive, ArchiveSpanWriter: c.archive}) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// TestTheRetentionOfTheStoreLeavesTheArchiveAlone: both are flushed, three hours pass.
func TestTheRetentionOfTheStoreLeavesTheArchiveAlone(t *testing.T) {
	var clock atomic.Int64 // unix nanoseconds
	clock.Store(time.Unix(1_800_000_000, 0).UnixNano())
	beats := make(chan time.Time)
	open := func(seed uint64, retention time.Duration) *cluster.Store {
		store, err := cluster.Open(t.Context(), cluster.Options{
			FS: vfs.NewCrash(seed), Shards: 1, ReserveBytes: -1, Retention: retention, Heartbeat: beats,
			Now: func() time.Time { return time.Unix(0, clock.Load()) }, Log: wal.Options{FileBytes: 1 << 20},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close(context.Background()) })
		return store
	}
	store, archive := open(1, time.Hour), open(2, 0)
	a := startArchivist(t, store, archive)
	spans := []*apiv2.Span{firstSpan(id(1), 1), firstSpan(id(1), 2)}
	a.write(t, spans...)
	a.archiveSpans(t, spans...)
	for _, s := range []*cluster.Store{store, archive} {
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	clock.Add(int64(3 * time.Hour))
	for end := time.Now().Add(time.Minute); ; {
		if _, err := a.get(t, id(1)); status.Code(err) == codes.NotFound {
			break
		}
		if time.Now().After(end) {
			t.Fatal("retention dropped nothing")
		}
		for range 4 { // both keepers take them
			beats <- time.Unix(0, clock.Load())
		}
	}
	if got, err := a.archived(t, id(1)); len(got) != 2 || err != nil {
		t.Errorf("archived: %d spans, %v", len(got), err)
	}
}
