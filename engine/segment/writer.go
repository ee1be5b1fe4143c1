package segment

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/stoadb/stoa/engine/column"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/index"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// Writer makes a segment front to back. It holds one row group, the dictionaries of
// resources, scopes and keys, 24 bytes a trace, and a few source batches (to know their
// resources and keys again); of a flush what is noted of its rows. After the first error all calls give that error; Abort, or a
// Finish that fails, removes the file. It serves one goroutine.
type Writer struct {
	fs   vfs.FS
	out  output
	info Info
	err  error
	done bool

	hashes    []Received
	resources *dictionary
	scopes    *dictionary
	columns   []columnKey
	columnIDs map[columnKey]uint32
	sieve     keySieve // of columnIDs, once they are as many as allowed
	groups    []groupRef
	traces    []traceRef
	catalog   *index.Catalog
	keys      []keyStats // by column
	// The keys are summed from those of a merge's inputs: values are not counted (key_sums.go).
	keysSummed bool
	filters    filterWriter
	standing   standing
	// What the filters of a merge's inputs take that are held.
	foreignFilterBytes int

	cells   *cellWriter
	recount Recount

	templateTexts *templateTexts
	folding       [span.Levels]*folding
	templates     [span.Levels]*templateTable // those of the segment, once all are there

	last        traceKey // of the last trace
	lastStart   uint64   // of the last row
	sources     map[*span.Batch]*source
	sourceBytes int
	source      *source // of the last row
	group       *groupWriter
	foreign     map[*Segment]*foreign // whose row groups were taken over
	flushing    *flushing             // where all rows are known before
	copied      copyBuffers
}

// traceKey is the order of traces in a segment.
type traceKey struct {
	start uint64
	id    span.TraceID
}

// NewWriter creates the file.
func NewWriter(fs vfs.FS, name string, meta Meta) (*Writer, error) {
	file, err := fs.Create(name)
	if err != nil {
		return nil, fmt.Errorf("create segment: %w", err)
	}
	w := &Writer{
		fs:  fs,
		out: output{file: file, name: name},
		info: Info{
			Name: name, MinStart: 1,
			Shard: meta.Shard, Tenant: meta.Tenant, Windows: meta.Windows, FirstSeq: meta.FirstSeq, LastSeq: meta.LastSeq,
			MinReceived: meta.MinReceived, MaxReceived: meta.MaxReceived, Generation: meta.Generation,
		},
		hashes:    meta.Hashes,
		resources: newDictionary(resourceOf, addResource),
		scopes:    newDictionary(scopeOf, addScope),
		columnIDs: map[columnKey]uint32{},
		catalog:   index.NewCatalog(),
		sources:   map[*span.Batch]*source{},
		cells:     newCellWriter(),
	}
	w.templateTexts = newTemplateTexts()
	for _, level := range levels {
		w.folding[level] = newFolding(level, w.templateTexts)
	}
	w.group = newGroupWriter(w)
	w.err = w.out.write(appendHeader(nil))
	return w, nil
}

// Add appends rows of a trace: distinct, complete, in the order of span.Compare. A trace
// may come in several calls, one after another; traces come by (start of the first row,
// trace id). The batches must not change before Finish or Abort, and the segments that they were
// read from stay open as long.
func (w *Writer) Add(trace span.TraceID, rows []span.Row) error {
	if w.err != nil || len(rows) == 0 {
		return w.err
	}
	if err := w.beginTrace(trace, rows[0].Start()); err != nil {
		return err
	}
	for _, row := range rows {
		if w.source == nil || w.source.batch != row.Batch {
			w.source = w.sourceOf(row.Batch)
		}
		if w.addRow(row, w.source) != nil {
			return w.err
		}
	}
	return w.checkRows()
}

