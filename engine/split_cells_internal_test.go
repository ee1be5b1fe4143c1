package engine

import (
	"bytes"
	"testing"
)

// TestMakingCellsStopsAtTheBound, not some time after: what is passed by a name, a cell or a size
// is told at once, and nothing is taken up from then on.
func TestMakingCellsStopsAtTheBound(t *testing.T) {
	stopped := 0
	counter := &rateCounter{}
	m := newSplitCellMaker(10_000, 0, 0, func() { stopped++ })
	names := boundNumbers{counter, m}
	for i := range 50 {
		n := names.number([]byte("service"), bytes.Repeat([]byte{byte(i)}, 1000), 1)
		if again := names.number([]byte("service"), bytes.Repeat([]byte{byte(i)}, 1000), 1); again != n && stopped == 0 {
			t.Fatalf("name %d is number %d, then %d", i, n, again)
		}
		if wants := i < 10; wants != (n > 0) || (i < 9) != (stopped == 0) {
			t.Fatalf("name %d is number %d, stopped %d times", i, n, stopped)
		}
	}
	if kept := len(counter.numbered()); stopped != 1 || kept != 11 {
		t.Errorf("%d names are kept, stopped %d times", kept, stopped)
	}
	m = newSplitCellMaker(1000, 0, 0, func() { stopped++ })
	rows, lines := make([]tallyRow, 100), make([]line, 100)
	for i := range rows {
		rows[i].start, lines[i].callee = uint64(i)*splitStep, 1
	}
	m.add(0, rows, lines)
	if cells := len(m.keys); cells != 26 || stopped == 1 { // the last is beyond
		t.Errorf("%d cells are made, stopped %d times", cells, stopped-1)
	}
}
