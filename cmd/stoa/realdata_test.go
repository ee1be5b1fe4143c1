package main

import (
	"context"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/api/client"
	"github.com/stoadb/stoa/bench"
	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
)

// TestRealTracesAreAnsweredRightly loads the real traces over OTLP/gRPC and asks
// everything that the expected files answer, in four states: everything in memtables,
// flushed, compacted, and after a SIGKILL of the real binary and a restart.
func TestRealTracesAreAnsweredRightly(t *testing.T) {
	sets := []string{"jaeger-integration-fixtures", "ALL"}
	if testing.Short() {
		sets = sets[:1] // the race run: the large set takes minutes there
	}
	for _, name := range sets {
		t.Run(name, func(t *testing.T) {
			want := readExpected(t, name)
			files := make([]string, 0, len(want.Files))
			for _, file := range want.Files {
				files = append(files, filepath.Join(dataFolder, file))
			}
			inOneProcess(t, want, files)
			afterSIGKILL(t, want, files)
		})
	}
}

// inOneProcess checks three states of a store that is told to keep all in memory until
// it is asked to flush.
func inOneProcess(t *testing.T, want *expected, files []string) {
	ctx := context.Background()
	now := time.Now() // stands still: the next window would seal what has come in
	store := openStore(t, t.TempDir(), cluster.Options{
		MemtableBytesMax: 1 << 40, MemtableAge: 24 * time.Hour, LogBytesMax: 1 << 40, Now: func() time.Time { return now },
	})
	address := serveStore(t, store)
	loaded, err := bench.Load(ctx, address, 4, bench.Requests(files...))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "requests", loaded.Requests, want.Requests)
	equal(t, "spans rejected", loaded.Rejected, 0)
	ask := newAnswers(t, want, store, dial(t, address))
	state := func(name string, inMemory bool) {
		rows := 0
		for _, shard := range store.Stats().Shards {
			rows += shard.MemtableRows
		}
		if (rows == want.Spans) != inMemory || (rows == 0) == inMemory {
			t.Fatalf("state %s: %d of %d spans are in memtables", name, rows, want.Spans)
		}
		ask.all()
		if t.Failed() {
			t.Fatalf("wrong answers in state %s", name)
		}
	}
	state("memtable", true)
	if err := store.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	state("flushed", false)
	if err := store.Compact(ctx); err != nil {
		t.Fatal(err)
	}
	state("compacted", false)
}

// anonBytesMax is what the server's process may take of memory that only it answers for
// (RssAnon), under full load with readers beside: the promise for its own settings.
const anonBytesMax = 600 << 20

// afterSIGKILL loads through the real binary with its own settings, kills it once
// everything is acknowledged, and asks the folder that it left. While it loads, others ask,
// and its memory is watched.
func afterSIGKILL(t *testing.T, want *expected, files []string) {
	folder := t.TempDir()
	server := startServer(t, folder)
	watch := bench.NewWatch(server.PID())
	defer watch.Stop()
	stopAsking := keepAsking(t, server.Storage)
	_, err := bench.Load(t.Context(), server.Storage, 4, bench.Requests(files...))
	asked := stopAsking()
	if err != nil {
		t.Fatal(err)
	}
	used, err := watch.Usage()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("RssAnon at most %d MiB while %d questions were answered", used.AnonBytes>>20, asked)
	switch {
	case testing.Short(): // the small set proves nothing of memory
	case used.AnonBytes == 0 || asked == 0:
		t.Errorf("nothing was measured: RssAnon %d, %d questions", used.AnonBytes, asked)
	case used.AnonBytes > anonBytesMax:
		t.Errorf("RssAnon reached %d MiB, at most %d MiB are promised", used.AnonBytes>>20, anonBytesMax>>20)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	store := openStore(t, folder, cluster.Options{})
	if store.Recovery().Entries == 0 {
		t.Error("nothing was replayed: the kill came too late to prove anything")
	}
	newAnswers(t, want, store, dial(t, serveStore(t, store))).all()
}

// keepAsking starts two readers: one finds whole traces, one summaries and the service
// graph. stop ends them and says how many questions were answered.
func keepAsking(t *testing.T, address string) (stop func() int64) {
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	var answered atomic.Int64
	q := span.AllTime()
	q.Limit = 20
	edges := func(ctx context.Context, c bench.Asker, _ int) (int, error) {
		found, err := c.Dependencies(ctx, q.StartMin, q.StartMax)
		return len(found), err
	}
	for _, classes := range [][]bench.Class{
		{bench.FindClass("find", q)},
		{bench.SummaryClass("summaries", q), {Name: "graph", Ask: edges}},
	} {
		readers.Go(func() {
			c, err := client.Dial(ctx, address)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = c.Close() }() // nothing is in flight any more
			for i := 0; ctx.Err() == nil; i++ {
				class := classes[i%len(classes)]
				if _, err := class.Ask(ctx, c, i); err == nil {
					answered.Add(1)
				} else if ctx.Err() == nil {
					t.Errorf("%s under load: %v", class.Name, err)
					return
				}
			}
		})
	}
	return func() int64 {
		cancel()
		readers.Wait()
		return answered.Load()
	}
}

func openStore(t *testing.T, folder string, o cluster.Options) *cluster.Store {
	t.Helper()
	disk, err := vfs.NewOS(folder)
	if err != nil {
		t.Fatal(err)
	}
	o.FS = disk
	store, err := cluster.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return store
}

// serveStore serves a store of this process on a real socket.
func serveStore(t *testing.T, store *cluster.Store) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := api.NewServer(store, store, api.Options{})
	served := make(chan error, 1)
	go func() { served <- server.Serve(api.Listeners{Storage: listener}) }()
	t.Cleanup(func() {
		server.Stop(context.Background())
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}
