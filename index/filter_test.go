package index_test

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/index"
	"github.com/stoadb/stoa/internal/codec"
)

// hashesOf gives n hashes of texts; each seed has its own.
func hashesOf(n int, seed uint64) []uint64 {
	hashes := make([]uint64, n)
	for i := range hashes {
		var text [16]byte
		binary.LittleEndian.PutUint64(text[:], uint64(i))
		binary.LittleEndian.PutUint64(text[8:], seed)
		hashes[i] = index.HashText(text[:])
	}
	return hashes
}

func openFilter(t testing.TB, data []byte) index.Filter {
	t.Helper()
	r := codec.NewReader(data)
	f := index.OpenFilter(r)
	if r.Err() != nil || r.Len() > 0 || f.Bytes() != len(data) {
		t.Fatalf("%d of %d bytes left, %d are the filter's: %v", r.Len(), len(data), f.Bytes(), r.Err())
	}
	return f
}

func TestHashesOfFiltersAreLaw(t *testing.T) {
	for text, want := range map[string]uint64{"": 0xb72b90acceaf4c53, "checkout": 0x5490070bad09bae0, "0123456789abcdef": 0x5b1e5051afcbf516} {
		if got := index.HashText([]byte(text)); got != want {
			t.Errorf("%q: %#x", text, got)
		}
	}
	if got := index.HashTraceID(span.TraceID([]byte("0123456789abcdef"))); got != index.HashText([]byte("0123456789abcdef")) {
		t.Errorf("a trace id: %#x", got)
	}
}

// TestTheBytesOfFiltersAreLaw pins lists whole and tables by their checksum.
func TestTheBytesOfFiltersAreLaw(t *testing.T) {
	for keys, want := range map[int]string{0: "00", 1: "019301", 5: "05835fdce170ba00"} {
		if got := hex.EncodeToString(index.AppendFilter(nil, hashesOf(keys, 1))); got != want {
			t.Errorf("%d keys: %s", keys, got)
		}
	}
	for _, c := range []struct {
		keys, bytes int
		hash        string
	}{
		{2048, 2562, "ae3d60ceee260666af475f289292080b"},
		{2049, 2563, "6a18bf120c108bfa293e8e2a20a0c323"},
		{4096, 4995, "0ff728dcca2ae447a7479c12d17be2ab"},
		{8192, 9731, "cf275dd78609c2d672412b7948627c4e"},
		{40_000, 45_060, "d26a4c4c32c43403c1dc9e7f4df678f6"},
		{200_000, 218_116, "aadd5591c1436cdc8b5cc27429ab647a"},
		{600_000, 655_364, "f9343d7341e2db3a8b30845851d81909"},
	} {
		data := index.AppendFilter(nil, hashesOf(c.keys, 1))
		if hash := codec.HashBytes(data).String(); len(data) != c.bytes || hash != c.hash {
			t.Errorf("{%d, %d, %q},", c.keys, len(data), hash)
		}
	}
}

// TestAFilterKnowsItsKeysAndFewOthers at each size that is built differently.
func TestAFilterKnowsItsKeysAndFewOthers(t *testing.T) {
	sizes := []int{0, 1, 2, 3, 4, 5, 7, 8, 31, 32, 33, 63, 64, 65, 500, 1024, 2047, 2048, 2049, 2500, 4095, 4096, 8191, 8192,
		16_383, 32_767, 32_768, 131_071, 131_072, 524_287, 524_288}
	for _, keys := range sizes {
		hashes := hashesOf(keys, 2)
		f := openFilter(t, index.AppendFilter(nil, hashes))
		for _, hash := range hashesOf(keys, 2) {
			if !f.MayContain(hash) {
				t.Fatalf("%d keys: %#x is lost", keys, hash)
			}
		}
		wrong := 0
		const probes = 200_000
		for _, hash := range hashesOf(probes, 3) {
			if f.MayContain(hash) {
				wrong++
			}
		}
		if wrong > probes/200 || keys == 0 && wrong > 0 {
			t.Errorf("%d keys: %d of %d others may be in it", keys, wrong, probes)
		}
		if most := 10*keys/8 + 16; f.Bytes() > most+keys/16 {
			t.Errorf("%d keys take %d bytes", keys, f.Bytes())
		}
	}
}

// TestASetHasOneFilter however often and in whatever order its hashes come.
func TestASetHasOneFilter(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for _, keys := range []int{0, 1, 40, 3000, 9000} {
		want := index.AppendFilter([]byte("before"), hashesOf(keys, 4))[6:]
		again := append(hashesOf(keys, 4), hashesOf(keys/2, 4)...)
		random.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
		if !slices.Equal(want, index.AppendFilter(nil, again)) {
			t.Errorf("%d keys have two filters", keys)
		}
	}
}

