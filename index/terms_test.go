package index_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stoadb/stoa/index"
	"github.com/stoadb/stoa/internal/codec"
)

const modelTemplates = 9_000

// termModel is the slow truth: of each column and text the set of templates.
type termModel map[uint32]map[string]map[uint32]bool

func (m termModel) add(column uint32, text string, template uint32) {
	text = text[:min(len(text), index.TermBytesMax)]
	if m[column] == nil {
		m[column] = map[string]map[uint32]bool{}
	}
	if m[column][text] == nil {
		m[column][text] = map[uint32]bool{}
	}
	m[column][text][template] = true
}

func sorted[K interface{ ~uint32 | ~string }, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func templatesOf(p index.Postings) []uint32 {
	list := []uint32{}
	p.Each(func(template uint32) bool { list = append(list, template); return true })
	return list
}

// build adds the model's terms in an order of the seed's, some of them twice.
func (m termModel) build(seed uint64) []byte {
	type one struct {
		column   uint32
		text     string
		template uint32
	}
	var all []one
	for _, column := range sorted(m) {
		for _, text := range sorted(m[column]) {
			for _, template := range sorted(m[column][text]) {
				all = append(all, one{column, text, template})
			}
		}
	}
	random := rand.New(rand.NewPCG(seed, 1))
	all = append(all, all[:random.IntN(len(all)+1)]...)
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	b := index.NewTermsBuilder()
	for _, o := range all {
		b.Add(o.column, []byte(o.text), o.template)
	}
	return b.AppendBinary(nil)
}

func drawModel(t *rapid.T) termModel {
	m := termModel{}
	text := rapid.OneOf(rapid.StringMatching(`[ab]{0,6}`), rapid.String(), rapid.SampledFrom([]string{
		"", "\xff", strings.Repeat("x", 255), strings.Repeat("x", 256), strings.Repeat("x", 257), strings.Repeat("x", 300) + "y"}))
	for range rapid.IntRange(0, 40).Draw(t, "terms") {
		column := rapid.SampledFrom([]uint32{0, 1, 7, 1<<32 - 1}).Draw(t, "column")
		word := text.Draw(t, "text")
		first := rapid.Uint32Range(0, modelTemplates-1).Draw(t, "first")
		step := rapid.Uint32Range(1, 40).Draw(t, "step")
		for range rapid.SampledFrom([]int{1, 1, 1, 3, 40, 40, 40, 3_000}).Draw(t, "templates") {
			m.add(column, word, first)
			if first += step; first >= modelTemplates {
				break
			}
		}
	}
	return m
}

func TestLookupFindsWhatWasAdded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		data := m.build(1)
		if again := m.build(2); !slices.Equal(data, again) {
			t.Fatal("the same terms have different bytes")
		}
		terms, err := index.OpenTerms(data, modelTemplates)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(sorted(m), terms.Columns()); diff != "" {
			t.Fatal(diff)
		}
		asked := []string{"", "a", "ab", "zz", "\xff\xff", strings.Repeat("x", 254), strings.Repeat("x", 999), strings.Repeat("x", 255) + "y"}
		for _, column := range append(sorted(m), 3) {
			for _, text := range append(sorted(m[column]), asked...) {
				p, exact, err := terms.Lookup(column, []byte(text))
				if err != nil || exact != (len(text) < index.TermBytesMax) {
					t.Fatalf("%q: exact %v, %v", text, exact, err)
				}
				want := sorted(m[column][text[:min(len(text), index.TermBytesMax)]])
				if diff := cmp.Diff(want, templatesOf(p)); diff != "" || p.Cardinality() != len(want) {
					t.Fatalf("column %d, %q: %s", column, text, diff)
				}
			}
			var texts []string
			err := terms.Each(column, func(text []byte, p index.Postings) error {
				texts = append(texts, string(text))
				if !slices.Equal(templatesOf(p), sorted(m[column][string(text)])) {
					t.Fatalf("column %d, %q", column, text)
				}
				return nil
			})
			if err != nil || !slices.Equal(texts, sorted(m[column])) {
				t.Fatalf("column %d: %q, %v", column, texts, err)
			}
		}
	})
}

