package column_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/stoadb/stoa/engine/column"
	"github.com/stoadb/stoa/internal/codec"
)

var update = flag.Bool("update", false, "write the golden files again")

// list is values that lead to one kind of mini-block.
type list struct {
	name   string
	values []uint64
}

// lists gives n values for each kind of mini-block, the same ones each time.
func lists(n int) []list {
	rng := rand.New(rand.NewPCG(1, 2))
	fill := func(next func(i int) uint64) []uint64 {
		values := make([]uint64, n)
		for i := range values {
			values[i] = next(i)
		}
		return values
	}
	at, jump := uint64(1)<<60, uint64(1)<<50
	return []list{
		{"constant", fill(func(i int) uint64 { return 77 + uint64(i/128)<<20 })},
		{"reference", fill(func(int) uint64 { return 5000 + rng.Uint64N(1000) })},
		{"64 bits", fill(func(int) uint64 { return rng.Uint64() })},
		{"up", fill(func(int) uint64 { at += rng.Uint64N(200); return at })},
		{"delta", fill(func(int) uint64 { at += rng.Uint64N(200) - 100; return at })},
		{"dictionary", fill(func(int) uint64 { return []uint64{200, 302, 404, 500, 1 << 40}[rng.IntN(5)] })},
		{"runs", fill(func(i int) uint64 { return uint64(i/29) * 1_000_003 % 1000 })},
		{"patched", fill(func(i int) uint64 {
			if i%37 == 5 {
				return 90 + rng.Uint64()>>30
			}
			return 90 + rng.Uint64()>>56
		})},
		{"patched delta", fill(func(i int) uint64 {
			if at += rng.Uint64N(60) - 20; i%37 == 5 {
				jump += 1 << 33
				at += jump
			}
			return at
		})},
	}
}

// mixed are values of a drawn kind, with the ends of the range among them.
func mixed() *rapid.Generator[[]uint64] {
	edge := rapid.SampledFrom([]uint64{0, 1, 2, 127, 128, 1 << 32, math.MaxInt64, 1 << 63, math.MaxUint64 - 1, math.MaxUint64})
	return rapid.Custom(func(t *rapid.T) []uint64 {
		var values []uint64
		for range rapid.IntRange(1, 4).Draw(t, "parts") {
			n := rapid.IntRange(1, 150).Draw(t, "n")
			width, at := rapid.IntRange(0, 64).Draw(t, "width"), edge.Draw(t, "base")
			rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
			kind, odd := rapid.IntRange(0, 4).Draw(t, "kind"), rapid.IntRange(1, 60).Draw(t, "odd")
			for i := range n {
				step := rng.Uint64() >> 1 >> (64 - max(width, 1)) * uint64(min(width, 1))
				switch kind {
				case 0:
					values = append(values, at+step)
				case 1:
					at += step
					values = append(values, at)
				case 2:
					at += step - 1<<width/2
					values = append(values, at)
				case 3:
					values = append(values, at+step*uint64(i/odd))
				default:
					if i%odd == 0 {
						values = append(values, edge.Draw(t, "edge"))
					} else {
						values = append(values, at+step%7)
					}
				}
			}
		}
		return values
	})
}

func whole(data []byte, n int) ([]uint64, error) {
	r := codec.NewReader(data)
	values := column.DecodeInts(nil, r, n)
	return values, r.Err()
}