// beginTrace begins a trace with its first row, unless it is the one that is being written.
func (w *Writer) beginTrace(id span.TraceID, start uint64) error {
	if n := len(w.traces); n == 0 || w.traces[n-1].id != id {
		if err := w.begin(traceKey{start, id}, w.info.Rows); err != nil {
			return w.fail(err)
		}
		w.group.startTrace()
	}
	return nil
}

// addRow adds a row of the trace begun last.
func (w *Writer) addRow(row span.Row, s *source) error {
	if err := w.checkStart(row.Start()); err != nil {
		return err
	}
	w.group.add(row, s)
	w.countRow()
	return nil
}

// checkStart fails where a row of the trace begun last begins before the one before it.
func (w *Writer) checkStart(start uint64) error {
	if start < w.lastStart {
		return w.fail(fmt.Errorf("%s: trace %s: rows out of order", w.info.Name, w.last.id))
	}
	w.lastStart = start
	return nil
}

// countRow counts the row that was added, and ends the row group where it is full.
func (w *Writer) countRow() {
	w.info.Rows++
	w.traces[len(w.traces)-1].rows++
	if w.group.rows >= groupRows || w.group.bytes >= groupBytesMax {
		w.endGroup()
	}
}

// checkRows fails where there are too many.
func (w *Writer) checkRows() error {
	if w.err == nil && w.info.Rows > rowsMax {
		w.fail(fmt.Errorf("%s: more than %d rows", w.info.Name, rowsMax))
	}
	return w.err
}

// begin begins a trace at a row.
func (w *Writer) begin(key traceKey, row int) error {
	if len(w.traces) > 0 && (key.start < w.last.start || key.start == w.last.start && key.id.Compare(w.last.id) <= 0) {
		return fmt.Errorf("%s: trace %s comes after %s", w.info.Name, key.id, w.last.id)
	}
	w.last, w.lastStart = key, key.start
	w.traces = append(w.traces, traceRef{id: key.id, first: uint32(row)})
	return nil
}

func (w *Writer) fail(err error) error {
	if w.err == nil {
		w.err = err
	}
	return w.err
}

func (w *Writer) endGroup() {
	if w.group.rows > 0 && w.err == nil {
		w.err = w.group.end()
	}
}

// Finish writes the tables, the footer and the tail, and syncs the file. The folder's
// entry is the caller's to sync.
func (w *Writer) Finish() (Info, error) {
	if w.done {
		return Info{}, errors.New("segment writer is closed")
	}
	w.checkFlushed()
	w.endGroup()
	if w.err == nil {
		w.err = w.finish()
	}
	if w.err != nil {
		err := w.err
		w.Abort()
		return Info{}, err
	}
	w.done = true
	return w.info, nil
}

func (w *Writer) finish() error {
	w.info.Traces, w.info.Groups = len(w.traces), len(w.groups)
	ids, traceRows := appendTraces(nil, nil, w.traces)
	for i := 1; i < len(w.traces); i++ {
		if w.traces[i].id == w.traces[i-1].id {
			return fmt.Errorf("%s: trace %s comes in two places", w.info.Name, w.traces[i].id)
		}
	}
	w.tellOperations()
	pages := sectionPages{w: w}
	pages.pages[sectionEdgeCells], pages.pages[sectionOperationCells] = w.cells.pages(w)
	for i, payload := range [sections][]byte{
		sectionResources: appendTables(nil, w.resources.batch),
		sectionScopes:    appendTables(nil, w.scopes.batch),
		sectionColumns:   appendColumns(nil, w.columns),
		sectionTemplates: w.appendTemplates(nil),
		sectionGroups:    appendGroups(nil, w.groups),
		sectionTraceIDs:  ids,
		sectionTraceRows: traceRows,
		sectionCatalog:   w.catalog.AppendBinary(nil),
		sectionHashes:    appendHashes(nil, w.hashes),
		sectionKeys:      w.keyCounts(),
	} {
		if !ofIndex(i) && !isCells(i) {
			pages.set(i, payload)
		}
	}
	if err := w.writeIndex(&pages); err != nil {
		return err
	}
	var lengths [sections]uint32
	for i, page := range pages.pages {
		lengths[i] = uint32(len(page))
		if err := w.out.write(page); err != nil {
			return err
		}
	}
	footer := w.out.offset()
	page := column.AppendPage(nil, appendFooter(nil, &w.info, lengths), true)
	if err := w.out.write(page); err != nil {
		return err
	}
	w.info.CRC = w.out.crc
	if err := w.out.write(tail{footer, uint32(len(page)), w.info.CRC}.append(nil)); err != nil {
		return err
	}
	w.info.Bytes = w.out.offset()
	return w.out.close()
}

