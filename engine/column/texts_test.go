package column_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/stoadb/stoa/engine/column"
	"github.com/stoadb/stoa/internal/codec"
)

type failer interface{ Fatalf(string, ...any) }

// pageOf gives the page of values, made with memory that a writer keeps.
func pageOf(texts *column.Texts, pages *column.Pages, values [][]byte) []byte {
	texts.Reset()
	for _, v := range values {
		texts.Add(v)
	}
	return texts.AppendPage([]byte("before"), pages)[6:]
}

func payloadOf(values [][]byte) []byte {
	page := pageOf(new(column.Texts), new(column.Pages), values)
	if len(page) == 0 {
		return nil
	}
	payload, _, err := column.OpenPage(page, nil)
	if err != nil {
		panic(err)
	}
	return payload
}

func textOf(table *column.Table, id uint32) []byte {
	if id == 0 {
		return nil
	}
	return table.Text[table.Ends[id-1]:table.Ends[id]]
}

// textList is values that lead to one form.
type textList struct {
	name   string
	form   string
	values [][]byte
}

// textLists gives n values for each form, the same ones each time.
func textLists(n int) []textList {
	rng := rand.New(rand.NewPCG(5, 6))
	fill := func(next func(i int) string) [][]byte {
		values := make([][]byte, n)
		for i := range values {
			values[i] = []byte(next(i))
		}
		return values
	}
	some := func(from [][]byte, distinct int) [][]byte {
		values := make([][]byte, n)
		for i := range values {
			values[i] = from[rng.IntN(distinct)]
		}
		return values
	}
	digits := func(k int) string {
		raw := make([]byte, k)
		for i := range raw {
			raw[i] = byte(rng.Uint32())
		}
		return hex.EncodeToString(raw)
	}
	uuid := func(int) string {
		d := digits(16)
		return strings.Join([]string{d[:8], d[8:12], d[12:16], d[16:20], d[20:]}, "-")
	}
	words := strings.Fields("order paid by card customer asked for a seat in the second class of route number and got it at once")
	line := func(i int) string {
		out := fmt.Sprintf("order-%d ", i)
		for range rng.IntN(12) {
			out += words[rng.IntN(len(words))] + " "
		}
		return out
	}
	quoted := strings.Repeat(digits(500), 3)
	lists := []textList{
		{"lines", "plain texts", fill(line)},
		{"quotes", "plain texts", fill(func(i int) string { return line(i) + quoted })},
		{"uuids", "plain UUIDs", fill(uuid)},
		{"hex", "plain hexadecimal texts", fill(func(i int) string { return digits(i % 9 * 3) })},
		{"decimals", "plain decimal numbers", fill(func(i int) string { return fmt.Sprint(rng.Uint64() >> 1 >> (20 + i%5)) })},
	}
	for _, l := range lists[:5:5] {
		distinct := min(n/3+1, 9)
		lists = append(lists, textList{l.name + " again", "dictionary", some(l.values, distinct)})
	}
	return append(lists,
		textList{"one value", "dictionary of 1 texts", some([][]byte{[]byte("/api/v1/orders")}, 1)},
		textList{"one number", "dictionary of 1 decimal numbers", some([][]byte{[]byte("200")}, 1)},
		textList{"empty", "dictionary of 1 texts", some([][]byte{nil}, 1)})
}

// wantTexts compares every answer of a payload with the values.
func wantTexts(t failer, payload []byte, values [][]byte, ranges [][2]int) {
	c, err := column.OpenTexts(payload, len(values))
	if err != nil || c.Len() != len(values) {
		t.Fatalf("%d values: %v", len(values), err)
	}
	for _, cut := range append(ranges, [2]int{0, len(values)}) {
		for _, fresh := range []bool{false, true} { // chunks that stand open, and some that do not
			if fresh {
				c, _ = column.OpenTexts(payload, len(values))
			}
			wantRange(t, c, values, cut[0], cut[1])
		}
	}
	for i, want := range values {
		if got, err := c.Value(i); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("value %d is %q, %v, not %q", i, got, err, want)
		}
	}
	if len(values) == 0 {
		return
	}
	wantRows(t, payload, values, values[len(values)/2])
	for _, absent := range []string{"", "0", "00", "007", "-1", "nowhere", "18446744073709551616", "AA", "aa", "00000000-0000-0000-0000-000000000000"} {
		wantRows(t, payload, values, []byte(absent))
	}
}