func TestPostingsAreSets(t *testing.T) {
	shapes := [][]uint32{{}, {5}, {1, 2, 3, 900}, nil, nil, nil}
	for i := range uint32(6_000) {
		shapes[3] = append(shapes[3], i)
		shapes[4] = append(shapes[4], i*3/2)
		shapes[5] = append(shapes[5], i*7%modelTemplates)
	}
	m := termModel{}
	for i, shape := range shapes {
		for _, template := range shape {
			m.add(1, fmt.Sprint(i), template)
		}
	}
	terms, err := index.OpenTerms(m.build(3), modelTemplates)
	if err != nil {
		t.Fatal(err)
	}
	for i := range shapes {
		for j := range shapes {
			p, _, _ := terms.Lookup(1, []byte(fmt.Sprint(i)))
			q, _, _ := terms.Lookup(1, []byte(fmt.Sprint(j)))
			and, or, not, words := []uint32{}, []uint32{}, []uint32{}, []uint64{0, 8}
			for template := range uint32(modelTemplates) {
				inP, inQ := m[1][fmt.Sprint(i)][template], m[1][fmt.Sprint(j)][template]
				if p.Contains(template) != inP {
					t.Fatalf("%d contains %d: %v", i, template, !inP)
				}
				if inP && inQ {
					and = append(and, template)
				}
				if inP || inQ {
					or = append(or, template)
				}
				if inP && !inQ {
					not = append(not, template)
				}
			}
			for name, c := range map[string]struct {
				got  index.Postings
				want []uint32
			}{"and": {p.And(q), and}, "or": {p.Or(q), or}, "and not": {p.AndNot(q), not}} {
				if !slices.Equal(templatesOf(c.got), c.want) || c.got.Cardinality() != len(c.want) {
					t.Fatalf("%d %s %d", i, name, j)
				}
			}
			words = p.Bits(words)
			for template := range uint32(len(words) * 64) {
				if set := words[template/64]>>(template%64)&1 == 1; set != (p.Contains(template) || template == 67) {
					t.Fatalf("%d: bit %d is %v", i, template, set)
				}
			}
		}
	}
	stopped := 0
	p, _, _ := terms.Lookup(1, []byte("3"))
	p.Each(func(uint32) bool { stopped++; return stopped < 3 })
	if stopped != 3 {
		t.Fatalf("%d templates visited after the third said no", stopped)
	}
}

// smallTerms has a list, a bitmap of a run, a separator, and a cut text.
func smallTerms() []byte {
	b := index.NewTermsBuilder()
	for i := range uint32(20) {
		b.Add(2, fmt.Appendf(nil, "GET /user/%02d", i), 3*i)
	}
	for i := range uint32(30) {
		b.Add(2, []byte("POST"), 100+i)
	}
	b.Add(9, []byte(strings.Repeat("x", 300)), 7)
	return b.AppendBinary(nil)
}

func TestTheBytesOfTermsAreLaw(t *testing.T) {
	want := "02021507015c350c474554202f757365722f31368502" + // columns 2 and 9; two blocks, one
		"000c474554202f757365722f30300000" + "0b01310003" + "0b01320006" + "0b01330009" + // GET /user/00: 0, 01: 3 ...
		"0b0134000c" + "0b0135000f" + "0b01360012" + "0b01370015" + "0b01380018" + "0b0139001b" + "0a023130001e" +
		"0b01310021" + "0b01320024" + "0b01330027" + "0b0134002a" + "0b0135002d" +
		"000c474554202f757365722f31360030" + "0b01370033" + "0b01380036" + "0b01390039" +
		"0004504f5354" + "1f3b3000000100001d00010064001d00" + // POST: a bitmap of one run
		"008002" + strings.Repeat("78", 256) + "0007" // the first 256 bytes of a longer text
	if got := hex.EncodeToString(smallTerms()); got != want {
		t.Error(got)
	}
}

