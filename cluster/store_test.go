package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
	"github.com/stoadb/stoa/internal/vfs"
	"github.com/stoadb/stoa/wal"
)

// small makes everything happen early: files roll, memtables seal.
func small(disk vfs.FS) cluster.Options {
	return cluster.Options{
		FS: disk, Shards: 3, Log: wal.Options{FileBytes: 64 << 10},
		MemtableBytesMax: 40 << 10, ReserveBytes: -1, Heartbeat: make(chan time.Time),
	}
}

// open opens a store that the test's end closes, if the test did not.
func open(t testing.TB, o cluster.Options) *cluster.Store {
	t.Helper()
	s, err := cluster.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

func write(t testing.TB, s *cluster.Store, request []byte) {
	t.Helper()
	if _, err := s.Write(context.Background(), request); err != nil {
		t.Fatalf("Write: %v", err)
	}
}

func shut(t testing.TB, s *cluster.Store) {
	t.Helper()
	if err := s.Close(context.Background()); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

// contents are the spans of chunks as they can be compared, in order.
func contents(chunks [][]byte) ([]string, error) {
	var all []string
	for _, chunk := range chunks {
		b, _, err := otlp.Walk(chunk)
		if err != nil {
			return nil, err
		}
		for pos := range b.Len() {
			all = append(all, string(span.AppendContent(nil, span.Row{Batch: b, Pos: pos})))
		}
	}
	return all, nil
}

func traceOf(t testing.TB, s *cluster.Store, id span.TraceID) []string {
	t.Helper()
	var chunks [][]byte
	err := s.Get(context.Background(), id, func(chunk span.Chunk) error {
		chunks = append(chunks, bytes.Clone(chunk.Bytes))
		return nil
	})
	if err != nil {
		t.Fatalf("Get %v: %v", id, err)
	}
	got, err := contents(chunks)
	if err != nil {
		t.Fatalf("trace %v: %v", id, err)
	}
	return got
}

func modelTraceOf(t testing.TB, m *enginetest.Model, id span.TraceID) []string {
	t.Helper()
	chunks, err := m.Get(id)
	if err != nil {
		t.Fatal(err)
	}
	want, err := contents(chunks)
	if err != nil {
		t.Fatal(err)
	}
	return want
}

// sameAnswers asks the store everything, and some random questions, and compares with
// the slow model.
func sameAnswers(t testing.TB, s *cluster.Store, m *enginetest.Model, g *enginetest.Generator, questions int) {
	t.Helper()
	ctx := context.Background()
	for _, id := range m.TraceIDs() {
		if got, want := traceOf(t, s, id), modelTraceOf(t, m, id); !slices.Equal(got, want) {
			t.Fatalf("trace %v: %d spans, want %d", id, len(got), len(want))
		}
	}
	spans := 0
	err := s.Spans(ctx, span.AllTime(), func(span.Row) error {
		spans++
		return nil
	})
	if err != nil || spans != m.Spans() {
		t.Fatalf("%d spans, %v; want %d", spans, err, m.Spans())
	}
	sameCatalog(t, s, m)
	samePaths(t, s, m, g)
	for range questions {
		q := g.Query(m)
		got, err := s.Find(ctx, q)
		if want := m.Find(q); err != nil || !slices.Equal(got, want) {
			t.Fatalf("Find %+v:\n%v, %v; want\n%v", q, got, err, want)
		}
		summaries, err := s.Summaries(ctx, q)
		if err != nil || len(summaries) != len(got) {
			t.Fatalf("Summaries %+v: %d, %v; want %d", q, len(summaries), err, len(got))
		}
		for i, f := range got {
			if have, want := fmt.Sprintf("%+v", summaries[i]), fmt.Sprintf("%+v", m.Summary(f.TraceID)); have != want {
				t.Fatalf("summary %d of %+v:\n%s, want\n%s", i, q, have, want)
			}
		}
	}
}

func sameCatalog(t testing.TB, s *cluster.Store, m *enginetest.Model) {
	t.Helper()
	ctx := context.Background()
	services, err := s.Services(ctx)
	if want := m.Services(); err != nil || !slices.Equal(services, want) {
		t.Fatalf("services %q, %v; want %q", services, err, want)
	}
	operations, err := s.Operations(ctx, "")
	if want := m.Operations(""); err != nil || len(operations) != len(want) {
		t.Fatalf("%d operations, %v; want %d", len(operations), err, len(want))
	}
	for i, o := range operations {
		if !m.Operations("")[o] || i > 0 && !operationBefore(operations[i-1], o) {
			t.Fatalf("operation %d, %+v, is not the model's or out of order", i, o)
		}
	}
	edges, err := s.Edges(ctx, 0, span.AllTime().StartMax)
	want := m.Edges(0, span.AllTime().StartMax)
	if err != nil || len(edges) != len(want) {
		t.Fatalf("%d edges, %v; want %d", len(edges), err, len(want))
	}
	for _, e := range edges {
		if want[[2]string{e.Parent, e.Child}] != e.Calls {
			t.Fatalf("edge %+v, want %d calls", e, want[[2]string{e.Parent, e.Child}])
		}
	}
}

func operationBefore(a, b span.Operation) bool {
	if a.Service != b.Service {
		return a.Service < b.Service
	}
	if a.Name != b.Name {
		return a.Name < b.Name
	}
	return a.Kind < b.Kind
}

// TestEveryNumberOfShardsAnswersAlike: fan-out, order, exact limit, summaries, catalog
// and graph against the slow model, in memory, flushed, compacted and after a restart.
func TestEveryNumberOfShardsAnswersAlike(t *testing.T) {
	for _, shards := range []int{1, 2, 4, 7} {
		t.Run(fmt.Sprint(shards), func(t *testing.T) {
			g, m := enginetest.NewGenerator(uint64(shards), 25), enginetest.NewModel()
			disk := vfs.NewCrash(1)
			o := small(disk)
			o.Shards, o.MemtableBytesMax = shards, 1<<20
			s := open(t, o)
			for range 12 {
				request := enginetest.Payload(g.Spans(20))
				if _, err := m.Add(request); err != nil {
					t.Fatal(err)
				}
				write(t, s, request)
			}
			const questions = 40
			sameAnswers(t, s, m, g, questions)
			steps := map[string]func(context.Context) error{"flush": s.Flush, "compact": s.Compact}
			for _, step := range []string{"flush", "compact"} {
				if err := steps[step](context.Background()); err != nil {
					t.Fatalf("%s: %v", step, err)
				}
				sameAnswers(t, s, m, g, questions)
			}
			shut(t, s)
			o.Shards = 0 // as the folder says
			sameAnswers(t, open(t, o), m, g, questions)
		})
	}
}

func TestAnotherShardCountIsRefused(t *testing.T) {
	disk := vfs.NewCrash(1)
	shut(t, open(t, small(disk)))
	o := small(disk)
	o.Shards = 5
	if _, err := cluster.Open(context.Background(), o); err == nil || !bytes.Contains([]byte(err.Error()), []byte("has 3 shards, 5 were asked for")) {
		t.Errorf("opening 3 shards as 5: %v", err)
	}
	o.Shards = 3 // the refusal let go of everything
	shut(t, open(t, o))
}

func TestSecondOpenIsRefused(t *testing.T) {
	disk := vfs.NewCrash(1)
	s := open(t, small(disk))
	if _, err := cluster.Open(context.Background(), small(disk)); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("a second process: %v", err)
	}
	if _, err := cluster.Verify(disk, func(error) {}); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("verify beside a server: %v", err)
	}
	shut(t, s)
}