func wantRange(t failer, c *column.TextColumn, values [][]byte, from, to int) {
	table := column.NewTable()
	table.Add([]byte("before"))
	ids, err := column.DecodeTexts([]uint32{1}, &table, c, from, to)
	if err != nil || len(ids) != 1+to-from || ids[0] != 1 {
		t.Fatalf("%d of [%d, %d): %v", len(ids)-1, from, to, err)
	}
	for i, id := range ids[1:] {
		got := textOf(&table, id)
		if !bytes.Equal(got, values[from+i]) {
			t.Fatalf("value %d is %q, not %q", from+i, got, values[from+i])
		}
		if len(got) == 0 && id != 0 {
			t.Fatalf("the empty text has id %d", id)
		}
	}
	if used := len(table.Ends) - 2; used > to-from {
		t.Fatalf("%d texts in the table for %d values", used, to-from)
	}
}

func wantRows(t failer, payload []byte, values [][]byte, value []byte) {
	c, err := column.OpenTexts(payload, len(values))
	if err != nil {
		t.Fatalf("%v", err)
	}
	equal, err := c.RowsEqual([]uint32{42}, value)
	where, err2 := c.RowsWhere([]uint32{42}, func(v []byte) bool { return bytes.HasPrefix(v, value) })
	wantEqual, wantWhere := []uint32{42}, []uint32{42}
	for i, v := range values {
		if bytes.Equal(v, value) {
			wantEqual = append(wantEqual, uint32(i))
		}
		if bytes.HasPrefix(v, value) {
			wantWhere = append(wantWhere, uint32(i))
		}
	}
	if err != nil || !slices.Equal(equal, wantEqual) {
		t.Fatalf("%q stands at %v, %v, not %v", value, equal, err, wantEqual)
	}
	if err2 != nil || !slices.Equal(where, wantWhere) {
		t.Fatalf("%q begins %v, %v, not %v", value, where, err2, wantWhere)
	}
	asked, among := []uint32{}, []uint32{42}
	for i := len(values) % 3; i < len(values); i += 1 + i%3 {
		if asked = append(asked, uint32(i)); bytes.Equal(values[i], value) {
			among = append(among, uint32(i))
		}
	}
	if equal, err = c.AppendEqual([]uint32{42}, asked, value); err != nil || !slices.Equal(equal, among) {
		t.Fatalf("of %v those that are %q: %v, %v, not %v", asked, value, equal, err, among)
	}
}

// lookAlikes are texts near the borders of what has a shorter form.
func lookAlikes() *rapid.Generator[[]byte] {
	return rapid.SampledFrom([][]byte{
		nil, []byte("0"), []byte("7"), []byte("007"), []byte("-1"), []byte("+1"), []byte("1e3"), []byte("9223372036854775807"),
		[]byte("9223372036854775808"), []byte("18446744073709551616"), []byte("99999999999999999999"), []byte("AB"), []byte("ab"),
		[]byte("abc"), []byte("deadbeef"), []byte("DEADBEEF"), []byte("01234567-89ab-cdef-0123-456789abcdef"),
		[]byte("01234567-89AB-cdef-0123-456789abcdef"), []byte("0123456789ab-cdef-0123-456789abcdef-"), {0xff, 0}, []byte("a"),
	})
}

func drawnTexts() *rapid.Generator[[][]byte] {
	return rapid.OneOf(
		rapid.SliceOf(rapid.SliceOf(rapid.Byte())),
		rapid.SliceOf(lookAlikes()),
		rapid.SliceOf(rapid.Map(rapid.Uint64(), func(v uint64) []byte { return []byte(fmt.Sprint(v >> (v % 64))) })),
		rapid.SliceOf(rapid.Map(rapid.SliceOf(rapid.Byte()), func(v []byte) []byte { return []byte(hex.EncodeToString(v)) })),
		rapid.SliceOfN(rapid.Custom(func(t *rapid.T) []byte {
			return []byte{byte(rapid.IntRange(0, 255).Draw(t, "one"))}
		}), 100, 300),
		rapid.Custom(func(t *rapid.T) [][]byte {
			lists := textLists(rapid.IntRange(1, 400).Draw(t, "n"))
			values := rapid.SampledFrom(lists).Draw(t, "list").values
			if rapid.Bool().Draw(t, "odd one") {
				values = append(values, lookAlikes().Draw(t, "odd"))
			}
			return values
		}),
	)
}

