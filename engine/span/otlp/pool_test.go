package otlp_test

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// contents gives all that a part is, as one string.
func contents(p otlp.Part) string {
	b := []byte(fmt.Sprintln(p.Shard, p.Spans, p.Bytes))
	for _, r := range rowsOf(p.Batch) {
		b = span.AppendContent(b, r)
	}
	b = fmt.Append(b, p.Batch.AttrIDs, p.Batch.Attrs)
	return string(p.Batch.AppendBinary(b))
}

// TestPartsOwnTheirMemory: neither the request's bytes, used again by the caller, nor the
// working memory that later cuts use again, shines through.
func TestPartsOwnTheirMemory(t *testing.T) {
	raw := bytes.Clone(small)
	parts, _ := mustCut(t, raw, 1)
	before := contents(parts[0])
	clear(raw)
	for _, name := range sortedCases() {
		mustCut(t, oddCases[name], 1)
	}
	if contents(parts[0]) != before {
		t.Error("the part changed after Cut returned")
	}
}

func TestConcurrentCutsDoNotDisturbEachOther(t *testing.T) {
	names := sortedCases()
	want := map[string][]string{}
	for _, name := range names {
		parts, _ := mustCut(t, oddCases[name], shards)
		for _, p := range parts {
			want[name] = append(want[name], contents(p))
		}
	}
	var group sync.WaitGroup
	for g := range 4 {
		group.Go(func() {
			for i := range 20 * len(names) {
				name := names[(i*(g+1)+g)%len(names)]
				parts, _, err := otlp.Cut(oddCases[name], shards, placeBy(shards))
				if err != nil || len(parts) != len(want[name]) {
					t.Errorf("%s: %d parts, %v", name, len(parts), err)
					return
				}
				for j, p := range parts {
					if contents(p) != want[name][j] {
						t.Errorf("%s: part %d differs between runs", name, j)
					}
				}
			}
		})
	}
	group.Wait()
}

// TestBatchesHoldNoSlack: a memtable keeps batches for long, so what they hold in memory
// is what they need.
func TestBatchesHoldNoSlack(t *testing.T) {
	var spans [][]byte
	for i := range 700 {
		spans = append(spans, spanOf(textField(5, "name"), attr("k", stringValue(fmt.Sprint("value ", i))), bytesField(11, textField(2, "e"))))
	}
	parts, _ := mustCut(t, request(spans...), 1)
	b := parts[0].Batch
	const columns = 3 // names, ends of attributes and of events: all others are zeros
	content := len(b.Text) + 4*len(b.TextEnd) + b.Len()*(16+4*8+4*columns) + 16*(len(b.Attrs)+len(b.ResourceAttrs)) + 4*len(b.AttrIDs) + 24*len(b.Events)
	if got := b.MemoryBytes(); got > content*11/10 {
		t.Errorf("%d bytes held for %d of content", got, content)
	}
}
