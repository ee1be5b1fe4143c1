package otlp_test

import (
	"testing"

	"github.com/stoadb/stoa/engine/span"
)

// TestABatchNamesItsAttributesOnce: of requests of real senders, and of the workload of the targets,
// hardly an attribute stands twice in a batch's table, and not in the one that a form gives either.
func TestABatchNamesItsAttributesOnce(t *testing.T) {
	loads := map[string][][]byte{}
	for _, name := range dataFiles {
		loads[name] = requestsOf(t, name, 200)
	}
	loads["shop"], _ = made(t, "shop", 20_000)
	for name, requests := range loads {
		rows, lists, table, decoded, distinct, bytes := 0, 0, 0, 0, 0, 0
		for _, request := range requests {
			parts, _ := mustCut(t, request, 2)
			for _, p := range parts {
				b := p.Batch
				again, err := span.DecodeBatch(b.AppendBinary(nil), b.MemoryBytes()*2)
				if err != nil {
					t.Fatal(err)
				}
				known := map[span.Attr]bool{}
				for _, a := range b.Attrs {
					known[a] = true
				}
				rows, lists, table, distinct = rows+b.Len(), lists+len(b.AttrIDs), table+len(b.Attrs), distinct+len(known)
				decoded, bytes = decoded+len(again.Attrs), bytes+b.MemoryBytes()
			}
		}
		if most := distinct * 11 / 10; table > most || decoded > most {
			t.Errorf("%s: %d attributes in tables, %d decoded, %d differ", name, table, decoded, distinct)
		}
		perRow := func(n int) float64 { return float64(n) / float64(rows) }
		t.Logf("%s: of %.2f attributes a row %.3f stand in a table, %.3f decoded, %.3f differ; %.0f bytes a row",
			name, perRow(lists), perRow(table), perRow(decoded), perRow(distinct), perRow(bytes))
	}
}
