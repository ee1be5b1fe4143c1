package cluster_test

import (
	"testing"
	"time"

	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/internal/vfs"
)

// TestShardsFreezeInTurns: of shards that fill at one pace each seals its first memtable a
// share of its bound after the one before, and the next ones at its whole bound.
func TestShardsFreezeInTurns(t *testing.T) {
	const shards = 4
	o := small(vfs.NewCrash(1))
	o.Shards, o.MemtableBytesMax = shards, 400<<10
	o.Now = func() time.Time { return time.Unix(1_767_225_600, 0) }
	s := open(t, o)
	var first, second [shards]int // how many requests it took
	for n, sealed := 1, 0; sealed < 2*shards; n++ {
		var spans []enginetest.Sized
		for i := range 64 {
			spans = append(spans, enginetest.Sized{Trace: n*64 + i, Bytes: 60})
		}
		write(t, s, enginetest.SizedPayload(spans...))
		for i, stats := range s.Stats().Shards {
			switch seals := stats.Segments + stats.Frozen; {
			case seals > 0 && first[i] == 0:
				first[i] = n
				sealed++
			case seals > 1 && second[i] == 0:
				second[i] = n
				sealed++
			}
		}
		if n > 2000 {
			t.Fatalf("seals after so many requests: %v, %v", first, second)
		}
	}
	for i := range shards {
		whole := second[i] - first[i]
		if want := whole * (i + 1) / shards; first[i] < want-whole/8 || first[i] > want+whole/8 {
			t.Errorf("shard %d sealed after %d requests, then %d", i, first[i], whole)
		}
	}
	if t.Failed() {
		t.Logf("first %v, second %v", first, second)
	}
}

// TestTheOnlyShardSealsAtThreeQuarters of what a store's memtables may hold; one of two at half of it, and
// one that shares its room with other stores at all of it.
func TestTheOnlyShardSealsAtThreeQuarters(t *testing.T) {
	const all = 400 << 10
	for _, c := range []struct {
		name   string
		shards int
		shared *cluster.Shared
		want   int
	}{{"alone", 1, nil, all * 3 / 4}, {"one of two", 2, nil, all / 2}, {"beside others", 1, cluster.NewShared(), all}} {
		t.Run(c.name, func(t *testing.T) {
			o := small(vfs.NewCrash(1))
			o.Shards, o.MemtableBytesMax, o.MemtableBytes, o.Shared = c.shards, 0, all, c.shared
			o.Now = func() time.Time { return time.Unix(1_767_225_600, 0) }
			s := open(t, o)
			last, most := s.Shards()-1, 0 // the others seal their first memtable early
			for n := 1; s.Stats().Shards[last].Segments+s.Stats().Shards[last].Frozen == 0; n++ {
				most = s.Stats().Shards[last].MemtableBytes
				var spans []enginetest.Sized
				for i := range 64 {
					spans = append(spans, enginetest.Sized{Trace: n*64 + i, Bytes: 60})
				}
				write(t, s, enginetest.SizedPayload(spans...))
				if n > 2000 {
					t.Fatalf("no seal with %d bytes", most)
				}
			}
			if most < c.want*7/8 || most > c.want {
				t.Errorf("sealed above %d bytes, want about %d", most, c.want)
			}
		})
	}
}
