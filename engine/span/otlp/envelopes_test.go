package otlp_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/stoadb/stoa/engine/span/otlp"
)

// enveloped is a request of n spans of spanBytes under a resource and a scope with these
// fields.
func enveloped(resource, scope []byte, n, spanBytes int) []byte {
	one := bytesField(2, spanOf(attr("text", stringValue(strings.Repeat("s", spanBytes)))))
	return bytesField(1, bytesField(1, resource), bytesField(2, bytesField(1, scope), slices.Concat(slices.Repeat([][]byte{one}, n)...)))
}

func resourceAttr(key string, value []byte) []byte { return bytesField(1, keyValue(key, value)) }
func scopeAttr(key string, value []byte) []byte    { return bytesField(3, keyValue(key, value)) }

// TestEnvelopesThatLeaveRoomForSpansAreWhole in every chunk, without a word about it.
func TestEnvelopesThatLeaveRoomForSpansAreWhole(t *testing.T) {
	text := func(kib int) []byte { return stringValue(strings.Repeat("r", kib<<10)) }
	for name, raw := range map[string][]byte{
		"600 KiB":             enveloped(resourceAttr("k", text(600)), nil, 30, 200<<10),
		"the longest value":   enveloped(resourceAttr("k", text(1024)), scopeAttr("k", text(1024)), 9, 600<<10),
		"2,600 KiB resource":  enveloped(msg(resourceAttr("a", text(1000)), resourceAttr("b", text(1000)), resourceAttr("c", text(600))), nil, 3, 500<<10),
		"2,600 KiB scope":     enveloped(nil, msg(scopeAttr("a", text(1000)), scopeAttr("b", text(1000)), scopeAttr("c", text(600))), 3, 500<<10),
		"600 KiB of entities": enveloped(bytesField(3, textField(1, strings.Repeat("e", 600<<10))), nil, 3, 10),
		"90,000 attributes":   enveloped(slices.Concat(slices.Repeat([][]byte{resourceAttr("key", intValue(5))}, 90_000)...), nil, 3, 10),
	} {
		t.Run(name, func(t *testing.T) {
			var want tracev1.TracesData
			if err := proto.Unmarshal(raw, &want); err != nil {
				t.Fatal(err)
			}
			sent := want.ResourceSpans[0]
			chunks := encoded(t, rowsOf(batchOf(t, raw)))
			for _, chunk := range chunks {
				got := chunk.ResourceSpans[0]
				if !proto.Equal(got.Resource, sent.Resource) || !proto.Equal(got.ScopeSpans[0].Scope, sent.ScopeSpans[0].Scope) {
					t.Fatalf("envelopes of %d and %d bytes, sent %d and %d", proto.Size(got.Resource), proto.Size(got.ScopeSpans[0].Scope),
						proto.Size(sent.Resource), proto.Size(sent.ScopeSpans[0].Scope))
				}
			}
			spans := spansIn(chunks...)
			if len(spans) != len(sent.ScopeSpans[0].Spans) {
				t.Fatalf("%d spans", len(spans))
			}
			for _, s := range spans {
				if !proto.Equal(s, sent.ScopeSpans[0].Spans[0]) {
					t.Errorf("a span of %d bytes, warnings %q", proto.Size(s), warningsOf(s))
				}
			}
		})
	}
}