// wantReader compares every answer of the reader with the values.
func wantReader(t interface{ Fatalf(string, ...any) }, data []byte, values []uint64, ranges [][2]int, low, high uint64) {
	r := codec.NewReader(append(slices.Clone(data), 0xaa))
	ints := column.OpenInts(r, len(values))
	if r.Err() != nil || r.Len() != 1 || ints.Len() != len(values) {
		t.Fatalf("%d values opened, %d bytes left, %v", ints.Len(), r.Len(), r.Err())
	}
	for i, want := range values {
		if got, err := ints.At(i); err != nil || got != want {
			t.Fatalf("value %d is %d, %v, not %d", i, got, err, want)
		}
	}
	for _, cut := range ranges {
		got, err := ints.Decode([]uint64{42}, cut[0], cut[1])
		if err != nil || got[0] != 42 || !slices.Equal(got[1:], values[cut[0]:cut[1]]) {
			t.Fatalf("values %v are %v, %v", cut, got[1:], err)
		}
	}
	rows, err := ints.RowsBetween([]uint32{42}, low, high)
	want := []uint32{42}
	for i, v := range values {
		if v >= low && v <= high {
			want = append(want, uint32(i))
		}
	}
	if err != nil || !slices.Equal(rows, want) {
		t.Fatalf("rows from %d to %d: %v, %v, not %v", low, high, rows, err, want)
	}
	for _, value := range []uint64{low, high, low + 1} {
		rows, err = ints.RowsEqual([]uint32{42}, value)
		want = []uint32{42}
		for i, v := range values {
			if v == value {
				want = append(want, uint32(i))
			}
		}
		if err != nil || !slices.Equal(rows, want) {
			t.Fatalf("rows of %d: %v, %v, not %v", value, rows, err, want)
		}
		asked, among := []uint32{}, []uint32{42}
		for i := len(values) % 3; i < len(values); i += 1 + i%3 {
			if asked = append(asked, uint32(i)); values[i] == value {
				among = append(among, uint32(i))
			}
		}
		if rows, err = ints.AppendEqual([]uint32{42}, asked, value); err != nil || !slices.Equal(rows, among) {
			t.Fatalf("of %v those of %d: %v, %v, not %v", asked, value, rows, err, among)
		}
	}
	for _, cut := range ranges {
		sum := uint64(0)
		for _, v := range values[:cut[1]] {
			sum += v
		}
		if got, err := ints.SumBefore(cut[1]); err != nil || got != sum {
			t.Fatalf("the first %d values come to %d, %v, not %d", cut[1], got, err, sum)
		}
	}
	if most := len(data) + 8*len(values) + 1024; ints.MemoryBytes() > most {
		t.Fatalf("%d values of %d bytes hold %d", len(values), len(data), ints.MemoryBytes())
	}
}

func TestMiniBlocksComeBackExactlyWholeAndInPart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := mixed().Draw(t, "values")
		data := column.AppendInts([]byte("before"), values)[6:]
		if got, err := whole(data, len(values)); err != nil || !slices.Equal(got, values) {
			t.Fatalf("%d values come back as %v, %v", len(values), got, err)
		}
		if !bytes.Equal(data, column.AppendInts(nil, values)) {
			t.Fatalf("same values, other bytes")
		}
		from := rapid.IntRange(0, len(values)).Draw(t, "from")
		to := rapid.IntRange(from, len(values)).Draw(t, "to")
		low := rapid.SampledFrom(values).Draw(t, "low")
		high := low + rapid.Uint64().Draw(t, "spread")>>rapid.IntRange(0, 63).Draw(t, "less")
		wantReader(t, data, values, [][2]int{{from, to}, {0, len(values)}, {from, from}}, low, max(low, high))
		wantReader(t, column.AppendBytewise(nil, values), values, [][2]int{{from, to}}, low, max(low, high))
	})
}

func TestEveryWidthAndLengthComesBackExactly(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for width := range 65 {
		for _, n := range []int{1, 2, 3, 63, 64, 65, 127, 128, 129, 255, 256, 300} {
			values := make([]uint64, n)
			for i := range values {
				if values[i] = rng.Uint64(); width < 64 {
					values[i] &= 1<<width - 1
				}
			}
			data := column.AppendInts(nil, values)
			got, err := whole(data, n)
			if err != nil || !slices.Equal(got, values) {
				t.Fatalf("%d values of %d bits: %v", n, width, err)
			}
			wantReader(t, data, values, [][2]int{{n / 3, n - n/3}}, values[n/2], values[n/2]|values[0])
			if most := 16 + (n+127)/128*9 + (n*width+7)/8; len(data) > most {
				t.Fatalf("%d values of %d bits take %d bytes", n, width, len(data))
			}
		}
	}
}

