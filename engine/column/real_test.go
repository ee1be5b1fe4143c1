package column_test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stoadb/stoa/internal/codec"
)

// realPage is the texts of one column in one row group.
type realPage struct {
	column string
	values [][]byte
}

// realPages cuts the texts of a file of real traces into pages as a segment has them: traces
// by their first start, spans by their start, a column per level and key, 4,096 spans a page.
// It reads the few fields of OTLP that it needs by itself: the walker stands on this floor.
func realPages(t testing.TB, name string) []realPage {
	t.Helper()
	file, err := os.Open(filepath.Join("..", "..", "..", "shared", "data", name))
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("SKIP: %s is absent from ../shared/data of the repository root: nothing was measured over real traces", name)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	z, err := codec.NewZstdReader(file, codec.FileWindowBytesMax)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	all, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	var spans []realSpan
	firsts := map[string]uint64{}
	for len(all) > 0 {
		n, k := binary.Uvarint(all)
		eachField(all[k:k+int(n)], 1, func(resource []byte) {
			eachField(resource, 2, func(scope []byte) {
				eachField(scope, 2, func(span []byte) {
					s := realSpan{body: span}
					eachField(span, 1, func(id []byte) { s.trace = string(id) })
					eachField(span, 7, func(start []byte) { s.start = binary.LittleEndian.Uint64(start) })
					if first, known := firsts[s.trace]; !known || s.start < first {
						firsts[s.trace] = s.start
					}
					spans = append(spans, s)
				})
			})
		})
		all = all[k+int(n):]
	}
	slices.SortStableFunc(spans, func(a, b realSpan) int {
		return cmp.Or(cmp.Compare(firsts[a.trace], firsts[b.trace]), cmp.Compare(a.trace, b.trace), cmp.Compare(a.start, b.start))
	})
	var pages []realPage
	for group := range slices.Chunk(spans, 4096) {
		pages = append(pages, groupPages(group)...)
	}
	return pages
}

type realSpan struct {
	trace string
	start uint64
	body  []byte
}

// groupPages gives the text columns of a row group, in order of their names.
func groupPages(spans []realSpan) []realPage {
	columns := map[string][][]byte{}
	attribute := func(level string) func(pair []byte) {
		return func(pair []byte) {
			key := ""
			eachField(pair, 1, func(b []byte) { key = string(b) })
			eachField(pair, 2, func(value []byte) {
				eachField(value, 1, func(text []byte) { columns[level+key] = append(columns[level+key], text) })
			})
		}
	}
	for _, s := range spans {
		eachField(s.body, 5, func(name []byte) { columns["span name"] = append(columns["span name"], name) })
		eachField(s.body, 9, attribute("span "))
		eachField(s.body, 11, func(event []byte) {
			eachField(event, 2, func(name []byte) { columns["event name"] = append(columns["event name"], name) })
			eachField(event, 3, attribute("event "))
		})
	}
	var pages []realPage
	for name, values := range columns {
		pages = append(pages, realPage{name, values})
	}
	slices.SortFunc(pages, func(a, b realPage) int { return cmp.Compare(a.column, b.column) })
	return pages
}

// eachField calls do with every field of a number that has bytes: strings, messages, fixed64.
func eachField(message []byte, number uint64, do func([]byte)) {
	for len(message) > 0 {
		key, k := binary.Uvarint(message)
		message = message[k:]
		var body []byte
		switch key & 7 {
		case 0:
			_, k = binary.Uvarint(message)
			message = message[k:]
			continue
		case 1:
			body, message = message[:8], message[8:]
		case 5:
			body, message = message[:4], message[4:]
		default:
			n, k := binary.Uvarint(message)
			body, message = message[k:k+int(n)], message[k+int(n):]
		}
		if key>>3 == number {
			do(bytes.Clone(body))
		}
	}
}