func TestFolderWithoutItsEpochIsRefused(t *testing.T) {
	disk := vfs.NewCrash(1)
	shut(t, open(t, small(disk)))
	if err := disk.Remove("epoch"); err != nil {
		t.Fatal(err)
	}
	if _, err := cluster.Open(context.Background(), small(disk)); err == nil {
		t.Error("a folder with data and no epoch record was opened as if it were new")
	}
}

func TestMissingLogIsAnErrorWhereSegmentsKnowBetter(t *testing.T) {
	disk := vfs.NewCrash(1)
	s := open(t, small(disk))
	write(t, s, enginetest.Payload(enginetest.NewGenerator(1, 9).Spans(50)))
	shut(t, s)
	names, err := disk.List("log")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := disk.Remove("log/" + name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := cluster.Open(context.Background(), small(disk)); err == nil {
		t.Error("opened although the log is gone")
	}
}

// TestPoisonedLogStopsWritesNotReads: each call that an append makes fails once.
func TestPoisonedLogStopsWritesNotReads(t *testing.T) {
	for k := 1; k <= 2; k++ { // the write, the sync
		disk := vfs.NewCrash(1)
		o := small(disk)
		o.MemtableBytesMax = 1 << 20
		s := open(t, o)
		g, m := enginetest.NewGenerator(7, 9), enginetest.NewModel()
		request := enginetest.Payload(g.Spans(30))
		if _, err := m.Add(request); err != nil {
			t.Fatal(err)
		}
		write(t, s, request)
		failure := errors.New("bad sector")
		disk.FailAt(k, failure)
		inDoubt := enginetest.Payload(g.Spans(30))
		if _, err := s.Write(context.Background(), inDoubt); !errors.Is(err, span.ErrUnavailable) {
			t.Fatalf("call %d failed, the write was answered %v", k, err)
		}
		if err := <-s.Fatal(); !errors.Is(err, failure) {
			t.Errorf("Fatal says %v", err)
		}
		if _, err := s.Write(context.Background(), request); !errors.Is(err, span.ErrUnavailable) {
			t.Errorf("a write after the failure was answered %v", err)
		}
		if err := s.Ready(); err == nil {
			t.Error("ready with a failed log")
		}
		sameAnswers(t, s, m, g, 5)
		if err := s.Close(context.Background()); !errors.Is(err, failure) {
			t.Errorf("Close says %v", err)
		}
		// What was in doubt may be there or not; sent again it is there once.
		o.FS = disk.Crash()
		s = open(t, o)
		write(t, s, inDoubt)
		if _, err := m.Add(inDoubt); err != nil {
			t.Fatal(err)
		}
		sameAnswers(t, s, m, g, 5)
	}
}

// TestRefusedPartIsQuarantinedAndTheNextStartServes: a part that passed the door and cannot
// be applied is set aside and counted, at every start again, and costs no other part.
func TestRefusedPartIsQuarantinedAndTheNextStartServes(t *testing.T) {
	g, m := enginetest.NewGenerator(3, 9), enginetest.NewModel()
	poison := g.Spans(1)
	o := small(vfs.NewCrash(1))
	o.MemtableBytesMax = 1 << 20
	o.CheckPart = func(b *span.Batch) error {
		if b.Len() == 1 && b.TraceIDs[0] == poison[0].TraceID {
			return errors.New("injected")
		}
		return nil
	}
	s := open(t, o)
	write(t, s, enginetest.Payload(poison)) // valid at the door: acknowledged
	for range 3 {
		request := enginetest.Payload(g.Spans(40))
		if _, err := m.Add(request); err != nil {
			t.Fatal(err)
		}
		write(t, s, request)
	}
	for start := range 3 {
		quarantined := 0
		for _, shard := range s.Stats().Shards {
			quarantined += shard.Quarantined
		}
		if quarantined != 1 {
			t.Fatalf("start %d: %d parts in quarantine", start, quarantined)
		}
		if err := s.Ready(); err == nil {
			t.Errorf("start %d: ready, although a part stands in quarantine", start)
		}
		sameAnswers(t, s, m, g, 5)
		disk := o.FS.(*vfs.Crash)
		if start == 1 {
			shut(t, s)
		}
		o.FS = disk.KillCopy()
		s = open(t, o)
	}
}

func TestAlmostFullDiskStopsWritesNotReads(t *testing.T) {
	disk := vfs.NewCrash(1)
	o := small(disk)
	o.ReserveBytes = 4 << 20
	s := open(t, o)
	g, m := enginetest.NewGenerator(5, 9), enginetest.NewModel()
	request := enginetest.Payload(g.Spans(30))
	if _, err := m.Add(request); err != nil {
		t.Fatal(err)
	}
	write(t, s, request)
	disk.SetFree(4<<20 - 1)
	if _, err := s.Write(context.Background(), request); !errors.Is(err, span.ErrUnavailable) {
		t.Errorf("a write into the reserve was answered %v", err)
	}
	if s.Ready() == nil {
		t.Error("ready with a full disk")
	}
	sameAnswers(t, s, m, g, 5)
	if err := s.Flush(context.Background()); err != nil { // what the reserve is for
		t.Errorf("flush: %v", err)
	}
	sameAnswers(t, s, m, g, 5)
	disk.SetFree(-1) // and on it goes, without a restart
	more := enginetest.Payload(g.Spans(30))
	if _, err := m.Add(more); err != nil {
		t.Fatal(err)
	}
	write(t, s, more)
	if err := s.Ready(); err != nil {
		t.Errorf("not ready after room came back: %v", err)
	}
	sameAnswers(t, s, m, g, 5)
}

// TestMemtablesCountWhatSpansTake: spans that take more than half of their request in memory count as more than it.
func TestMemtablesCountWhatSpansTake(t *testing.T) {
	o := small(vfs.NewCrash(1))
	o.MemtableBytesMax = 1 << 30
	s := open(t, o)
	request := enginetest.Varied(2000)
	write(t, s, request)
	counted := 0
	for _, shard := range s.Stats().Shards {
		counted += shard.MemtableBytes
	}
	if counted < 2*len(request) {
		t.Errorf("%d bytes are counted of a request of %d", counted, len(request))
	}
}