// shrinks tells the sections that zstd is worth a try for: ids and fingerprints are random.
func shrinks(section int) bool {
	return section != sectionTraceIDs && section != sectionTraceFilter
}

// appendTemplates appends the tables of all levels, and counts the attributes in them.
func (w *Writer) appendTemplates(dst []byte) []byte {
	for _, level := range levels {
		t := w.folding[level].shared.finished(w.columns)
		w.templates[level] = t
		dst = t.appendTo(dst)
		if !w.keysSummed {
			w.countFolded(t, func(i int) uint64 { return t.rows[i] })
		}
	}
	return dst
}

// ofIndex tells the sections that writeIndex makes.
func ofIndex(section int) bool {
	return section == sectionTraceFilter || section == sectionTerms || section == sectionStanding || section == sectionFilters
}

// sectionPages are the pages of the sections on their way; the first error stays in err.
type sectionPages struct {
	w     *Writer
	pages [sections][]byte
	err   error
}

func (p *sectionPages) set(section int, payload []byte) {
	page := column.AppendPage(nil, payload, shrinks(section))
	if p.err == nil && (len(payload) > column.PageBytesMax || len(page) > footerBytesMax) {
		p.err = fmt.Errorf("%s: a table of %d bytes, at most %d", p.w.info.Name, len(payload), column.PageBytesMax)
	}
	if isTable(section) {
		p.w.info.TableBytes += int64(len(payload))
	}
	p.pages[section] = page
}

// writeIndex writes the filters and makes the sections that answer where something is: all
// together a tenth of the file, but for what a small file may have anyway. Filters go first,
// the largest ones before others, then the standing terms, then the terms; the filter of traces stays.
func (w *Writer) writeIndex(p *sectionPages) error {
	stored := w.out.offset()
	for _, page := range p.pages {
		stored += int64(len(page))
	}
	hashes := make([]uint64, len(w.traces))
	for i, t := range w.traces {
		hashes[i] = index.HashTraceID(t.id)
	}
	p.set(sectionTraceFilter, index.AppendFilter(nil, hashes))
	p.set(sectionTerms, appendTerms(nil, &w.templates, w.columns))
	left := max(stored/(indexShare-1), indexBytesMin) - int64(len(p.pages[sectionTraceFilter]))
	if int64(len(p.pages[sectionTerms])) > left {
		p.set(sectionTerms, index.NewTermsBuilder().AppendBinary(nil))
	}
	left -= int64(len(p.pages[sectionTerms]))
	p.set(sectionStanding, w.standing.appendTerms(nil, w.templates[span.SpanLevel].standsIn(len(w.columns)), w.info.Rows))
	if int64(len(p.pages[sectionStanding])) > left {
		p.set(sectionStanding, index.NewTermsBuilder().AppendBinary(nil))
	}
	refs, err := w.filters.write(&w.out, left-int64(len(p.pages[sectionStanding])))
	p.set(sectionFilters, refs)
	return cmp.Or(err, p.err)
}