// wantHarmless decodes wrong bytes: an error, or values on which all ways to read agree.
func wantHarmless(t *testing.T, data []byte, n int) {
	t.Helper()
	values, err := whole(data, n)
	r := codec.NewReader(data)
	ints := column.OpenInts(r, n)
	if r.Err() != nil {
		if err == nil {
			t.Fatalf("whole decode takes what the reader refuses: %v", r.Err())
		}
		return
	}
	got, partErr := ints.Decode(nil, 0, n)
	if (err == nil) != (partErr == nil) || err == nil && !slices.Equal(got, values) {
		t.Fatalf("%v, in part %v", err, partErr)
	}
	if err != nil {
		if !errors.Is(err, codec.ErrCorrupt) || !errors.Is(partErr, codec.ErrCorrupt) {
			t.Fatalf("%v, %v", err, partErr)
		}
		_, _ = ints.RowsBetween(nil, 1, math.MaxUint64) // these must end
		_, _ = ints.RowsEqual(nil, 200)
		_, _ = ints.SumBefore(n)
		return
	}
	if n > 0 {
		wantReader(t, data[:len(data)-r.Len()], values, [][2]int{{n / 2, n}}, values[n/2], max(values[n/2], values[0]))
	}
}

func TestCutOrFlippedMiniBlocksAreAnErrorOrHarmless(t *testing.T) {
	for _, n := range []int{131, 257} {
		for _, l := range lists(n) {
			data := column.AppendInts(nil, l.values)
			for cut := range data {
				if _, err := whole(data[:cut], n); !errors.Is(err, codec.ErrCorrupt) {
					t.Fatalf("%s cut to %d of %d: %v", l.name, cut, len(data), err)
				}
				wantHarmless(t, data[:cut], n)
			}
			for bit := range len(data) * 8 {
				flipped := slices.Clone(data)
				flipped[bit/8] ^= 1 << (bit % 8)
				wantHarmless(t, flipped, n)
			}
		}
	}
}

func TestACodeBeyondItsDictionaryIsRefused(t *testing.T) {
	l := lists(128)[5]
	data := column.AppendInts(nil, l.values)
	for i := len(data) - 16*3; i < len(data); i++ { // 5 values: codes of 3 bits, at the end
		wrong := slices.Clone(data)
		wrong[i] = 0xff
		if values, err := whole(wrong, 128); !errors.Is(err, codec.ErrCorrupt) {
			t.Fatalf("%s: byte %d: %v, %v", l.name, i, values, err)
		}
		wantHarmless(t, wrong, 128)
	}
}

// tagOf says which tags, from and to, the first block of a list may have.
var tagOf = map[string][2]byte{
	"constant": {0, 0}, "reference": {1, 63}, "64 bits": {64, 64}, "up": {65, 128}, "delta": {129, 192},
	"dictionary": {193, 193}, "runs": {194, 194}, "patched": {195, 195}, "patched delta": {196, 196},
}

// The bytes of each kind of mini-block change only by decision.
func TestTheBytesOfMiniBlocksAreThese(t *testing.T) {
	var got bytes.Buffer
	for _, l := range lists(160) {
		data := column.AppendInts(nil, l.values)
		r := codec.NewReader(data[2:])
		r.Uvarint()
		tag := r.Uint8()
		if form, want := data[0], tagOf[l.name]; form != 4 || tag < want[0] || tag > want[1] {
			t.Fatalf("%s stands in form %d, tag %d", l.name, form, tag)
		}
		fmt.Fprintf(&got, "%s: %s, tags %d and %d, %d bytes\n", l.name, column.IntsForm(data), tag, r.Uint8(), len(data))
		for part := range slices.Chunk(data, 32) {
			fmt.Fprintf(&got, "  % x\n", part)
		}
	}
	golden := filepath.Join("testdata", "ints.golden")
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got.Bytes()) {
		t.Fatalf("the format has changed; -update writes the new bytes where that is decided:\n%s", got.Bytes())
	}
}

