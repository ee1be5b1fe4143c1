package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// TestMain has the coders made outside of tests whose time is virtual: what is made in such a test
// serves no other. After all tests it looks whether anybody wrote to the columns of zeros that batches share.
func TestMain(m *testing.M) {
	text := []byte("some text, some text, some text")
	codec.AppendZstdText(nil, text)
	if got, err := codec.DecodeZstd(nil, codec.AppendZstd(nil, text), len(text)); err != nil || !bytes.Equal(got, text) {
		panic(err)
	}
	code := m.Run()
	rows := 1 << 16
	b := (&span.Batch{
		TraceIDs: make([]span.TraceID, rows), Names: make([]span.TextID, rows), Kinds: make([]int32, rows),
		StatusPresent: make([]bool, rows), Flags: make([]uint32, rows),
	}).Compact()
	shared := &span.Batch{TraceIDs: make([]span.TraceID, 1), Flags: make([]uint32, 1)}
	if &b.Flags[0] != &shared.Compact().Flags[0] {
		fmt.Println("FAIL: columns of zeros are not shared")
		code = 1
	}
	for i := range rows {
		if b.Names[i] != 0 || b.Kinds[i] != 0 || b.StatusPresent[i] || b.Flags[i] != 0 {
			fmt.Printf("FAIL: place %d of a column that batches share was written to\n", i)
			code = 1
			break
		}
	}
	os.Exit(code)
}

// seeds gives how many seeds a test runs: few by default, STOA_TEST_SEEDS for the long run.
func seeds(t *testing.T, few int) int {
	t.Helper()
	if n, err := strconv.Atoi(os.Getenv("STOA_TEST_SEEDS")); err == nil && n > 0 {
		return n
	}
	if testing.Short() {
		return max(1, few/10)
	}
	return few
}

// world is a shard with its log, and the model of what both must hold.
type world struct {
	t       *testing.T
	rand    *rand.Rand
	gen     *enginetest.Generator
	model   *enginetest.Model
	disk    *vfs.Crash
	options engine.Options
	shard   *engine.Shard

	seq      uint64
	received int64

	mu        sync.Mutex
	log       map[uint64][]byte // entries still in the log
	truncated uint64
}

const worldDir = "shard-0"

func newWorld(t *testing.T, seed uint64, traces int) *world {
	w := &world{
		t: t, rand: rand.New(rand.NewPCG(seed, 1)), gen: enginetest.NewGenerator(seed, traces),
		model: enginetest.NewModel(), disk: vfs.NewCrash(seed), log: make(map[uint64][]byte),
		received: 1_767_225_600_000_000_000,
	}
	w.options = engine.Options{
		Dir: worldDir, Log: slog.New(slog.DiscardHandler), MemtableBytesMax: 40_000, ManualCompaction: true,
	}
	return w
}

// flushed drops from the log what the shard says it needs no more.
func (w *world) flushed(seq uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.truncated = max(w.truncated, seq)
	maps.DeleteFunc(w.log, func(at uint64, _ []byte) bool { return at <= seq })
}

// eachSegment visits the segment files of the shard's folder.
func (w *world) eachSegment(visit func(*segment.Segment)) {
	w.t.Helper()
	names, err := w.disk.List(worldDir)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".seg") {
			continue
		}
		s, err := segment.Open(w.disk, worldDir+"/"+name)
		if err != nil {
			w.t.Fatal(err)
		}
		visit(s)
		s.Close()
	}
}

// open opens the shard on the world's disk and replays the log.
func (w *world) open() error {
	w.options.FS = w.disk
	s, err := engine.Open(w.options)
	if err != nil {
		return err
	}
	w.mu.Lock()
	log, truncated := maps.Clone(w.log), w.truncated
	w.mu.Unlock()
	if s.Flushed() < truncated {
		w.t.Fatalf("flushed through %d, but the log was dropped through %d", s.Flushed(), truncated)
	}
	w.flushed(s.Flushed()) // an owner may drop so much of the log from now on
	for _, seq := range slices.Sorted(maps.Keys(log)) {
		if seq <= s.Flushed() {
			continue
		}
		entry, err := engine.DecodeEntry(log[seq])
		if err != nil {
			w.t.Fatalf("entry %d: %v", seq, err)
		}
		if _, err := s.Apply(seq, entry); err != nil {
			_ = s.Close()
			return err
		}
	}
	w.shard = s
	return nil
}

func (w *world) mustOpen() {
	w.t.Helper()
	if err := w.open(); err != nil {
		w.t.Fatalf("open: %v", err)
	}
	w.t.Cleanup(func() { _ = w.shard.Close() })
}