// askAllTerms asks whatever can be asked of any bytes.
func askAllTerms(t testing.TB, data []byte) error {
	t.Helper()
	var failure error
	note := func(err error) {
		if err != nil && !errors.Is(err, codec.ErrCorrupt) {
			t.Fatal(err)
		}
		if failure == nil {
			failure = err
		}
	}
	terms, err := index.OpenTerms(data, 200)
	note(err)
	if err != nil {
		return err
	}
	for _, column := range terms.Columns() {
		note(terms.Each(column, func(_ []byte, p index.Postings) error {
			list := templatesOf(p)
			if len(list) == 0 || len(list) != p.Cardinality() || !slices.IsSorted(list) || list[len(list)-1] >= 200 || len(p.Bits(nil)) > 4 {
				t.Fatalf("postings %v", list)
			}
			if p.Or(p).Cardinality() != len(list) || p.AndNot(p).Cardinality() != 0 {
				t.Fatalf("postings %v are not themselves", list)
			}
			return nil
		}))
		for _, text := range []string{"", "GET /user/07", "GET /user/17", "POST", "z"} {
			_, _, err := terms.Lookup(column, []byte(text))
			note(err)
		}
	}
	return failure
}

func TestCutTermsAreCorrupt(t *testing.T) {
	data := smallTerms()
	if err := askAllTerms(t, data); err != nil {
		t.Fatal(err)
	}
	for cut := range len(data) {
		if _, err := index.OpenTerms(data[:cut], 200); !errors.Is(err, codec.ErrCorrupt) {
			t.Fatalf("cut to %d of %d bytes: %v", cut, len(data), err)
		}
	}
	if _, err := index.OpenTerms(append(data, 0), 200); !errors.Is(err, codec.ErrCorrupt) {
		t.Fatal("a byte more is taken")
	}
	terms, err := index.OpenTerms(data, 100)
	if err == nil {
		_, _, err = terms.Lookup(2, []byte("POST"))
	}
	if !errors.Is(err, codec.ErrCorrupt) {
		t.Fatalf("templates beyond the segment's: %v", err)
	}
}

// TestAFlippedBitInTermsDoesNoHarm: an error, or an answer within bounds. That it is the
// wrong one tells the checksum of the page.
func TestAFlippedBitInTermsDoesNoHarm(t *testing.T) {
	data := smallTerms()
	for bit := range len(data) * 8 {
		damaged := slices.Clone(data)
		damaged[bit/8] ^= 1 << (bit % 8)
		_ = askAllTerms(t, damaged)
	}
}