// keyCounts gives what is counted of the attributes, or that nothing is known where sums of a merge's inputs cannot
// be: of what was wrong there under a right checksum more was taken off than there was.
func (w *Writer) keyCounts() []byte {
	wrapped := func(k keyStats) bool {
		return k.Values > math.MaxInt64 || k.TextBytes > math.MaxInt64 || k.Values == 0 && k.TextBytes > 0
	}
	if w.keysSummed && slices.ContainsFunc(w.keys, wrapped) {
		return index.AppendNoKeyCounts(nil)
	}
	return appendKeyCounts(nil, w.columns, w.keys)
}

// appendKeyCounts appends how many values each attribute column has.
func appendKeyCounts(dst []byte, columns []columnKey, keys []keyStats) []byte {
	counts := make([]index.KeyCount, 0, len(keys))
	for i := range keys {
		c, k := columns[i], &keys[i]
		counts = append(counts, index.KeyCount{Level: c.level, Key: c.key, Type: c.kind, Values: k.Values, TextBytes: k.TextBytes, Distinct: k.counter.Distinct()})
	}
	return index.AppendKeyCounts(dst, counts)
}

// appendTerms appends which templates have a value, for the attributes and names in them.
func appendTerms(dst []byte, tables *[span.Levels]*templateTable, columns []columnKey) []byte {
	terms := index.NewTermsBuilder()
	var number []byte
	for _, level := range levels {
		t := tables[level]
		last := make([]columnTerm, len(t.texts.Ends)) // by text: nearly all are values of one column
		for i := range t.ends {
			for _, s := range t.slotsOf(uint32(i)) {
				if s.own || isMapped(level, s.column) {
					continue
				}
				if hasText, _ := slotOf(level, uint64(s.column), columns); hasText {
					l := &last[s.value]
					if l.term != nil && l.column == s.column {
						terms.AddTo(l.term, uint32(i))
						continue
					}
					*l = columnTerm{s.column, terms.Add(s.column, t.text(s.value), uint32(i))}
					continue
				}
				if kind := columns[s.column-colFixed].kind; kind == span.IntValue || kind == span.BoolValue {
					number = appendNumber(number[:0], kind, s.value)
					terms.Add(s.column, number, uint32(i))
				}
			}
		}
	}
	return terms.AppendBinary(dst)
}

// columnTerm is a term with its column.
type columnTerm struct {
	column uint32
	term   *index.Term
}

// Abort closes and removes the file. After Finish it does nothing.
func (w *Writer) Abort() {
	if w.done {
		return
	}
	w.done = true
	w.fail(errors.New("segment writer is aborted"))
	if !w.out.closed {
		_ = w.out.file.Close() // the file goes: what it held does not matter
	}
	_ = w.fs.Remove(w.info.Name) // a stray that stays is removed at the next start
}

// output writes front to back through one buffer.
type output struct {
	file   vfs.File
	name   string
	buffer []byte
	at     int64 // where the buffer belongs
	crc    uint32
	closed bool
}

func (o *output) offset() int64 { return o.at + int64(len(o.buffer)) }

func (o *output) write(data []byte) error {
	o.crc = codec.CRCAppend(o.crc, data)
	if len(o.buffer)+len(data) > writeBytes {
		if err := o.flush(); err != nil {
			return err
		}
	}
	o.buffer = append(o.buffer, data...)
	return nil
}

func (o *output) flush() error {
	if len(o.buffer) == 0 {
		return nil
	}
	if _, err := o.file.WriteAt(o.buffer, o.at); err != nil {
		return fmt.Errorf("%s: offset %d: write: %w", o.name, o.at, err)
	}
	o.at += int64(len(o.buffer))
	o.buffer = o.buffer[:0]
	return nil
}

func (o *output) close() error {
	if err := o.flush(); err != nil {
		return err
	}
	if err := o.file.Sync(); err != nil {
		return fmt.Errorf("%s: sync: %w", o.name, err)
	}
	o.closed = true
	if err := o.file.Close(); err != nil {
		return fmt.Errorf("%s: close: %w", o.name, err)
	}
	return nil
}