func TestTextsComeBackExactlyWholeAndInPart(t *testing.T) {
	var texts column.Texts
	var pages column.Pages
	rapid.Check(t, func(t *rapid.T) {
		values := drawnTexts().Draw(t, "values")
		page := pageOf(&texts, &pages, values)
		for i, code := range texts.Codes() {
			if !bytes.Equal(texts.Value(code), values[i]) {
				t.Fatalf("value %d is %q in the builder, not %q", i, texts.Value(code), values[i])
			}
		}
		if filled := slices.ContainsFunc(values, func(v []byte) bool { return len(v) > 0 }); texts.Filled() != filled || texts.Len() != len(values) {
			t.Fatalf("filled %v, %d values", texts.Filled(), texts.Len())
		}
		if len(values) == 0 {
			if len(page) > 0 {
				t.Fatalf("no values make a page of %d bytes", len(page))
			}
			wantTexts(t, nil, nil, nil)
			return
		}
		payload, _, err := column.OpenPage(page, nil)
		if err != nil || !bytes.Equal(payload, payloadOf(values)) {
			t.Fatalf("same values, other bytes, or %v", err)
		}
		from := rapid.IntRange(0, len(values)).Draw(t, "from")
		to := rapid.IntRange(from, len(values)).Draw(t, "to")
		wantTexts(t, payload, values, [][2]int{{from, to}, {from, from}})
	})
}

func TestTextsOfAnySizeComeBackExactly(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	noise := make([]byte, 1<<20)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	huge := bytes.Repeat([]byte("all the same "), 1<<20/13)
	for _, l := range append(textLists(4096),
		textList{"huge", "plain texts", [][]byte{noise, nil, []byte("small"), huge, noise[:70_000], huge[1:], noise[:16<<10]}},
		textList{"huge and again", "dictionary of 2 texts", [][]byte{noise, huge, huge, noise}}) {
		payload := payloadOf(l.values)
		if got := column.TextsForm(payload); !strings.HasPrefix(got, l.form) {
			t.Fatalf("%s stand as %s", l.name, got)
		}
		n := len(l.values)
		wantTexts(t, payload, l.values, [][2]int{{n / 2, min(n/2+40, n)}, {n - 1, n}, {n / 3, n - n/3}})
	}
}

// Who keeps columns counts MemoryBytes, and is told of each byte that it grows.
func TestAColumnSaysWhatItHolds(t *testing.T) {
	for _, l := range textLists(4096) {
		payload := payloadOf(l.values)
		c, err := column.OpenTexts(payload, len(l.values))
		if err != nil {
			t.Fatal(err)
		}
		told := c.MemoryBytes()
		if told < len(payload) || told > len(payload)+9*len(l.values)+1000 {
			t.Fatalf("%s: %d bytes at the start, payload of %d", l.name, told, len(payload))
		}
		c.Grows(func(bytes int) { told += bytes })
		distinct, total := map[string]bool{}, 0
		for i := range l.values {
			v, err := c.Value(i)
			if err != nil {
				t.Fatal(err)
			}
			if !distinct[string(v)] {
				distinct[string(v)] = true
				total += len(v)
			}
		}
		if c.MemoryBytes() != told || told < total || told > 3*total+17*len(l.values)+1000 {
			t.Fatalf("%s: %d bytes said, %d told, texts of %d", l.name, c.MemoryBytes(), told, total)
		}
	}
}

func TestAColumnServesManyAtOnce(t *testing.T) {
	for _, l := range textLists(2000) {
		c, err := column.OpenTexts(payloadOf(l.values), len(l.values))
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for g := range 4 {
			all.Go(func() {
				for i := range l.values {
					i = (i*7 + g*500) % len(l.values)
					if got, err := c.Value(i); err != nil || !bytes.Equal(got, l.values[i]) {
						t.Errorf("%s: value %d is %q, %v", l.name, i, got, err)
						return
					}
				}
			})
		}
		all.Wait()
	}
}

// wantHarmlessTexts reads wrong bytes in every way: errors are ErrCorrupt, and all ends.
func wantHarmlessTexts(t *testing.T, payload []byte, n int) {
	t.Helper()
	check := func(err error) bool {
		if err != nil && !errors.Is(err, codec.ErrCorrupt) {
			t.Fatal(err)
		}
		return err == nil
	}
	c, err := column.OpenTexts(payload, n)
	if !check(err) {
		return
	}
	table := column.NewTable()
	ids, err := column.DecodeTexts[uint64](nil, &table, c, 0, n)
	whole := check(err)
	if whole && len(ids) != n {
		t.Fatalf("%d texts, %d asked", len(ids), n)
	}
	ids, err = column.DecodeTexts(ids[:0], &table, c, n/3, n-n/3)
	if check(err) != whole && whole {
		t.Fatalf("whole, but not in part: %v", err)
	}
	for _, id := range ids {
		textOf(&table, uint32(id))
	}
	for _, i := range []int{0, n / 2, n - 1} {
		if n == 0 {
			break
		}
		v, err := c.Value(i)
		if !check(err) {
			continue
		}
		rows, err := c.RowsEqual(nil, v)
		if check(err) && whole && !slices.Contains(rows, uint32(i)) {
			t.Fatalf("value %d, %q, does not equal itself", i, v)
		}
	}
	_, err = c.RowsWhere(nil, func(v []byte) bool { return len(v)%2 == 0 })
	check(err)
}

