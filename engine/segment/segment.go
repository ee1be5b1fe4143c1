// Package segment is the immutable file: the rows of many traces as columns, with their
// dictionaries, the table of traces, the catalog and a footer that says what is in it.
//
// Rows stand clustered by trace, traces by start: a trace is one range of rows. They are
// cut into row groups of at most 4,096; each column of a group is a page of its own, so a
// reader takes only the pages it asks for. docs/format/segment.md draws the file.
//
// Writing: NewWriter -> Add trace after trace -> Finish (synced); memory is bounded by a row
// group and the dictionaries. Reading: Open (header, footer, tables; checksums) -> ReadGroup
// with a Projection (pages by pread, checked at each read) -> a span.Batch that owns its
// memory. Wrong bytes are always an error with file and offset. The package starts no
// goroutines; a Segment serves any number of them, a Writer one.
package segment

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/stoadb/stoa/engine/column"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/index"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/invariant"
	"github.com/stoadb/stoa/internal/vfs"
)

// Received names a sub-batch whose spans stand in the segment, and when it was received
// (unix nanoseconds).
type Received struct {
	Hash codec.Hash
	At   int64
}

// Meta is what a segment's rows do not tell themselves.
type Meta struct {
	Shard                    uint32
	Tenant                   string
	Windows                  []int64 // numbers of the receive windows, ascending
	FirstSeq, LastSeq        uint64  // of the log entries
	MinReceived, MaxReceived int64   // unix nanoseconds
	Generation               uint32  // 0 from a flush; a merge has 1 more than its oldest input
	Hashes                   []Received
}

// Info tells of a whole segment without opening it: what the manifest and compaction know.
type Info struct {
	Name                     string
	Bytes                    int64  // of the file
	CRC                      uint32 // of all bytes before the tail, which holds it
	Rows, Traces, Groups     int
	MinStart, MaxStart       uint64 // (1, 0) where there are no rows
	MaxDuration              uint64 // as span.Duration counts
	Shard                    uint32
	Tenant                   string
	Windows                  []int64
	FirstSeq, LastSeq        uint64
	MinReceived, MaxReceived int64
	Generation               uint32
	TableBytes               int64 // of resources, scopes, catalog and hashes: what a merge holds of each input
}

// GroupInfo tells of a row group.
type GroupInfo struct {
	FirstRow, Rows                  int
	MinStart, MaxStart, MaxDuration uint64
}

// Segment is an open segment, until its Close.
type Segment struct {
	file     vfs.File
	version  uint32
	pages    *Pages
	own      ownPages
	closed   atomic.Bool
	info     Info
	refs     [sections]sectionRef
	traceIDs index.Filter
	tables
	told   [span.Levels]atomic.Pointer[Templates] // once somebody asked
	served servedServices                         // those that somebody asked for
	memory atomic.Int64                           // see MemoryBytes
}

// tables are what reads begin with; see File.
type tables struct {
	catalog   *index.Catalog
	resources *span.Batch
	scopes    *span.Batch
	columns   []columnKey
	byKey     [span.Levels]map[string][]uint32 // column ids of a key; none above the span
	templates [span.Levels]*templateTable
	slotKinds [span.Levels][]slotKind // of templates of row groups' own
	groups    []groupRef
	filters   []filterRef
	traces    traceTable
}

// sectionRef is where a section stands in the file.
type sectionRef struct {
	offset int64
	length uint32
}

// Open reads header, footer and tables, all checked. A file of a newer version is
// codec.ErrVersion; wrong bytes are codec.ErrCorrupt. Each read opens the pages it needs.
func Open(fs vfs.FS, name string) (*Segment, error) { return OpenWith(fs, name, nil) }

// OpenWith is Open, and keeps the pages that reads open with those of other segments.
func OpenWith(fs vfs.FS, name string, pages *Pages) (*Segment, error) {
	f, err := OpenFile(fs, name, pages)
	if err != nil {
		return nil, err
	}
	checked := false
	defer func() {
		if !checked { // a panic too
			f.Close()
		}
	}()
	if err := f.Check(); err != nil {
		return nil, err
	}
	checked = true
	return f.s, nil
}

// readFooter reads the tail, and the footer that it points to into info.
func (s *Segment) readFooter(info *Info) (end tail, lengths [sections]uint32, err error) {
	last := make([]byte, min(s.info.Bytes-headerBytes, tailBytes))
	if err := s.readAt(last, s.info.Bytes-int64(len(last))); err != nil {
		return end, lengths, err
	}
	if end, err = decodeTail(last, s.info.Bytes); err != nil {
		return end, lengths, codec.At(err, s.info.Name, s.info.Bytes-int64(len(last)))
	}
	footer, err := s.readPage(end.footer, end.footerLength)
	if err != nil {
		return end, lengths, err
	}
	if lengths, err = decodeFooter(footer, s.version, info); err != nil {
		return end, lengths, codec.At(err, s.info.Name, end.footer)
	}
	return end, lengths, nil
}

