package jaegerv1

import (
	"encoding/binary"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/stoadb/stoa/api/pb/apiv2"
	"github.com/stoadb/stoa/internal/codec"
)

// The rest of a span is what its OTLP form does not say, as the way from the plain span,
// the one that Jaeger's adapter makes of that form, to the span itself:
//
//	1 byte: version, 1
//	uvarint: which parts follow, a bit each, in this order
//	  bit 0  flags            uvarint
//	  bit 1  start time       varint: seconds | uvarint: nanoseconds
//	  bit 2  duration         varint: nanoseconds
//	  bit 3  process id       uvarint: length | text
//	  bit 4  no process       nothing
//	  bit 5  tags             list of KeyValue
//	  bit 6  tags of process  list of KeyValue
//	  bit 7  references       list of SpanRef
//	  bit 8  logs             list of Log
//
//	list: uvarint: items of the plain list | uvarint: steps | the steps
//	step: uvarint: 2n, n > 0 | uvarint: from   n items of the plain list, from item from
//	      uvarint: 2n+1 | n bytes              an item, as protobuf message
//
// Varints are those of protobuf, "varint" in zigzag form. Each item of a plain list is
// taken at most once: a rest cannot name more items than there are bytes. A part that is
// the same in the plain span is not there, and a span that is the same has no rest.
//
// Most clients write flags, span.kind between other tags, and an error without a status
// code. That is some 15 bytes, the same ones for all spans of an operation: a column of
// them takes next to nothing.

const restVersion = 1

const (
	restFlags = 1 << iota
	restStart
	restDuration
	restProcessID
	restNoProcess
	restTags
	restProcessTags
	restReferences
	restLogs
	restKnown = 1<<iota - 1
)

// appendRest appends the way from plain to s; nothing where they are the same. Both are
// of the form that Normalize gives. Lists that would make it longer than an attribute
// may be are left out: plain's take their place.
func appendRest(dst []byte, s, plain *apiv2.Span) []byte {
	lists := appendRestLists(s, plain)
	rest := appendRestOf(nil, s, plain, lists)
	if len(rest) > restBytesMax {
		rest = appendRestOf(nil, s, plain, restLists{})
	}
	return append(dst, rest...)
}

// restLists are the encoded lists; nil is the same.
type restLists struct{ tags, processTags, references, logs []byte }

func appendRestLists(s, plain *apiv2.Span) restLists {
	lists := restLists{
		tags:       appendList(nil, s.GetTags(), plain.GetTags()),
		references: appendList(nil, s.GetReferences(), plain.GetReferences()),
		logs:       appendList(nil, s.GetLogs(), plain.GetLogs()),
	}
	if s.GetProcess() != nil {
		lists.processTags = appendList(nil, s.GetProcess().GetTags(), plain.GetProcess().GetTags())
	}
	return lists
}

func appendRestOf(dst []byte, s, plain *apiv2.Span, lists restLists) []byte {
	parts := uint64(0)
	var body []byte
	if s.GetFlags() != plain.GetFlags() {
		parts |= restFlags
		body = binary.AppendUvarint(body, uint64(s.GetFlags()))
	}
	if !proto.Equal(s.GetStartTime(), plain.GetStartTime()) {
		parts |= restStart
		body = binary.AppendVarint(body, s.GetStartTime().GetSeconds())
		body = binary.AppendUvarint(body, uint64(s.GetStartTime().GetNanos()))
	}
	if !proto.Equal(s.GetDuration(), plain.GetDuration()) {
		parts |= restDuration
		body = binary.AppendVarint(body, int64(s.GetDuration().AsDuration()))
	}
	if s.GetProcessId() != plain.GetProcessId() {
		parts |= restProcessID
		body = codec.AppendLengthBytes(body, []byte(s.GetProcessId()))
	}
	if s.GetProcess() == nil {
		parts |= restNoProcess
	}
	for i, list := range [][]byte{lists.tags, lists.processTags, lists.references, lists.logs} {
		if list != nil {
			parts |= restTags << i
			body = append(body, list...)
		}
	}
	if parts == 0 {
		return dst
	}
	return append(binary.AppendUvarint(append(dst, restVersion), parts), body...)
}

// appendList appends the way from plain to items; nothing where they are the same.
func appendList[T proto.Message](dst []byte, items, plain []T) []byte {
	if isSameList(items, plain) {
		return dst
	}
	free := map[string][]int{} // places in plain by content, the first first
	for i, item := range plain {
		content := contentOf(item)
		free[content] = append(free[content], i)
	}
	var steps []byte
	count, run, from := 0, 0, 0
	flush := func() {
		if run > 0 {
			steps = binary.AppendUvarint(binary.AppendUvarint(steps, uint64(run)*2), uint64(from))
			count, run = count+1, 0
		}
	}
	for _, item := range items {
		content := contentOf(item)
		places := free[content]
		if len(places) == 0 {
			flush()
			steps = append(binary.AppendUvarint(steps, uint64(len(content))*2+1), content...)
			count++
			continue
		}
		free[content] = places[1:]
		if run > 0 && places[0] == from+run {
			run++
			continue
		}
		flush()
		run, from = 1, places[0]
	}
	flush()
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(len(plain))), uint64(count))
	return append(dst, steps...)
}

