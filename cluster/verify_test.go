package cluster_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
)

// TestVerifyReportsAFileThatNobodyWroteSoLarge and goes on.
func TestVerifyReportsAFileThatNobodyWroteSoLarge(t *testing.T) {
	disk := vfs.NewCrash(1)
	s := open(t, small(disk))
	write(t, s, enginetest.Payload(enginetest.NewGenerator(1, 9).Spans(50)))
	shut(t, s)
	if err := vfs.ReplaceFile(disk, "imports", make([]byte, 16<<20+1)); err != nil {
		t.Fatal(err)
	}
	var damages []string
	done, err := cluster.Verify(disk, func(damage error) { damages = append(damages, damage.Error()) })
	if err != nil || len(damages) != 1 || !strings.Contains(damages[0], "imports: offset 0") {
		t.Fatalf("reported %q, %v", damages, err)
	}
	if done.Rows < 40 { // the generator repeats a few
		t.Fatalf("verified %d rows of about 50", done.Rows)
	}
}

// TestALimitOfZeroIsTheDefault as in the engine.
func TestALimitOfZeroIsTheDefault(t *testing.T) {
	s := open(t, small(vfs.NewCrash(1)))
	write(t, s, enginetest.Payload(enginetest.NewGenerator(1, 150).Spans(600)))
	q := span.AllTime()
	q.Limit = 0
	found, err := s.Find(context.Background(), q)
	if err != nil || len(found) != span.LimitDefault {
		t.Fatalf("%d traces, %v; want %d", len(found), err, span.LimitDefault)
	}
}