// MemoryBytes is about what an open segment holds in memory as long as it is open: its tables, once they
// were read, its templates as searches see them, once one has, and the services that were told. What reads open besides is with Pages.
func (s *Segment) MemoryBytes() int64 { return s.memory.Load() }

// tablesMemory is what the tables take but for the catalog.
func (s *Segment) tablesMemory() int64 {
	bytes := s.resources.MemoryBytes() + s.scopes.MemoryBytes() + columnMemoryBytes*len(s.columns) + traceMemoryBytes*len(s.traces.ids)
	for _, level := range levels {
		bytes += s.templates[level].memoryBytes()
	}
	for i := range s.groups {
		g := &s.groups[i]
		bytes += groupMemoryBytes + 12*cap(g.pages) + 4*cap(g.resources) + 8*cap(g.longest)
		for _, level := range levels {
			bytes += 4 * cap(g.templates[level])
		}
	}
	return int64(bytes)
}

// loadSection decodes a section after those that it refers to, which stand before it but for
// the filters: where their pages begin, those of the groups end.
func (s *Segment) loadSection(i int, payloads *[sections][]byte, begin int64) (err error) {
	payload := payloads[i]
	switch i {
	case sectionResources:
		s.resources, err = decodeTables(payload)
	case sectionScopes:
		s.scopes, err = decodeTables(payload)
	case sectionColumns:
		s.columns, err = decodeColumns(payload)
	case sectionTemplates:
		err = s.decodeTemplates(payload)
	case sectionGroups:
		c := groupContext{columns: len(s.columns), resources: len(s.resources.Resources)}
		for _, level := range levels {
			c.templates[level] = s.templates[level].len()
		}
		if s.filters, c.pagesEnd, err = decodeFilterRefs(payloads[sectionFilters], len(s.columns), begin); err == nil {
			s.groups, err = decodeGroups(payload, &s.info, c)
		}
	case sectionTraceRows:
		s.traces, err = decodeTraces(payloads[sectionTraceIDs], payload, &s.info)
	case sectionTraceFilter:
		if s.traceIDs, err = decodeTraceFilter(payload); err == nil {
			err = s.checkTraceFilter()
		}
	case sectionCatalog:
		s.catalog, err = index.DecodeCatalog(payload)
	case sectionKeys:
		_, _, err = index.DecodeKeyCounts(payload)
	case sectionTerms:
		_, err = index.OpenTerms(payload, s.templatesMost())
	case sectionStanding:
		_, err = index.OpenTerms(payload, s.templates[span.SpanLevel].len())
	case sectionHashes:
		_, err = decodeHashes(payload)
	case sectionEdgeCells, sectionOperationCells:
		_, err = s.decodeCells(i, payload)
	}
	return err
}

func decodeTraceFilter(payload []byte) (index.Filter, error) {
	r := codec.NewReader(payload)
	filter := index.OpenFilter(r)
	if r.Err() == nil && r.Len() > 0 {
		r.Fail("%d bytes after the filter of traces", r.Len())
	}
	return filter, r.Err()
}

// checkTraceFilter makes sure that the filter of traces denies none that is there.
func (s *Segment) checkTraceFilter() error {
	for _, id := range s.traces.ids {
		if !s.traceIDs.MayContain(index.HashTraceID(id)) {
			return codec.Corrupt("the filter of traces denies %s", id)
		}
	}
	return nil
}

// decodeTemplates reads the tables of all levels.
func (s *Segment) decodeTemplates(payload []byte) error {
	r := codec.NewReader(payload)
	for _, level := range levels {
		s.slotKinds[level] = slotKindsOf(level, s.columns)
		c := templateContext{level: level, kinds: s.slotKinds[level], scopes: len(s.scopes.Scopes), most: templatesMax, counted: true}
		s.templates[level] = decodeTemplates(r, c)
	}
	if r.Err() == nil && r.Len() > 0 {
		r.Fail("%d bytes after the templates", r.Len())
	}
	return r.Err()
}

// templatesMost is how many templates the level with the most of them has.
func (s *Segment) templatesMost() (most int) {
	for _, level := range levels {
		most = max(most, s.templates[level].len())
	}
	return most
}

// isTable tells the sections that Info.TableBytes counts.
func isTable(section int) bool {
	switch section {
	case sectionResources, sectionScopes, sectionTemplates, sectionCatalog, sectionHashes:
		return true
	}
	return false
}

// indexKeys notes which columns a key has.
func (s *Segment) indexKeys() {
	for _, level := range levels {
		s.byKey[level] = map[string][]uint32{}
	}
	for i, c := range s.columns {
		s.byKey[c.level][c.key] = append(s.byKey[c.level][c.key], uint32(colFixed+i))
	}
}

