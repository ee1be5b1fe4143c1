package engine_test

import (
	"bytes"
	"testing"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// TestEntriesOfRequestsAreReplayed: a log whose entries hold requests, as those of version 1
// did, some of them among entries of forms, gives the same answers, and what is no request
// stands in quarantine as it was, however the shard is closed.
func TestEntriesOfRequestsAreReplayed(t *testing.T) {
	w, requests := smallWorld(t, 21)
	w.mustOpen()
	garbage := []byte{0xff, 0xff}
	appendRequests := func(requests ...[]byte) engine.Applied {
		w.seq++
		data := entryOfRequests(w.received, requests...)
		w.log[w.seq] = data
		e, err := engine.DecodeEntry(data)
		if err != nil {
			t.Fatal(err)
		}
		did, err := w.shard.Apply(w.seq, e)
		if err != nil {
			t.Fatal(err)
		}
		return did
	}
	for i, r := range requests {
		if i%2 == 1 {
			if err := w.append(r); err != nil {
				t.Fatal(err)
			}
			continue
		}
		b, err := w.model.Add(r)
		if err != nil {
			t.Fatal(err)
		}
		if did := appendRequests(r, r, garbage); did.Spans != b.Len() || did.Copies != 1 || did.Quarantined != 1 {
			t.Fatalf("request %d of %d spans: %+v", i, b.Len(), did)
		}
	}
	for how := range 3 {
		w.check(3)
		name := worldDir + "/quarantine/" + codec.HashBytes(garbage).String() + ".otlp"
		if kept, err := vfs.ReadFile(w.disk, name, 1<<10); err != nil || !bytes.Equal(kept, garbage) || w.shard.Quarantined() != 1 {
			t.Fatalf("%d in quarantine: %q, %v", w.shard.Quarantined(), kept, err)
		}
		if err := w.restart(how); err != nil {
			t.Fatal(err)
		}
	}
	w.check(3)
}
