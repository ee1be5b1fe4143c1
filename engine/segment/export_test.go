package segment

import (
	"slices"

	"github.com/stoadb/stoa/engine/column"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// CellTraceRowsMax is the longest trace that cells of edges count.
func CellTraceRowsMax() int { return cellTraceRowsMax }

// LowerCellTraceRows makes it shorter, until restore.
func LowerCellTraceRows(rows int) (restore func()) {
	before := cellTraceRowsMax
	cellTraceRowsMax = rows
	return func() { cellTraceRowsMax = before }
}

// LowerCellCallees makes writers tell fewer pairs of a service and a kind apart, until restore.
func LowerCellCallees(callees int) (restore func()) {
	before := cellCalleesMax
	cellCalleesMax = callees
	return func() { cellCalleesMax = before }
}

// HeldCalls is how many rows, callees and edges a writer holds, or has room for, to count calls anew.
func (w *Writer) HeldCalls() int {
	return cap(w.recount.rows) + cap(w.recount.ids) + len(w.cells.calleeList) + len(w.cells.edgeLines)
}

// SectionAt gives where a section stands, by the name that Print gives it; of "filters" it is the first column's
// filters.
func SectionAt(fs vfs.FS, name, section string) (offset, bytes int64) {
	s, err := Open(fs, name)
	if err != nil {
		return 0, 0
	}
	defer s.Close()
	if section == "filters" {
		if len(s.filters) == 0 {
			return 0, 0
		}
		return s.filters[0].offset, int64(s.filters[0].length)
	}
	ref := s.refs[slices.Index(sectionNames[:], section)]
	return ref.offset, int64(ref.length)
}

// FillTemplates makes all that follows find no room among the templates of the segment:
// what a few hundred spans with nothing in common would do, in a file that a person can read.
func (w *Writer) FillTemplates() {
	for _, level := range levels {
		w.folding[level].stuck, w.folding[level].spoilt = true, -templatesMax
	}
}

// FillColumns makes a key find no column of its own, as if thousands had come before.
func (w *Writer) FillColumns(level span.Level, kind span.ValueType, key string) {
	w.columnIDs[columnKey{level, kind, key}] = columnsOf(level).first
}

// Forge gives the file again with the payload of its n-th page changed (pages of row groups,
// then sections, then the footer) and all checksums and lengths right: what no accident
// leaves behind, and a decoder must bear all the same. false: there is no such page.
func Forge(fs vfs.FS, name string, n int, change func(payload []byte) []byte) ([]byte, bool) {
	s, err := Open(fs, name)
	if err != nil {
		return nil, false
	}
	defer s.Close()
	out, page, forged := appendHeader(nil), 0, false
	add := func(payload []byte) uint32 {
		if page == n {
			payload, forged = change(payload), true
		}
		page++
		before := len(out)
		out = column.AppendPage(out, payload, false)
		return uint32(len(out) - before)
	}
	at := int64(headerBytes)
	for i := range s.groups {
		g := &s.groups[i]
		for p := range g.pages {
			payload, err := s.readPage(at, g.pages[p].length)
			if err != nil {
				return nil, false
			}
			at += int64(g.pages[p].length)
			g.pages[p].length = add(payload)
		}
	}
	filters := &filterWriter{columns: map[uint32]*columnFilters{}}
	for _, f := range s.filters {
		payload, err := s.readPage(at, f.length)
		if err != nil {
			return nil, false
		}
		at += int64(f.length)
		filters.columns[f.column] = &columnFilters{data: make([]byte, add(payload))}
	}
	_, lengths, err := s.readFooter(new(Info))
	if err != nil {
		return nil, false
	}
	for i, length := range lengths {
		payload, err := s.readPage(at, length)
		if err != nil {
			return nil, false
		}
		at += int64(length)
		switch i {
		case sectionGroups:
			payload = appendGroups(nil, s.groups)
		case sectionFilters:
			payload = filters.appendRefs(nil, func(c *columnFilters) int { return len(c.data) })
		}
		lengths[i] = add(payload)
	}
	footer := int64(len(out))
	length := add(appendFooter(nil, &s.info, lengths))
	return tail{footer, length, codec.CRC(out)}.append(out), forged
}

// ForgeSection is Forge of a section, by the name that Print gives it; of "filters" it is the
// first column's filters.
func ForgeSection(fs vfs.FS, name, section string, change func(payload []byte) []byte) ([]byte, bool) {
	s, err := Open(fs, name)
	if err != nil {
		return nil, false
	}
	n := 0
	for i := range s.groups {
		n += len(s.groups[i].pages)
	}
	if section != "filters" {
		n += len(s.filters) + slices.Index(sectionNames[:], section)
	}
	s.Close()
	return Forge(fs, name, n, change)
}

// LowerStandingBytes makes writers hold less for standing terms, until restore.
func LowerStandingBytes(bytes int) (restore func()) {
	before := standingBytesMax
	standingBytesMax = bytes
	return func() { standingBytesMax = before }
}

// LowerMergeRows makes merges copy rows of inputs that have asIs of them, and writers end row groups at each
// rows, until restore.
func LowerMergeRows(asIs, rows int) (restore func()) {
	asIsBefore, rowsBefore := asIsRowsMin, groupRows
	asIsRowsMin, groupRows = asIs, rows
	return func() { asIsRowsMin, groupRows = asIsBefore, rowsBefore }
}

// PermutationsTold is how many of all orders of n slots templates tell apart by their hash.
func PermutationsTold(n int) (told, all int) {
	seen := map[uint64]bool{}
	slots := make([]slot, n)
	for i := range slots {
		slots[i] = slot{column: uint32(colFixed + i), value: uint64(i + 1)}
	}
	var permute func(from int)
	permute = func(from int) {
		if from == n {
			all++
			seen[templateHash([]uint32{1}, slots)] = true
			return
		}
		for i := from; i < n; i++ {
			slots[from], slots[i] = slots[i], slots[from]
			permute(from + 1)
			slots[from], slots[i] = slots[i], slots[from]
		}
	}
	permute(0)
	return len(seen), all
}

// SourceBytes is what the writer remembers of batches, and may remember.
func (w *Writer) SourceBytes() (remembered, most int) {
	for b := range w.sources {
		remembered += b.MemoryBytes()
	}
	return remembered, sourceBytesMax
}

// HeldFilterBytes is what the filters take that a writer holds of segments whose row groups it takes over.
func (w *Writer) HeldFilterBytes() int { return w.foreignFilterBytes }

// FilterBytes is how long the pages of its filters are.
func (s *Segment) FilterBytes() (total int) {
	for _, f := range s.filters {
		total += int(f.length)
	}
	return total
}