// readPage reads and checks one page into memory of its own.
func (s *Segment) readPage(offset int64, length uint32) ([]byte, error) {
	payload, _, _, err := s.readPageInto(offset, length, nil, nil)
	return payload, err
}

// readPageInto reads and checks one page, in memory that it may make larger and gives back: the
// payload is a part of it.
func (s *Segment) readPageInto(offset int64, length uint32, page, scratch []byte) (payload, nextPage, nextScratch []byte, err error) {
	if offset+int64(length) > s.info.Bytes {
		return nil, page, scratch, codec.At(codec.Corrupt("page of %d bytes ends after the file", length), s.info.Name, offset)
	}
	page = slices.Grow(page[:0], int(length))[:length]
	if err := s.readAt(page, offset); err != nil {
		return nil, page, scratch, err
	}
	if payload, scratch, err = column.OpenPage(page, scratch); err != nil {
		return nil, page, scratch, codec.At(err, s.info.Name, offset)
	}
	return payload, page, scratch, nil
}

func (s *Segment) readAt(dst []byte, offset int64) error {
	if n, err := s.file.ReadAt(dst, offset); n < len(dst) {
		return fmt.Errorf("%s: offset %d: read: %w", s.info.Name, offset, err)
	}
	return nil
}

// Close closes the file. Whoever shares a segment counts its readers: reading or closing
// it afterwards is wrong code.
func (s *Segment) Close() {
	invariant.Check(s.closed.CompareAndSwap(false, true), "segment %s is closed twice", s.info.Name)
	if s.pages != nil {
		s.pages.forget(&s.own)
	}
	_ = s.file.Close() // nothing was written through this handle
}

// Info tells of the segment; its slices are shared and not to be changed.
func (s *Segment) Info() Info { return s.info }

// Hashes reads the sub-batches received. A start and a merge ask for them; kept in memory
// they would stand there for all of a segment's life.
func (s *Segment) Hashes() ([]Received, error) {
	ref := s.refs[sectionHashes]
	payload, err := s.readPage(ref.offset, ref.length)
	if err != nil {
		return nil, err
	}
	hashes, err := decodeHashes(payload)
	if err != nil {
		return nil, codec.At(err, s.info.Name, ref.offset)
	}
	return hashes, nil
}

// Catalog counts services and operations; shared.
func (s *Segment) Catalog() *index.Catalog { return s.catalog }

// Resources holds every distinct resource of the segment, and no rows; shared.
func (s *Segment) Resources() *span.Batch { return s.resources }

// Scopes holds every distinct scope of the segment, and no rows; shared.
func (s *Segment) Scopes() *span.Batch { return s.scopes }

// Groups is the number of row groups.
func (s *Segment) Groups() int { return len(s.groups) }

// Group tells of row group i.
func (s *Segment) Group(i int) GroupInfo { return s.groups[i].GroupInfo }

// GroupOfRow gives the row group that holds a row.
func (s *Segment) GroupOfRow(row int) int {
	low, high := 0, len(s.groups)
	for low < high {
		if middle := (low + high) / 2; s.groups[middle].FirstRow+s.groups[middle].Rows <= row {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}

// TraceCount is the number of traces.
func (s *Segment) TraceCount() int { return len(s.traces.ids) }

// TraceID gives the id of trace i; traces count in the order of their ids.
func (s *Segment) TraceID(i int) span.TraceID { return s.traces.ids[i] }

// FindTrace gives the position of a trace. Most segments do not have it, and their filter
// says so.
func (s *Segment) FindTrace(id span.TraceID) (i int, ok bool) {
	if !s.traceIDs.MayContain(index.HashTraceID(id)) {
		return 0, false
	}
	low, high := 0, len(s.traces.ids)
	for low < high {
		if middle := (low + high) / 2; s.traces.ids[middle].Compare(id) < 0 {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, low < len(s.traces.ids) && s.traces.ids[low] == id
}

// TraceRows gives the rows of trace i.
func (s *Segment) TraceRows(i int) (first, rows int) {
	return int(s.traces.first[i]), int(s.traces.rows[i])
}

// TraceAtRow gives the trace that a row belongs to.
func (s *Segment) TraceAtRow(row int) (i int) { return int(s.traces.byRow[s.traces.orderAt(row)]) }

// TraceInOrder gives the k-th trace in the order of rows.
func (s *Segment) TraceInOrder(k int) (i int) { return int(s.traces.byRow[k]) }

// WindowNanos is the length of a receive window: retention drops whole ones, and a merge
// stays inside one.
const WindowNanos = int64(30 * time.Minute)

// WindowOf gives the number of the window of a receive time in unix nanoseconds.
func WindowOf(received int64) int64 { return Floor(received, WindowNanos) }

// Floor divides and rounds down, for times before 1970 too.
func Floor(value, by int64) int64 {
	quotient := value / by
	if value%by < 0 {
		quotient--
	}
	return quotient
}
