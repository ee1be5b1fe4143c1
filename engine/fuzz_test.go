package engine_test

import (
	"context"
	"encoding/binary"
	"log/slog"
	"slices"
	"testing"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
	"github.com/stoadb/stoa/internal/vfs"
)

// contents are the distinct spans of each trace, by everything that they say.
type contents map[span.TraceID]map[string]bool

func (c contents) add(b *span.Batch) {
	for pos := range b.Len() {
		row := span.Row{Batch: b, Pos: pos}
		if c[row.TraceID()] == nil {
			c[row.TraceID()] = make(map[string]bool)
		}
		c[row.TraceID()][string(span.AppendContent(nil, row))] = true
	}
}

// check compares the rows of each trace with what was sent: nothing less, nothing else,
// nothing twice.
func (c contents) check(t *testing.T, s *engine.Shard, when string) {
	t.Helper()
	for id, want := range c {
		got := make(map[string]bool)
		err := s.Rows(context.Background(), id, func(row span.Row) error {
			content := string(span.AppendContent(nil, row))
			if !want[content] {
				t.Errorf("%s: trace %s holds a span that nobody sent: %q", when, id, content)
			}
			if got[content] {
				t.Errorf("%s: trace %s holds a span twice: %q", when, id, content)
			}
			got[content] = true
			return nil
		})
		if err != nil || len(got) != len(want) {
			t.Fatalf("%s: trace %s holds %d spans of %d: %v", when, id, len(got), len(want), err)
		}
	}
}

// everySecond is another request with half of the batch's spans: the same spans, other
// bytes, so that no hash tells that they were here before.
func everySecond(t *testing.T, b *span.Batch) engine.Part {
	t.Helper()
	var rows []span.Row
	for pos := 0; pos < b.Len(); pos += 2 {
		rows = append(rows, span.Row{Batch: b, Pos: pos})
	}
	p := partOf(otlp.AppendTraces(nil, rows))
	p.Batch = nil // Apply reads the form
	return p
}

// FuzzRoundTrip stores any request that is OTLP, and half of it once more in other bytes:
// memtable, one segment, two segments and the merged one hold every distinct span of every
// trace once, equal in all that it says.
func FuzzRoundTrip(f *testing.F) {
	for seed := range uint64(40) {
		f.Add(enginetest.Payload(enginetest.NewGenerator(seed, 1+int(seed%5)).Spans(1 + int(seed))))
	}
	f.Add(enginetest.Telling())
	for _, request := range oddRequests() {
		if parts, _, err := otlp.Cut(request, 1, firstShard); err != nil || len(parts) != 1 {
			f.Fatalf("a seed is not OTLP or holds no span: %x: %v", request, err)
		}
		f.Add(request)
	}
	f.Fuzz(roundTrip)
}

func firstShard(span.TraceID) int { return 0 }

func roundTrip(t *testing.T, request []byte) {
	cut, _, err := otlp.Cut(request, 1, firstShard)
	if err != nil || len(cut) == 0 {
		return
	}
	want := make(contents)
	first, second := &engine.Entry{Received: 1_767_225_600_000_000_000}, &engine.Entry{Received: 1_767_225_601_000_000_000}
	for _, part := range cut {
		want.add(part.Batch)
		first.Parts = append(first.Parts, engine.NewPart(part.Batch, part.Bytes))
		second.Parts = append(second.Parts, everySecond(t, part.Batch))
	}
	s, err := engine.Open(engine.Options{FS: vfs.NewCrash(1), Dir: worldDir, Log: slog.New(slog.DiscardHandler), ManualCompaction: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	apply := func(seq uint64, e *engine.Entry) func(context.Context) error {
		return func(context.Context) error {
			_, err := s.Apply(seq, e)
			return err
		}
	}
	for _, step := range []struct {
		when string
		do   func(context.Context) error
	}{
		{"in memory", apply(1, first)},
		{"in a segment", s.Flush},
		{"in a segment, half in memory too", apply(2, second)},
		{"in two segments", s.Flush},
		{"merged", s.Compact},
	} {
		if err := step.do(context.Background()); err != nil {
			t.Fatalf("%s: %v", step.when, err)
		}
		want.check(t, s, step.when)
	}
	if n := s.Stats().Quarantined; n != 0 {
		t.Fatalf("%d parts set aside", n)
	}
}

// field is a protobuf field of bytes.
func field(number int, parts ...[]byte) []byte {
	value := slices.Concat(parts...)
	return append(binary.AppendUvarint(binary.AppendUvarint(nil, uint64(number<<3|2)), uint64(len(value))), value...)
}

// varint is a protobuf field of a number.
func varint(number int, v uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(nil, uint64(number<<3)), v)
}

// flags is a protobuf field of 32 bits, all set.
func flags(number int) []byte {
	return append(binary.AppendUvarint(nil, uint64(number<<3|5)), 0xff, 0xff, 0xff, 0xff)
}

// oddRequests are requests of one span each with what the generator has not: what no
// encoder writes and every decoder takes.
func oddRequests() [][]byte {
	const highest = 1<<64 - 1
	ids := slices.Concat(field(1, []byte("0123456789abcdef")), field(2, []byte("01234567")))
	one := func(fields ...[]byte) []byte {
		return field(1, field(2, field(2, ids, slices.Concat(fields...))))
	}
	attr := func(value ...[]byte) []byte { return field(9, field(1, []byte("k")), field(2, value...)) }
	text := func(s string) []byte { return field(1, []byte(s)) }
	return [][]byte{
		one(),
		one(varint(6, highest), varint(16, highest), varint(10, highest)), // numbers beyond their type
		one(flags(16), field(13, flags(6))),
		one(field(7, []byte("text")), varint(5, 3)),     // other wire types than the schema's
		one([]byte{0x9b, 0x06, 0x08, 0x01, 0x9c, 0x06}), // a group
		one(varint(6, 2), varint(6, 3), field(5, []byte("a")), field(5, []byte("b"))),
		one(field(15, varint(3, 2)), field(15, text2("later"))),        // a status in two halves
		one(attr(text("a"), varint(2, 1)), attr(varint(3, 1)), attr()), // two kinds, a key twice, none
		one(field(9), field(9, field(2, text("no key")))),
		one(attr(field(5)), attr(field(6)), attr(field(5, field(1)))), // empty list, map, value in a list
		one(attr(text("a"), field(77, []byte("later")))),
		one(field(4, []byte("odd")), field(3, []byte{0xff})),
		one(field(11), field(11, field(3, field(1, []byte("k")))), field(13)),
		one(field(13, field(1, []byte("short")), field(2, make([]byte, 40)), varint(6, highest))),
		slices.Concat(one(varint(6, 1)), field(1, field(1, field(1, field(1, []byte("service.name")))),
			field(1, varint(2, 7)), field(2, field(1, field(1)), field(1, field(2)), field(2, ids)), field(99))),
	}
}

// text2 is a text in the field that a status has for its message.
func text2(s string) []byte { return field(2, []byte(s)) }
