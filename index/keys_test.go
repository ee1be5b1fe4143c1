package index_test

import (
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/index"
	"github.com/stoadb/stoa/internal/codec"
)

func someKeyCounts() []index.KeyCount {
	return []index.KeyCount{
		{Level: span.ResourceLevel, Key: "host.name", Type: span.StringValue, Values: 300, TextBytes: 4_000, Distinct: 12},
		{Level: span.SpanLevel, Key: "http.status_code", Type: span.StringValue, Values: 1, TextBytes: 3, Distinct: 1},
		{Level: span.SpanLevel, Key: "http.status_code", Type: span.IntValue, Values: 70_000, Distinct: 6},
		{Level: span.LinkLevel, Key: "", Type: span.RawAttribute, Values: 2},
	}
}

func TestTheBytesOfKeyCountsAreLaw(t *testing.T) {
	const want = "04000210687474702e7374617475735f636f6465010301000410687474702e7374617475735f636f6465f0a2040006010209686f73742e6e616d65ac02a01f0c040a00020000"
	if got := hex.EncodeToString(index.AppendKeyCounts(nil, someKeyCounts())); got != want {
		t.Error(got)
	}
}

func TestKeyCountsComeBackFromTheirBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		counts := rapid.SliceOfDistinct(rapid.Custom(func(t *rapid.T) index.KeyCount {
			return index.KeyCount{
				Level: span.Level(rapid.IntRange(0, span.Levels-1).Draw(t, "level")), Key: rapid.String().Draw(t, "key"),
				Type:   span.ValueType(rapid.IntRange(0, span.ValueTypes-1).Draw(t, "type")),
				Values: rapid.Uint64().Draw(t, "values"), TextBytes: rapid.Uint64().Draw(t, "bytes"), Distinct: rapid.Uint64().Draw(t, "distinct"),
			}
		}), func(c index.KeyCount) index.KeyCount {
			return index.KeyCount{Level: c.Level, Key: c.Key, Type: c.Type}
		}).Draw(t, "counts")
		data := index.AppendKeyCounts(nil, slices.Clone(counts))
		slices.Reverse(counts)
		if !slices.Equal(data, index.AppendKeyCounts(nil, counts)) {
			t.Fatal("equal counts have different bytes")
		}
		got, complete, err := index.DecodeKeyCounts(data)
		if err != nil || !complete {
			t.Fatal(complete, err)
		}
		if diff := cmp.Diff(counts, got); diff != "" && len(counts)+len(got) > 0 {
			t.Fatal(diff)
		}
	})
}

func TestTooManyKeysSayOnlySo(t *testing.T) {
	for _, c := range []struct {
		keys     int
		name     string
		complete bool
	}{{8_192, "", true}, {8_193, "", false}, {15, strings.Repeat("x", 1<<16), true}, {16, strings.Repeat("x", 1<<16), false}} {
		counts := make([]index.KeyCount, c.keys)
		for i := range counts {
			counts[i] = index.KeyCount{Key: c.name + strconv.Itoa(i)}
		}
		got, complete, err := index.DecodeKeyCounts(index.AppendKeyCounts(nil, counts))
		if err != nil || complete != c.complete || complete && len(got) != c.keys || !complete && len(got) > 0 {
			t.Fatalf("%d keys: %d, complete %v, %v", c.keys, len(got), complete, err)
		}
	}
}

// TestDamagedKeyCountsAreAnErrorOrHarmless at each cut and each bit.
func TestDamagedKeyCountsAreAnErrorOrHarmless(t *testing.T) {
	data := index.AppendKeyCounts(nil, someKeyCounts())
	for cut := range len(data) {
		if _, _, err := index.DecodeKeyCounts(data[:cut]); !errors.Is(err, codec.ErrCorrupt) {
			t.Fatalf("cut to %d of %d bytes: %v", cut, len(data), err)
		}
	}
	for bit := range len(data) * 8 {
		damaged := slices.Clone(data)
		damaged[bit/8] ^= 1 << (bit % 8)
		decodeAnyKeyCounts(t, damaged)
	}
}

func decodeAnyKeyCounts(t testing.TB, data []byte) {
	counts, complete, err := index.DecodeKeyCounts(data)
	if err != nil {
		if !errors.Is(err, codec.ErrCorrupt) {
			t.Fatal(err)
		}
		return
	}
	again, _, err := index.DecodeKeyCounts(index.AppendKeyCounts(nil, slices.Clone(counts)))
	if err != nil || complete && !slices.Equal(counts, again) {
		t.Fatalf("%v became %v: %v", counts, again, err)
	}
}

func FuzzDecodeKeyCounts(f *testing.F) {
	f.Add(index.AppendKeyCounts(nil, someKeyCounts()))
	f.Add([]byte{0x80, 0x80, 0x80, 0x80, 0x10})
	f.Fuzz(func(t *testing.T, data []byte) { decodeAnyKeyCounts(t, data) })
}

func TestDistinctIsExactUpToABoundThenWithinFivePercent(t *testing.T) {
	var c index.KeyCounter
	done := 0
	hashes := hashesOf(300_000, 20)
	for i, hash := range hashes {
		c.Add(hash)
		c.Add(hashes[i/2]) // one seen before
		got, want := float64(c.Distinct()), float64(i+1)
		if i < 1_024 && got != want {
			t.Fatalf("%v of %v hashes", got, want)
		}
		if i < 1_024 || i+1 < done {
			continue
		}
		done = i + i/10
		if got < 0.95*want || got > 1.05*want {
			t.Errorf("%v of %v hashes", got, want)
		}
		if c.MemoryBytes() > 4_096 {
			t.Fatalf("%d bytes", c.MemoryBytes())
		}
	}
	slices.Reverse(hashes)
	var again index.KeyCounter
	again.AddAll(hashes[:700])
	again.AddAll(hashes[700:])
	if c.Distinct() != again.Distinct() {
		t.Fatalf("%d one by one, %d in another order and at once", c.Distinct(), again.Distinct())
	}
}

// Counters of parts come to the counter of all, however many hashes each part has.
func TestCountersOfPartsAddUp(t *testing.T) {
	hashes := hashesOf(9_000, 21)
	for _, cuts := range [][]int{{0, 0, 9_000}, {0, 500, 1_000}, {0, 600, 1_100}, {0, 1_024, 1_025}, {0, 5_000, 5_003}, {0, 3, 5_000}, {0, 4_000, 9_000}} {
		var all, sum index.KeyCounter
		all.AddAll(hashes[:cuts[len(cuts)-1]])
		for i := 1; i < len(cuts); i++ {
			var part index.KeyCounter
			part.AddAll(hashes[max(0, cuts[i-1]-100):cuts[i]]) // some are in both
			before := part.Distinct()
			sum.AddCounter(&part)
			if part.Distinct() != before {
				t.Fatalf("%v: adding changes what is added", cuts)
			}
		}
		if sum.Distinct() != all.Distinct() {
			t.Errorf("%v: %d added up, %d at once", cuts, sum.Distinct(), all.Distinct())
		}
	}
}

func BenchmarkKeyCounter(b *testing.B) {
	hashes := hashesOf(1<<16, 21)
	for b.Loop() {
		var c index.KeyCounter
		for _, hash := range hashes {
			c.Add(hash)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(hashes)), "ns/hash")
}