// TestEnvelopesThatLeaveNoRoomAreCutAsLittleAsNeededAndSaySo: on the first span of each
// chunk, and there alone.
func TestEnvelopesThatLeaveNoRoomAreCutAsLittleAsNeededAndSaySo(t *testing.T) {
	const room = otlp.ChunkBytesMax / 4 * 3
	mib := strings.Repeat("m", 1<<20)
	four := func(field func(string, []byte) []byte) (all []byte) {
		for i := range 4 {
			all = append(all, field(fmt.Sprint(i), stringValue(mib))...)
		}
		return all
	}
	odd := arrayValue(stringValue(strings.Repeat("\xffa", 500<<10)))
	many := slices.Concat(slices.Repeat([][]byte{resourceAttr("key", intValue(5))}, 500_000)...)
	for name, raw := range map[string][]byte{
		"resource":          enveloped(four(resourceAttr), nil, 12, 300<<10),
		"scope":             enveloped(nil, four(scopeAttr), 12, 300<<10),
		"both":              enveloped(four(resourceAttr), four(scopeAttr), 12, 300<<10),
		"beside whole":      enveloped(four(resourceAttr), scopeAttr("k", stringValue(mib)), 12, 300<<10),
		"not UTF-8":         enveloped(msg(resourceAttr("a", odd), resourceAttr("b", odd)), nil, 12, 300<<10),
		"half a million":    enveloped(msg(varintField(2, 7), many), nil, 12, 300<<10),
		"name and version":  enveloped(nil, msg(textField(1, strings.Repeat(mib, 4)), textField(2, mib)), 12, 300<<10),
		"bytes and entries": enveloped(msg(resourceAttr("b", bytesValue(mib)), resourceAttr("m", mapValue(keyValue("k", stringValue(mib[:1<<20-100])))), resourceAttr("n", stringValue(mib))), nil, 12, 300<<10),
	} {
		t.Run(name, func(t *testing.T) {
			chunks := encoded(t, rowsOf(batchOf(t, raw)))
			if len(chunks) < 2 {
				t.Errorf("%d chunks", len(chunks))
			}
			for _, chunk := range chunks {
				rs := chunk.ResourceSpans[0]
				size := proto.Size(rs.Resource) + proto.Size(rs.ScopeSpans[0].Scope)
				if size > room || size < room*9/10 {
					t.Errorf("envelopes of %d bytes, %d would do", size, room)
				}
				if attrs := rs.Resource.Attributes; name == "half a million" && len(attrs)+int(rs.Resource.DroppedAttributesCount) != 500_007 {
					t.Errorf("%d attributes, %d dropped", len(attrs), rs.Resource.DroppedAttributesCount)
				}
				if scope := rs.ScopeSpans[0].Scope; name == "beside whole" && (len(scope.Attributes) != 1 || len(scope.Attributes[0].Value.GetStringValue()) != 1<<20) {
					t.Errorf("a scope of %d bytes, which fits", proto.Size(scope))
				}
				for i, s := range spansIn(chunk) {
					got := warningsOf(s)
					if want := i == 0; want != (len(got) == 1 && strings.Contains(got[0], "resource and scope")) || !want && len(got) > 0 {
						t.Errorf("span %d of a chunk: warnings %q", i, got)
					}
					if text := s.Attributes[0].Value.GetStringValue(); len(text) != 300<<10 {
						t.Errorf("span %d is cut to %d bytes", i, len(text))
					}
				}
			}
			if n := len(spansIn(chunks...)); n != 12 {
				t.Errorf("%d spans", n)
			}
		})
	}
}

// TestAResourceIsCutAnewBesideAnotherScope: it has its whole length beside a small one.
func TestAResourceIsCutAnewBesideAnotherScope(t *testing.T) {
	mib := stringValue(strings.Repeat("m", 1<<20))
	resource := bytesField(1, msg(resourceAttr("a", mib), resourceAttr("b", mib)))
	scope := func(fields []byte) []byte { return bytesField(2, bytesField(1, fields), bytesField(2, ids)) }
	raw := bytesField(1, resource, scope(textField(1, "small")), scope(msg(textField(1, "large"), scopeAttr("a", mib))), scope(textField(1, "small")))
	var sizes []int
	for _, chunk := range encoded(t, rowsOf(batchOf(t, raw))) {
		for _, rs := range chunk.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				sizes = append(sizes, proto.Size(rs.Resource)>>10)
				isCut := len(warningsOf(ss.Spans[0])) == 1
				if want := ss.Scope.Name == "large"; isCut != want {
					t.Errorf("beside %q: cut %v, a resource of %d KiB", ss.Scope.Name, isCut, sizes[len(sizes)-1])
				}
			}
		}
	}
	if len(sizes) != 3 || sizes[0] != 2048 || sizes[1] >= 1700 || sizes[1] < 1500 || sizes[2] != 2048 {
		t.Errorf("resources of %v KiB", sizes)
	}
}