func TestCutOrFlippedTextsAreAnErrorOrHarmless(t *testing.T) {
	for _, l := range textLists(50) {
		if l.name == "quotes" || l.name == "quotes again" {
			l.values = l.values[:30] // two chunks and more
		}
		payload := payloadOf(l.values)
		for cut := range payload {
			wantHarmlessTexts(t, payload[:cut], len(l.values))
		}
		for bit := range min(len(payload), 4000) * 8 {
			flipped := slices.Clone(payload)
			flipped[bit/8] ^= 1 << (bit % 8)
			wantHarmlessTexts(t, flipped, len(l.values))
		}
	}
}

// A few bytes that say they are much more cost no memory.
func TestForgedSizesAreRefusedBeforeTheyCost(t *testing.T) {
	frame := codec.AppendZstd(nil, make([]byte, 1000))
	for name, c := range map[string]struct {
		payload []byte
		n       int
	}{
		"many chunks":              {append([]byte{0, 0, 1}, binary.AppendUvarint(nil, 4000)...), 4096},
		"chunk beyond its frame":   {slices.Concat([]byte{0, 0, 0, 1}, binary.AppendUvarint(nil, 150<<20), frame), 1},
		"long chunk of two":        {slices.Concat([]byte{0, 0, 0, 1}, binary.AppendUvarint(nil, 5<<20), make([]byte, 5<<20)), 2},
		"other content":            {slices.Concat([]byte{0, 0}, binary.AppendUvarint(nil, 900), []byte{1}, binary.AppendUvarint(nil, 900), frame), 1},
		"numbers in a small frame": {slices.Concat([]byte{6, 5}, binary.AppendUvarint(nil, 1<<26), []byte{byte(len(frame))}, frame), 4096},
		"frame in a frame":         {slices.Concat([]byte{6, 5, 2}, codec.AppendLengthBytes(nil, codec.AppendZstd(nil, []byte{5, 0}))), 4096},
		"more entries":             {[]byte{1, 200, 1, 0, 0, 0, 0, 1, 0}, 100},
		"no values":                {[]byte{0, 0, 0, 1, 0}, 0},
		"less than no values":      {nil, -1},
	} {
		allocated := testing.AllocsPerRun(1, func() {
			texts, err := column.OpenTexts(c.payload, c.n)
			if err == nil {
				_, err = texts.Value(0)
			}
			if !errors.Is(err, codec.ErrCorrupt) {
				t.Errorf("%s: %v", name, err)
			}
		})
		if allocated > 200 {
			t.Errorf("%s: %v allocations", name, allocated)
		}
	}
}

// The bytes of each form change only by decision.
func TestTheBytesOfTextsAreThese(t *testing.T) {
	var got bytes.Buffer
	lists := textLists(24)
	for i := range lists {
		if strings.HasPrefix(lists[i].name, "quotes") { // a few kilobytes are no more than one
			for k, v := range lists[i].values {
				lists[i].values[k] = v[:min(len(v), 60)]
			}
		}
	}
	lists = append(lists, textList{"two chunks", "plain texts", [][]byte{bytes.Repeat([]byte("ab"), 6000), bytes.Repeat([]byte("ba"), 6000), []byte("end")}})
	for _, l := range lists {
		page := pageOf(new(column.Texts), new(column.Pages), l.values)
		payload, _, err := column.OpenPage(page, nil)
		if err != nil {
			t.Fatal(err)
		}
		form := column.TextsForm(payload)
		if !strings.HasPrefix(form, l.form) {
			t.Fatalf("%s stand as %s", l.name, form)
		}
		fmt.Fprintf(&got, "%s: %s, %s\n", l.name, form, column.PageForm(page))
		for part := range slices.Chunk(page, 32) {
			fmt.Fprintf(&got, "  % x\n", part)
		}
	}
	golden := filepath.Join("testdata", "texts.golden")
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

func FuzzTexts(f *testing.F) {
	for _, l := range textLists(20) {
		f.Add(payloadOf(l.values), uint16(len(l.values)))
	}
	f.Fuzz(func(t *testing.T, payload []byte, n uint16) { wantHarmlessTexts(t, payload, int(n)) })
}
