package otlp_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// attrsOf gives the attributes of the first span of the parts as key=text.
func attrsOf(parts []otlp.Part) []string {
	row := span.Row{Batch: parts[0].Batch}
	return texts(row.Batch, row.AppendAttrs(nil))
}

func texts(b *span.Batch, attrs []span.Attr) []string {
	var out []string
	for _, a := range attrs {
		out = append(out, b.String(a.Key)+"="+string(otlp.AppendText(nil, b, a)))
	}
	return out
}

func TestValuesNestedTooDeepAreReplacedAndCounted(t *testing.T) {
	deepMap := intValue(1)
	for range otlp.DepthMax + 1 {
		deepMap = mapValue(keyValue("k", deepMap))
	}
	for name, value := range map[string][]byte{
		"arrays":               nested(otlp.DepthMax+1, intValue(1)),
		"empty array inside":   nested(otlp.DepthMax, arrayValue()),
		"maps":                 deepMap,
		"beside a shallow one": arrayValue(intValue(1), nested(otlp.DepthMax, nil), arrayValue()),
		"as deep as permitted": nested(otlp.DepthRefused, nil),
		"with unknown parts":   msg(varintField(99, 1), nested(otlp.DepthMax+1, nil)),
	} {
		t.Run(name, func(t *testing.T) {
			parts, counts := promises(t, request(spanOf(attr("before", intValue(1)), attr("k", value), attr("after", intValue(2)))))
			if got, want := fmt.Sprint(attrsOf(parts)), "[before=1 k=(nested too deep) after=2]"; got != want || counts.NestedTooDeep != 1 {
				t.Errorf("%s, want %s; counts %+v", got, want, counts)
			}
		})
	}
}