func isSameList[T proto.Message](a, b []T) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !proto.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

// contentOf is equal for equal messages; texts are valid, so that encoding cannot fail.
func contentOf(m proto.Message) string {
	content, _ := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	return string(content)
}

// applyRest turns a plain span into the one that its rest tells of. After an error,
// which is codec.ErrCorrupt, s is as it was. A list that is not of the length that the
// rest expects was cut on the way: it stays as it is.
func applyRest(s *apiv2.Span, rest []byte) error {
	r := codec.NewReader(rest)
	if version := r.Uint8(); r.Err() == nil && version != restVersion {
		r.Fail("version %d, this program knows %d", version, restVersion)
	}
	parts := r.Uvarint()
	if parts&^restKnown != 0 {
		r.Fail("unknown parts %#x", parts)
	}
	changed := &apiv2.Span{
		TraceId: s.GetTraceId(), SpanId: s.GetSpanId(), OperationName: s.GetOperationName(), Warnings: s.GetWarnings(),
		Flags: s.GetFlags(), StartTime: s.GetStartTime(), Duration: s.GetDuration(), Process: s.GetProcess(),
	}
	readRestFields(r, parts, changed)
	changed.Tags = readList(r, parts&restTags != 0, s.GetTags(), newOf[apiv2.KeyValue])
	if processTags := readList(r, parts&restProcessTags != 0, s.GetProcess().GetTags(), newOf[apiv2.KeyValue]); parts&restProcessTags != 0 {
		changed.Process = &apiv2.Process{ServiceName: s.GetProcess().GetServiceName(), Tags: processTags}
	}
	changed.References = readList(r, parts&restReferences != 0, s.GetReferences(), newOf[apiv2.SpanRef])
	changed.Logs = readList(r, parts&restLogs != 0, s.GetLogs(), newOf[apiv2.Log])
	if parts&restNoProcess != 0 {
		changed.Process = nil
	}
	if r.Err() == nil && r.Len() > 0 {
		r.Fail("%d bytes behind the end", r.Len())
	}
	if r.Err() == nil { // whoever wrote it: one span must not make a trace unreadable
		if _, err := Normalize(changed); err != nil {
			r.Fail("%v", err)
		}
	}
	if r.Err() != nil {
		return r.Err()
	}
	s.Flags, s.StartTime, s.Duration = changed.GetFlags(), changed.GetStartTime(), changed.GetDuration()
	s.ProcessId, s.Process = changed.GetProcessId(), changed.GetProcess()
	s.Tags, s.References, s.Logs = changed.GetTags(), changed.GetReferences(), changed.GetLogs()
	return nil
}

func readRestFields(r *codec.Reader, parts uint64, s *apiv2.Span) {
	if parts&restFlags != 0 {
		flags := r.Uvarint()
		if flags > 1<<32-1 {
			r.Fail("flags %#x", flags)
		}
		s.Flags = uint32(flags)
	}
	if parts&restStart != 0 {
		seconds, nanos := r.Varint(), r.Uvarint()
		start := &timestamppb.Timestamp{Seconds: seconds, Nanos: int32(min(nanos, 1e9))}
		if err := start.CheckValid(); err != nil {
			r.Fail("start time: %v", err)
		}
		s.StartTime = start
	}
	if parts&restDuration != 0 {
		s.Duration = durationpb.New(time.Duration(r.Varint()))
	}
	if parts&restProcessID != 0 {
		s.ProcessId = string(r.LengthBytes())
		if !utf8.ValidString(s.GetProcessId()) {
			r.Fail("process id is no text")
		}
	}
}

// newOf makes an empty message of a type.
func newOf[T any]() *T { return new(T) }

// readList reads a list that is there, and makes it of plain; else it is plain.
func readList[T proto.Message](r *codec.Reader, isThere bool, plain []T, empty func() T) []T {
	if !isThere {
		return plain
	}
	expected := r.Uvarint()
	isCut := expected != uint64(len(plain))
	var taken []bool
	if !isCut {
		taken = make([]bool, len(plain))
	}
	var items []T
	steps := r.Count(1)
	if steps > partsMax {
		r.Fail("%d steps, at most %d", steps, partsMax)
		return plain
	}
	for range steps {
		step := r.Uvarint()
		if step&1 == 1 {
			item := empty()
			if step>>1 > uint64(r.Len()) {
				r.Fail("item of %d bytes with %d left", step>>1, r.Len())
			}
			content := r.Bytes(int(step >> 1))
			if r.Err() != nil {
				return plain
			}
			if err := proto.Unmarshal(content, item); err != nil {
				r.Fail("item: %v", err)
				return plain
			}
			items = append(items, item)
			continue
		}
		from, n := r.Uvarint(), step>>1
		if n == 0 || n > expected || from > expected-n {
			r.Fail("items %d to %d+%d of %d", from, from, n, expected)
		}
		if r.Err() != nil {
			return plain
		}
		for i := from; i < from+n && !isCut; i++ {
			if taken[i] {
				r.Fail("item %d is taken twice", i)
				return plain
			}
			taken[i] = true
			items = append(items, plain[i])
		}
	}
	if isCut {
		return plain
	}
	return items
}