// partOf is what a request makes, as a proposer has it. Bytes that are no request stand for
// a form that nobody can read.
func partOf(request []byte) engine.Part {
	batch, _, err := otlp.Walk(request)
	if err != nil {
		return engine.Part{Hash: codec.HashBytes(request), Bytes: len(request), Form: request}
	}
	return engine.NewPart(batch, len(request))
}

// append puts an entry into the log, from where on it must never be lost, and applies it.
func (w *world) append(parts ...[]byte) error {
	w.flushed(w.shard.Flushed())
	e := &engine.Entry{Received: w.received}
	for _, payload := range parts {
		batch, err := w.model.Add(payload)
		if err != nil {
			w.t.Fatalf("walk: %v", err)
		}
		p := engine.NewPart(batch, len(payload))
		if w.rand.IntN(2) == 0 {
			p.Batch = nil
		}
		e.Parts = append(e.Parts, p)
	}
	w.seq++
	w.mu.Lock()
	w.log[w.seq] = e.AppendBinary(nil)
	w.mu.Unlock()
	_, err := w.shard.Apply(w.seq, e)
	return err
}

// waitForFlushes waits until every memtable that was sealed is a segment.
func (w *world) waitForFlushes() {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); w.shard.Stats().Frozen > 0; time.Sleep(50 * time.Microsecond) {
		if time.Now().After(deadline) {
			w.t.Fatal("no flush in a minute")
		}
	}
}

// later moves the proposer's clock, now and then to another window or backwards.
func (w *world) later() {
	switch w.rand.IntN(12) {
	case 0:
		w.received += int64(40 * time.Minute)
	case 1:
		w.received -= int64(time.Minute)
	default:
		w.received += int64(w.rand.IntN(8)) * int64(time.Second)
	}
}

// restart closes the shard and opens it again: cleanly, after a kill, or after a power cut.
func (w *world) restart(how int) error {
	if how == 0 {
		_ = w.shard.Close()
		return w.open()
	}
	w.disk.StopAt(1) // first: what the log drops now was done before
	w.flushed(w.shard.Flushed())
	next := w.disk.KillCopy
	if how > 1 {
		next = w.disk.Crash
	}
	disk := next()
	_ = w.shard.Close()
	w.disk = disk
	return w.open()
}

// check compares every answer of the shard with the model's.
func (w *world) check(queries int) {
	w.t.Helper()
	checkAnswers(w.t, w.shard, w.model)
	for range queries {
		q := w.gen.Query(w.model)
		got, err := w.shard.Find(context.Background(), q)
		if err != nil {
			w.t.Fatalf("find %+v: %v", q, err)
		}
		want := w.model.Find(q)
		if diff := cmp.Diff(want, got); diff != "" && len(want)+len(got) > 0 {
			w.t.Fatalf("find %+v (-want +got):\n%s", q, diff)
		}
		w.checkSpans(q)
		low, high := q.StartMin, q.StartMax
		checkEdges(w.t, w.shard, w.model, low, high)
		rates := w.gen.RateQuery(w.model)
		w.checkRates(rates)
		checkEdges(w.t, w.shard, w.model, rates.StartMin, rates.StartMax)
		w.checkPaths(w.gen.PathQuery(w.model))
	}
}

// checkSpans compares the distinct matching spans, each by its ids, and gives their number.
func (w *world) checkSpans(q span.Query) int {
	w.t.Helper()
	type key struct {
		trace span.TraceID
		id    span.SpanID
		start uint64
	}
	count := func(rows []span.Row) map[key]int {
		counts := make(map[key]int)
		for _, row := range rows {
			counts[key{row.TraceID(), row.SpanID(), row.Start()}]++
		}
		return counts
	}
	var got []span.Row
	err := w.shard.Spans(context.Background(), q, func(row span.Row) error {
		got = append(got, row)
		return nil
	})
	if err != nil {
		w.t.Fatalf("spans %+v: %v", q, err)
	}
	if want, got := count(w.model.Matching(q)), count(got); !maps.Equal(want, got) {
		w.t.Fatalf("spans %+v (-want +got):\n%s", q, cmp.Diff(want, got))
	}
	return len(got)
}