// A page says whether its integers stand under zstd, and reads the same either way.
func TestIntegersStandLightUnlessZstdSavesAThird(t *testing.T) {
	var pages column.Pages
	head := bytes.Repeat([]byte("words of a dictionary "), 9)
	again := make([]uint64, 0, 4096)
	for len(again) < 4096 {
		again = append(again, lists(61)[2].values...)
	}
	for _, c := range []struct {
		name   string
		head   []byte
		values []uint64
		form   byte
	}{
		{"no integers", head, nil, 1},
		{"constant", nil, make([]uint64, 4096), 0},
		{"integers", nil, lists(4096)[3].values, 0},
		{"head and integers", head, lists(4096)[5].values, 2},
		{"short head", []byte("short"), lists(4096)[5].values, 0},
		{"repeats", nil, again, 1},
		{"head and repeats", head, again, 1},
	} {
		page := pages.Append([]byte("before"), c.head, c.values)[6:]
		payload, _, err := column.OpenPage(page, nil)
		if err != nil || page[4] != c.form {
			t.Fatalf("%s: form %d, %v", c.name, page[4], err)
		}
		begin := page[:min(len(page), column.SizedBytes)]
		if column.PayloadBytes(begin, len(page)) != len(payload) || !bytes.Equal(payload[:len(c.head)], c.head) {
			t.Fatalf("%s: payload of %d bytes, %d foreseen", c.name, len(payload), column.PayloadBytes(begin, len(page)))
		}
		if got, err := whole(payload[len(c.head):], len(c.values)); err != nil || !slices.Equal(got, c.values) {
			t.Fatalf("%s: %v", c.name, err)
		}
		for bit := range min(len(page), 100) * 8 {
			flipped := slices.Clone(page)
			flipped[bit/8] ^= 1 << (bit % 8)
			if _, _, err := column.OpenPage(flipped, nil); !errors.Is(err, codec.ErrCorrupt) {
				t.Fatalf("%s, bit %d flipped: %v", c.name, bit, err)
			}
			binary.LittleEndian.PutUint32(flipped, codec.CRC(flipped[4:]))
			if _, _, err := column.OpenPage(flipped, nil); err != nil && !errors.Is(err, codec.ErrCorrupt) {
				t.Fatalf("%s, bit %d flipped under a right checksum: %v", c.name, bit, err)
			}
			column.PayloadBytes(flipped, len(flipped))
		}
	}
}

func FuzzReadInts(f *testing.F) {
	for _, l := range lists(140) {
		f.Add(column.AppendInts(nil, l.values), uint16(len(l.values)))
	}
	f.Fuzz(func(t *testing.T, data []byte, n uint16) { wantHarmless(t, data, int(n)) })
}

func BenchmarkInts(b *testing.B) {
	const n = 4096
	for _, l := range lists(n) {
		data := column.AppendInts(nil, l.values)
		dst := make([]uint64, 0, n)
		rows := make([]uint32, 0, n)
		r := codec.NewReader(data)
		ints := column.OpenInts(r, n)
		low, high := slices.Min(l.values), slices.Max(l.values)
		middle := low + (high-low)/2
		report := func(b *testing.B, values int) {
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(values), "ns/value")
			b.ReportMetric(float64(8*len(data))/n, "bits/value")
		}
		b.Run(l.name+"/append", func(b *testing.B) {
			b.SetBytes(8 * n)
			for b.Loop() {
				data = column.AppendInts(data[:0], l.values)
			}
			report(b, n)
		})
		b.Run(l.name+"/decode", func(b *testing.B) {
			b.SetBytes(8 * n)
			for b.Loop() {
				dst = column.DecodeInts(dst[:0], codec.NewReader(data), n)
			}
			report(b, n)
		})
		heavy := column.AppendPage(nil, column.AppendBytewise(nil, l.values), true)
		b.Run(l.name+"/decode bytewise", func(b *testing.B) { // what mini-blocks stand instead of
			b.SetBytes(8 * n)
			var scratch []byte
			for b.Loop() {
				payload, next, err := column.OpenPage(heavy, scratch)
				if err != nil {
					b.Fatal(err)
				}
				dst, scratch = column.DecodeInts(dst[:0], codec.NewReader(payload), n), next
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/value")
			b.ReportMetric(float64(8*len(heavy))/n, "bits/value")
		})
		b.Run(l.name+"/20 values", func(b *testing.B) {
			for b.Loop() {
				dst, _ = ints.Decode(dst[:0], 1000, 1020)
			}
			report(b, 20)
		})
		b.Run(l.name+"/rows", func(b *testing.B) {
			for b.Loop() {
				rows, _ = ints.RowsBetween(rows[:0], middle, middle+(high-low)/64)
			}
			report(b, n)
		})
	}
}