// TestAForgedBitmapIsCorrupt: roaring itself takes any of these.
func TestAForgedBitmapIsCorrupt(t *testing.T) {
	run := func(containers uint32, runs ...uint16) []byte {
		b := binary.LittleEndian.AppendUint32(nil, 12347|(containers-1)<<16)
		b = append(b, 1, 0, 0, 0, 0) // which are runs; key, cardinality - 1
		b = binary.LittleEndian.AppendUint16(b, uint16(len(runs)/2))
		for _, v := range runs {
			b = binary.LittleEndian.AppendUint16(b, v)
		}
		return b
	}
	array := func(key uint16, values ...uint16) []byte {
		b := binary.LittleEndian.AppendUint32(nil, 12346)
		b = append(b, 1, 0, 0, 0, byte(key), byte(key>>8), byte(len(values)-1), 0, 16, 0, 0, 0)
		for _, v := range values {
			b = binary.LittleEndian.AppendUint16(b, v)
		}
		return b
	}
	open := func(bitmap []byte) error {
		block := append([]byte{0, 1, 'a'}, binary.AppendUvarint(nil, uint64(len(bitmap))*2+1)...)
		block = append(block, bitmap...)
		data := binary.AppendUvarint([]byte{1, 5, 1}, uint64(len(block)))
		return askAllTerms(t, append(data, block...))
	}
	for _, right := range [][]byte{run(1, 0, 9), run(1, 3, 2, 10, 189), array(0, 1, 5, 199)} {
		if err := open(right); err != nil {
			t.Fatal(err)
		}
	}
	for name, forged := range map[string][]byte{
		"nothing": {}, "no run": run(1), "two containers": run(2, 0, 9), "beyond the templates": run(1, 3, 197),
		"overlapping runs": run(1, 0, 9, 5, 9), "runs backwards": run(1, 20, 3, 5, 3), "a run beyond 65,535": run(1, 65_000, 60_000),
		"values backwards": array(0, 5, 1), "a value twice": array(0, 5, 5), "a value beyond": array(0, 200), "a key beyond": array(1, 1),
		"a byte after it": append(run(1, 0, 9), 0), "too short": run(1, 0, 9)[:12], "too long": make([]byte, 8_209),
		"no cookie": make([]byte, 40), "a wrong cardinality": append(array(0, 1)[:6], make([]byte, 9000)...)[:8_208],
	} {
		if err := open(forged); !errors.Is(err, codec.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzOpenTerms(f *testing.F) {
	f.Add(smallTerms())
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, data []byte) { _ = askAllTerms(t, data) })
}

func BenchmarkTerms(b *testing.B) {
	builder, texts, adds := index.NewTermsBuilder(), make([][]byte, 5_000), 0
	for i := range texts {
		texts[i] = fmt.Appendf(nil, "/api/v1/orders/%05d/items", i*7919%len(texts))
	}
	add := func() {
		adds = 0
		for i, text := range texts {
			for template := i % 50; template < 4_000; template += 50 + i%900 {
				builder.Add(uint32(i%10), text, uint32(template))
				adds++
			}
		}
	}
	add()
	data := builder.AppendBinary(nil)
	terms, err := index.OpenTerms(data, 4_000)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("build", func(b *testing.B) {
		for b.Loop() {
			builder = index.NewTermsBuilder()
			add()
			data = builder.AppendBinary(data[:0])
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*adds), "ns/posting")
		b.ReportMetric(float64(len(data))/float64(adds), "bytes/posting")
		b.ReportMetric(float64(builder.MemoryBytes())/float64(len(texts)), "memory-bytes/term")
	})
	b.Run("lookup", func(b *testing.B) {
		i := 0
		for b.Loop() {
			if p, _, err := terms.Lookup(uint32(i%10), texts[i%len(texts)]); err != nil || p.Cardinality() == 0 {
				b.Fatal(p, err)
			}
			i++
		}
	})
	b.Run("each", func(b *testing.B) {
		for b.Loop() {
			for _, column := range terms.Columns() {
				if err := terms.Each(column, func([]byte, index.Postings) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(texts)), "ns/term")
	})
}

// Who keeps a term and adds to it gathers the same as who names its text each time.
func TestTermsAreAddedToWithoutTheirText(t *testing.T) {
	named, kept := index.NewTermsBuilder(), index.NewTermsBuilder()
	terms := map[string]*index.Term{}
	for i := range uint32(5000) {
		text := fmt.Sprint(i * i % 37)
		template := i * 7919 % 4096
		named.Add(3, []byte(text), template)
		if term := terms[text]; term != nil {
			kept.AddTo(term, template)
			continue
		}
		terms[text] = kept.Add(3, []byte(text), template)
	}
	if named.MemoryBytes() != kept.MemoryBytes() {
		t.Errorf("%d and %d bytes of memory", named.MemoryBytes(), kept.MemoryBytes())
	}
	if !bytes.Equal(named.AppendBinary(nil), kept.AppendBinary(nil)) {
		t.Error("the dictionaries differ")
	}
}