func checkAnswers(t *testing.T, s *engine.Shard, m *enginetest.Model) {
	t.Helper()
	ctx := context.Background()
	var found []span.Found
	var summaries []span.Summary
	for _, id := range m.TraceIDs() {
		checkTrace(t, s, m, id)
		found = append(found, span.Found{TraceID: id})
		summaries = append(summaries, m.Summary(id))
	}
	for range 2 { // made, as they were kept
		got, err := s.Summaries(ctx, found)
		if err != nil {
			t.Fatalf("summaries: %v", err)
		}
		if diff := cmp.Diff(summaries, got); diff != "" && len(found) > 0 {
			t.Fatalf("summaries (-want +got):\n%s", diff)
		}
	}
	services, err := s.Services(ctx)
	if err != nil || !slices.Equal(services, m.Services()) {
		t.Fatalf("services: %q, want %q (%v)", services, m.Services(), err)
	}
	for _, service := range append(services, "", "nobody") {
		operations, err := s.Operations(ctx, service)
		if err != nil {
			t.Fatalf("operations: %v", err)
		}
		set := make(map[span.Operation]bool)
		for _, o := range operations {
			set[o] = true
		}
		if diff := cmp.Diff(m.Operations(service), set); diff != "" {
			t.Fatalf("operations of %q (-want +got):\n%s", service, diff)
		}
	}
	checkEdges(t, s, m, 0, math.MaxUint64)
}

// checkTrace compares a trace as streamed: the same spans in the same order, each once.
func checkTrace(t *testing.T, s *engine.Shard, m *enginetest.Model, id span.TraceID) {
	t.Helper()
	want, err := m.Get(id)
	if err != nil {
		t.Fatalf("encode trace %s: %v", id, err)
	}
	var got [][]byte
	err = s.Get(context.Background(), id, func(chunk span.Chunk) error {
		got = append(got, bytes.Clone(chunk.Bytes))
		return nil
	})
	if err != nil {
		t.Fatalf("get %s: %v", id, err)
	}
	if !slices.EqualFunc(want, got, bytes.Equal) {
		t.Fatalf("trace %s: %d spans in %d messages, want %d in %d, or their content differs",
			id, spansIn(t, got), len(got), spansIn(t, want), len(want))
	}
	// The messages mend invalid UTF-8; what is stored is compared as it is.
	rows := m.Trace(id)
	at := 0
	err = s.Rows(context.Background(), id, func(row span.Row) error {
		if at >= len(rows) || !bytes.Equal(span.AppendContent(nil, row), span.AppendContent(nil, rows[at])) {
			t.Fatalf("trace %s: span %d of %d is not what was sent", id, at, len(rows))
		}
		at++
		return nil
	})
	if err != nil || at != len(rows) {
		t.Fatalf("rows of %s: %d of %d: %v", id, at, len(rows), err)
	}
}

func spansIn(t *testing.T, chunks [][]byte) int {
	t.Helper()
	n := 0
	for _, chunk := range chunks {
		b, _, err := otlp.Walk(chunk)
		if err != nil {
			t.Fatalf("walk of an answer: %v", err)
		}
		n += b.Len()
	}
	return n
}

// checkEdges compares the service graph with the model's, by cells and by every row.
func checkEdges(t *testing.T, s *engine.Shard, m *enginetest.Model, low, high uint64) {
	t.Helper()
	want := make(map[[2]string]counted)
	for edge, r := range m.EdgesRated(low, high) {
		want[edge] = countedOf(r)
	}
	for _, scan := range []bool{false, true} {
		edges := span.NewEdges()
		if err := s.Edges(context.Background(), span.EdgeQuery{StartMin: low, StartMax: high, Scan: scan}, edges); err != nil {
			t.Fatalf("edges: %v", err)
		}
		got := make(map[[2]string]counted)
		for _, e := range edges.Sorted() {
			got[[2]string{e.Parent, e.Child}] = counted{e.Calls, e.Errors, e.Durations.Total(), sizes(&e.Durations)}
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(counted{})); diff != "" {
			t.Fatalf("edges %d to %d, scan %v (-want +got):\n%s", low, high, scan, diff)
		}
	}
}

// counted is what was counted of spans.
type counted struct {
	spans, errors, total uint64
	durations            string
}

func countedOf(r enginetest.Rated) counted {
	var durations span.Durations
	for _, d := range r.Durations {
		durations.Add(d, 1)
	}
	return counted{r.Spans, r.Errors, uint64(len(r.Durations)), sizes(&durations)}
}

// edgesOf gives the calls of all time.
func edgesOf(s *engine.Shard) (map[[2]string]uint64, error) {
	edges := span.NewEdges()
	err := s.Edges(context.Background(), span.EdgeQuery{StartMax: math.MaxUint64}, edges)
	calls := make(map[[2]string]uint64)
	for _, e := range edges.Sorted() {
		calls[[2]string{e.Parent, e.Child}] = e.Calls
	}
	return calls, err
}

// errorIs fails the test where err is not target.
func errorIs(t *testing.T, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("error %v, want %v", err, target)
	}
}