// TestAnyHashesHaveAFilter also those that no hash function would give: nothing is lost.
func TestAnyHashesHaveAFilter(t *testing.T) {
	for name, hash := range map[string]func(i uint64) uint64{
		"low":          func(i uint64) uint64 { return i },
		"high":         func(i uint64) uint64 { return ^i },
		"one segment":  func(i uint64) uint64 { return 1<<62 + i<<40 },
		"two clusters": func(i uint64) uint64 { return i&1<<63 | i },
		"even":         func(i uint64) uint64 { return i << 50 },
	} {
		for _, keys := range []uint64{3, 300, 2048, 5000, 16_000} {
			hashes := make([]uint64, keys)
			for i := range hashes {
				hashes[i] = hash(uint64(i))
			}
			f := openFilter(t, index.AppendFilter(nil, hashes))
			for i := range keys {
				if !f.MayContain(hash(i)) {
					t.Fatalf("%s: hash %d of %d is lost", name, i, keys)
				}
			}
		}
	}
}

func TestFiltersStandOneAfterAnother(t *testing.T) {
	sizes := []int{7, 0, 3000, 1}
	var data []byte
	for _, keys := range sizes {
		data = index.AppendFilter(data, hashesOf(keys, 5))
	}
	r := codec.NewReader(data)
	for _, keys := range sizes {
		f := index.OpenFilter(r)
		for _, hash := range hashesOf(keys, 5) {
			if !f.MayContain(hash) {
				t.Fatalf("%d keys: %#x is lost", keys, hash)
			}
		}
	}
	if r.Err() != nil || r.Len() > 0 {
		t.Fatalf("%d bytes left: %v", r.Len(), r.Err())
	}
}

func TestACutFilterIsCorrupt(t *testing.T) {
	for _, keys := range []int{0, 1, 9, 2049} {
		data := index.AppendFilter(nil, hashesOf(keys, 6))
		for cut := range len(data) {
			r := codec.NewReader(data[:cut])
			if f := index.OpenFilter(r); !errors.Is(r.Err(), codec.ErrCorrupt) || f.MayContain(1) {
				t.Fatalf("%d keys cut to %d of %d bytes: %v", keys, cut, len(data), r.Err())
			}
		}
	}
}

// TestAFlippedBitInAFilterDoesNoHarm beyond a wrong answer: a page's checksum tells of that.
func TestAFlippedBitInAFilterDoesNoHarm(t *testing.T) {
	for _, keys := range []int{0, 1, 9, 70, 2049} {
		data := index.AppendFilter(nil, hashesOf(keys, 7))
		for bit := range len(data) * 8 {
			damaged := slices.Clone(data)
			damaged[bit/8] ^= 1 << (bit % 8)
			askAnyFilter(t, damaged)
		}
	}
}

func askAnyFilter(t testing.TB, data []byte) {
	r := codec.NewReader(data)
	f := index.OpenFilter(r)
	if r.Err() != nil && !errors.Is(r.Err(), codec.ErrCorrupt) {
		t.Fatal(r.Err())
	}
	for _, hash := range []uint64{0, 1, 1 << 63, ^uint64(0), 0x0123456789abcdef} {
		f.MayContain(hash)
	}
}

func FuzzOpenFilter(f *testing.F) {
	for _, keys := range []int{0, 1, 9, 100, 2049} {
		f.Add(index.AppendFilter(nil, hashesOf(keys, 8)))
	}
	f.Fuzz(func(t *testing.T, data []byte) { askAnyFilter(t, data) })
}

func FuzzAppendFilter(f *testing.F) {
	f.Add([]byte("0123456789abcdef0123456"), uint16(3000))
	f.Fuzz(func(t *testing.T, data []byte, even uint16) {
		hashes := hashesOf(int(even), 9)
		for len(data) >= 8 {
			hashes, data = append(hashes, binary.LittleEndian.Uint64(data)), data[8:]
		}
		kept := slices.Clone(hashes)
		filter := openFilter(t, index.AppendFilter(nil, hashes))
		for _, hash := range kept {
			if !filter.MayContain(hash) {
				t.Fatalf("%#x is lost", hash)
			}
		}
	})
}

func BenchmarkFilterBuild(b *testing.B) {
	for _, keys := range []int{5, 500, 4096, 1 << 16, 1 << 20} {
		b.Run(fmt.Sprint(keys), func(b *testing.B) {
			hashes, work := hashesOf(keys, 10), make([]uint64, keys)
			var data []byte
			for b.Loop() {
				copy(work, hashes)
				data = index.AppendFilter(data[:0], work)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*keys), "ns/key")
			b.ReportMetric(float64(len(data)*8)/float64(keys), "bits/key")
		})
	}
}

func BenchmarkFilterProbe(b *testing.B) {
	for _, keys := range []int{5, 500, 2048, 4096, 1 << 20} {
		b.Run(fmt.Sprint(keys), func(b *testing.B) {
			f := openFilter(b, index.AppendFilter(nil, hashesOf(keys, 10)))
			probes := hashesOf(1024, 11)
			i, found := 0, 0
			for b.Loop() {
				if f.MayContain(probes[i&1023]) {
					found++
				}
				i++
			}
		})
	}
}