func TestValuesNestedBeyondReasonRefuseTheRequest(t *testing.T) {
	deep := nested(otlp.DepthRefused+1, nil)
	group := groupField(1)
	for range otlp.DepthRefused {
		group = groupField(1, group)
	}
	pair := bytesField(1, keyValue("k", deep))
	for name, raw := range map[string][]byte{
		"span":             request(spanOf(attr("k", deep))),
		"dropped span":     request(attr("k", deep)),
		"event":            request(spanOf(bytesField(11, bytesField(3, keyValue("k", deep))))),
		"link":             request(spanOf(bytesField(13, bytesField(4, keyValue("k", deep))))),
		"resource":         bytesField(1, bytesField(1, pair)),
		"scope":            bytesField(1, bytesField(2, bytesField(1, bytesField(3, keyValue("k", deep))))),
		"a million arrays": request(spanOf(attr("k", arrayOpenings(1_000_000)))),
		"groups":           request(spanOf(group)),
		"groups above":     group,
		"a million groups": bytes.Repeat([]byte{0x0b}, 1_000_000),
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := otlp.Cut(raw, 1, placeBy(1)); !errors.Is(err, span.ErrInvalid) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// arrayOpenings is nested for depths that copying would take too long for: lengths are
// found from the inside out, bytes written from the outside in.
func arrayOpenings(depth int) []byte {
	lengths := make([]int, 0, 2*depth) // of what follows each tag and length, inner first
	n := 0
	for range 2 * depth {
		lengths = append(lengths, n)
		n += 1 + len(binary.AppendUvarint(nil, uint64(n)))
	}
	var b []byte
	for i := len(lengths) - 1; i >= 0; i-- {
		tag := byte(0x0a) // values of an ArrayValue
		if i%2 == 1 {
			tag = 0x2a // array_value of an AnyValue
		}
		b = binary.AppendUvarint(append(b, tag), uint64(lengths[i]))
	}
	return b
}

func TestLongValuesAreCutAndMarked(t *testing.T) {
	const most = otlp.ValueBytesMax
	long := strings.Repeat("x", most-1) + "\u00e9" + strings.Repeat("y", 100)
	for name, c := range map[string]struct {
		value [][]byte
		size  int // of the text, 0 for not cut
	}{
		"string, whole":     {[][]byte{stringValue(long[:most-1])}, 0},
		"string, exactly":   {[][]byte{stringValue(strings.Repeat("x", most))}, 0},
		"string, inside é":  {[][]byte{stringValue(long)}, most - 1},
		"string, ten MiB":   {[][]byte{stringValue(strings.Repeat("z", 10<<20))}, most},
		"string, not UTF-8": {[][]byte{stringValue(strings.Repeat("\x80", most+5))}, most},
		"bytes":             {[][]byte{bytesValue(strings.Repeat("\xff", most+1))}, (most + 2) / 3 * 4},
		"array":             {[][]byte{arrayValue(stringValue(long))}, most},
		"map":               {[][]byte{mapValue(keyValue(long, intValue(1)))}, most},
		"beside unknown":    {[][]byte{stringValue(long), varintField(99, 1)}, most - 1},
		"long unknown":      {[][]byte{stringValue("short"), textField(99, long)}, len("short")},
		"array of many":     {[][]byte{arrayValue(slices.Repeat([][]byte{stringValue("123456789")}, most/11)...)}, most},
	} {
		t.Run(name, func(t *testing.T) {
			parts, counts := promises(t, request(spanOf(attr("k", c.value...), attr("after", intValue(2)))))
			got := attrsOf(parts)
			if c.size == 0 {
				if counts.TruncatedValues != 0 || len(got) != 2 {
					t.Fatalf("counts %+v, %d attributes", counts, len(got))
				}
				return
			}
			if counts.TruncatedValues != 1 || len(got) != 3 || got[1] != "k.truncated=true" || got[2] != "after=2" ||
				len(got[0]) != len("k=")+c.size {
				t.Fatalf("counts %+v, %d attributes, first of %d bytes, rest %.100q", counts, len(got), len(got[0]), got[1:])
			}
		})
	}
}

func TestLongKeysAreCutAndCounted(t *testing.T) {
	long := strings.Repeat("k", otlp.KeyBytesMax-1) + "\u00e9"
	parts, counts := promises(t, request(spanOf(attr(long, intValue(1)), attr(long[:otlp.KeyBytesMax], intValue(2)),
		bytesField(9, keyValue(long, intValue(3)), varintField(99, 1)), attr(long, stringValue(strings.Repeat("x", otlp.ValueBytesMax+1))))))
	got := attrsOf(parts)
	cut := long[:otlp.KeyBytesMax-1]
	if counts.TruncatedKeys != 3 || got[0] != cut+"=1" || got[1] != long[:otlp.KeyBytesMax]+"=2" || got[2] != cut+"=3" ||
		got[4] != cut+".truncated=true" {
		t.Errorf("counts %+v", counts)
	}
}

func TestLimitsHoldOnEveryLevel(t *testing.T) {
	pair := msg(keyValue(strings.Repeat("k", 2000), stringValue(strings.Repeat("x", otlp.ValueBytesMax+1))))
	deep := keyValue("d", nested(65, nil))
	raw := bytesField(1, bytesField(1, varintField(2, 3), bytesField(1, pair), bytesField(1, deep), textField(50, "kept"), bytesField(1, keyValue("service.name", stringValue("s")))),
		bytesField(2, bytesField(1, textField(1, "lib"), bytesField(3, pair), varintField(4, 4), bytesField(3, deep)),
			bytesField(2, spanOf(bytesField(9, pair), bytesField(9, deep),
				bytesField(11, bytesField(3, pair), bytesField(3, deep)), bytesField(13, bytesField(4, pair), bytesField(4, deep))))))
	parts, counts := promises(t, raw)
	if counts.TruncatedKeys != 5 || counts.TruncatedValues != 5 || counts.NestedTooDeep != 5 {
		t.Errorf("counts %+v", counts)
	}
	var data tracev1.TracesData
	if err := proto.Unmarshal(otlp.AppendTraces(nil, rowsOf(parts[0].Batch)), &data); err != nil {
		t.Fatal(err)
	}
	rs := data.ResourceSpans[0]
	ss := rs.ScopeSpans[0]
	s := ss.Spans[0]
	for i, list := range [][]string{keysOf(rs.Resource.Attributes[:3]), keysOf(ss.Scope.Attributes), keysOf(s.Attributes),
		keysOf(s.Events[0].Attributes), keysOf(s.Links[0].Attributes)} {
		key := strings.Repeat("k", otlp.KeyBytesMax)
		if len(list) != 3 || list[0] != key || list[1] != key+".truncated" || list[2] != "d" {
			t.Errorf("list %d: %d attributes", i, len(list))
		}
	}
	if rs.Resource.DroppedAttributesCount != 3 || string(rs.Resource.ProtoReflect().GetUnknown()) != string(textField(50, "kept")) ||
		ss.Scope.Name != "lib" || ss.Scope.DroppedAttributesCount != 4 || string((span.Row{Batch: parts[0].Batch}).Service()) != "s" {
		t.Errorf("the rest of a resource or scope with limits applied got lost: %v, %v", rs.Resource.DroppedAttributesCount, ss.Scope.Name)
	}
}

func keysOf[T interface{ GetKey() string }](attrs []T) (keys []string) {
	for _, a := range attrs {
		keys = append(keys, a.GetKey())
	}
	return keys
}

func TestRequestsOverTheLimitAreRefused(t *testing.T) {
	_, _, err := otlp.Cut(make([]byte, otlp.RequestBytesMax+1), 1, placeBy(1))
	if !errors.Is(err, span.ErrTooMuch) {
		t.Errorf("error %v", err)
	}
}

func TestPartsStayUnderTheLimit(t *testing.T) {
	var spans [][]byte
	for i := range 5000 {
		s := spanOf(textField(5, fmt.Sprint("span ", i)), attr("k", stringValue(strings.Repeat("x", i%1000))))
		s[17] = byte(i % 7)
		spans = append(spans, s)
	}
	spans[77] = spanOf(textField(5, strings.Repeat("n", 2*otlp.PartBytesMax)))
	parts, counts := promises(t, request(spans...))
	if counts.Spans != len(spans) {
		t.Errorf("%d spans of %d", counts.Spans, len(spans))
	}
	total, giants := 0, 0
	for i, p := range parts {
		total += p.Bytes
		if p.Bytes > otlp.PartBytesMax {
			giants++
			if p.Spans > 1 {
				t.Errorf("part %d: %d spans in %d bytes", i, p.Spans, p.Bytes)
			}
		}
		if sent := len(otlp.AppendTraces(nil, rowsOf(p.Batch))); p.Bytes < sent || p.Bytes > sent+30+6*p.Spans {
			t.Errorf("part %d: %d bytes counted, %d sent", i, p.Bytes, sent)
		}
		if i > 0 && parts[i-1].Shard > p.Shard {
			t.Errorf("part %d is of shard %d, behind %d", i, p.Shard, parts[i-1].Shard)
		}
	}
	if giants != 1 {
		t.Errorf("%d parts over the limit, one span is", giants)
	}
	if most := total/otlp.PartBytesMax + shards + 2; len(parts) > most {
		t.Errorf("%d parts for %d bytes, %d would do", len(parts), total, most)
	}
}

// TestLargeResourcesAreNotRepeatedForEverySpan bounds what a request can grow to: a large
// resource is kept once per part, so a part takes as much of spans.
func TestLargeResourcesAreNotRepeatedForEverySpan(t *testing.T) {
	large := bytesField(1, bytesField(1, keyValue("large", stringValue(strings.Repeat("x", 1<<20)))))
	var spans []byte
	for range 4000 {
		spans = append(spans, bytesField(2, spanOf(attr("k", stringValue(strings.Repeat("y", 1000)))))...)
	}
	raw := bytesField(1, large, bytesField(2, spans))
	parts, _ := mustCut(t, raw, 1)
	total := 0
	for _, p := range parts {
		total += p.Bytes
	}
	if len(parts) < 2 || total > 3*len(raw) {
		t.Errorf("%d parts of %d bytes for a request of %d", len(parts), total, len(raw))
	}
}

// TestARequestDoesNotGrowBeyondMeasure: a span of empty links is the worst that bytes on
// the wire can become in memory.
func TestARequestDoesNotGrowBeyondMeasure(t *testing.T) {
	for name, stub := range map[string][]byte{
		"links": bytesField(13), "events": bytesField(11), "attributes": bytesField(9),
		"attributes of an event": bytesField(3),
	} {
		t.Run(name, func(t *testing.T) {
			list := func(n int) []byte {
				if name == "attributes of an event" {
					return request(spanOf(bytesField(11, bytes.Repeat(stub, n))))
				}
				return request(spanOf(bytes.Repeat(stub, n)))
			}
			parts, _ := mustCut(t, list(otlp.StubsMax), 1)
			if got := parts[0].Batch.MemoryBytes(); got > otlp.StubsMax*64 {
				t.Errorf("%d bytes for %d of %s", got, otlp.StubsMax, name)
			}
			if _, _, err := otlp.Cut(list(otlp.StubsMax+1), 1, placeBy(1)); !errors.Is(err, span.ErrInvalid) {
				t.Errorf("error %v", err)
			}
		})
	}
	half := bytes.Repeat(bytesField(13), otlp.StubsMax/2+1)
	if _, _, err := otlp.Cut(request(spanOf(half), spanOf(textField(1, traceID2), half)), 2, placeBy(2)); !errors.Is(err, span.ErrInvalid) {
		t.Errorf("two spans in two shards: error %v", err)
	}
}
