package segment

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/stoadb/stoa/engine/column"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/index"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/invariant"
	"github.com/stoadb/stoa/internal/vfs"
)

// File is a segment of which header, footer and the filter of traces were read. That is what it takes to
// know which questions it has to do with; a folder of many segments is open when each of them came so far.
//
// Tables are read, checked and decoded by who needs them first, once: the catalog for itself, all others
// together. The simpler way, all of them at open, had a start wait for what most questions never ask.
// Who wants damage found before a question meets it calls Check. What failed once is tried again by who
// asks next: a disk may have failed for a moment.
type File struct {
	s *Segment // for others once isRead: what its tables are before that is the reader's

	reading   sync.Mutex // held by who reads the tables
	isRead    atomic.Bool
	isChecked atomic.Bool
	naming    sync.Mutex // held by who reads the catalog
	catalog   atomic.Pointer[index.Catalog]

	failures [fileParts]atomic.Pointer[error] // of the last try
}

// The parts of a file that are read when somebody asks, each for itself.
const (
	partTables = iota
	partCatalog
	partTraceFilter // not its bytes, which are read from the start, but what it says of the traces in the tables
	partRest        // sections that are opened when they are asked for, with Pages
	partPanic       // of Check, in whatever part
	fileParts
)

// sectionsOfTables are those that the tables come from, and sectionsOfRest those that are read for each
// use, in an order in which each stands after those that it refers to. Cells and the pages of filters are
// like pages of row groups: as large, and checked when they are read.
var (
	sectionsOfTables = [...]int{
		sectionResources, sectionScopes, sectionColumns, sectionTemplates, sectionGroups, sectionTraceIDs, sectionTraceRows, sectionFilters,
	}
	sectionsOfRest = [...]int{sectionKeys, sectionTerms, sectionHashes, sectionStanding}
)

// OpenFile reads what a File has from the start, and checks it. A file of a newer version is
// codec.ErrVersion; wrong bytes are codec.ErrCorrupt. Pages, where it is not nil, keeps the pages that reads open.
func OpenFile(fs vfs.FS, name string, pages *Pages) (*File, error) {
	file, err := fs.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	f := &File{s: &Segment{file: file, pages: pages, own: ownPages{number: segmentNumber.Add(1)}}}
	f.s.info.Name = name
	loaded := false
	defer func() {
		if !loaded { // a panic too
			_ = file.Close() // nothing was written: the first error says it all
		}
	}()
	if err := f.s.load(); err != nil {
		return nil, err
	}
	loaded = true
	return f, nil
}

// load reads what a File has from the start, from the tail forward.
func (s *Segment) load() error {
	size, err := s.file.Size()
	if err != nil {
		return fmt.Errorf("%s: %w", s.info.Name, err)
	}
	s.info.Bytes = size
	header := make([]byte, min(size, headerBytes))
	if err := s.readAt(header, 0); err != nil {
		return err
	}
	if s.version, err = checkHeader(header); err != nil {
		return codec.At(err, s.info.Name, 0)
	}
	end, lengths, err := s.readFooter(&s.info)
	if err != nil {
		return err
	}
	s.info.CRC = end.crc
	if err := s.placeSections(end.footer, lengths); err != nil {
		return err
	}
	if err := s.measureTables(); err != nil {
		return err
	}
	ref := s.refs[sectionTraceFilter]
	payload, err := s.readPage(ref.offset, ref.length)
	if err != nil {
		return err
	}
	if s.traceIDs, err = decodeTraceFilter(payload); err != nil {
		return codec.At(err, s.info.Name, ref.offset)
	}
	s.memory.Store(int64(s.traceIDs.MemoryBytes()))
	return nil
}

// placeSections notes where the sections stand, which end where the footer begins.
func (s *Segment) placeSections(end int64, lengths [sections]uint32) error {
	offset := end
	for _, length := range lengths {
		offset -= int64(length)
	}
	if offset < headerBytes {
		return codec.At(codec.Corrupt("sections begin at %d", offset), s.info.Name, end)
	}
	for i, length := range lengths {
		s.refs[i] = sectionRef{offset, length}
		offset += int64(length)
	}
	return nil
}

// measureTables adds up what the tables of Info.TableBytes hold, as their pages say: what they say is
// checked with the rest of them when they are read, and nothing but which segments are merged depends on it.
func (s *Segment) measureTables() error {
	var head [column.SizedBytes]byte
	for i, ref := range s.refs[:sectionsOf(s.version)] {
		if !isTable(i) {
			continue
		}
		begin := head[:min(len(head), int(ref.length))]
		if err := s.readAt(begin, ref.offset); err != nil {
			return err
		}
		s.info.TableBytes += int64(column.PayloadBytes(begin, int(ref.length)))
	}
	return nil
}

// Info tells of the segment; its slices are shared and not to be changed.
func (f *File) Info() Info { return f.s.info }

// MemoryBytes is that of Segment; what was not read yet is not in it.
func (f *File) MemoryBytes() int64 { return f.s.MemoryBytes() }

// Hashes is that of Segment.
func (f *File) Hashes() ([]Received, error) { return f.s.Hashes() }

// Close closes the file, and the segment with it; see Segment.Close.
func (f *File) Close() { f.s.Close() }

// Err is why something of the file could not be read or was damaged when it was tried last; nil where nobody
// tried or all went well. What a read of rows meets is not in it.
func (f *File) Err() error {
	for i := range f.failures {
		if err := f.failures[i].Load(); err != nil {
			return *err
		}
	}
	return nil
}

// note notes how the last try to read a part ended.
func (f *File) note(part int, err error) error {
	if err != nil {
		f.failures[part].Store(&err)
	} else if f.failures[part].Load() != nil {
		f.failures[part].Store(nil)
	}
	return err
}

// Segment gives the segment with its tables, which it reads where nobody has yet: who asks meanwhile waits. It
// is shared, and open as long as the file is. Wrong bytes are codec.ErrCorrupt, with file and offset.
func (f *File) Segment() (*Segment, error) {
	if f.isRead.Load() {
		return f.s, nil
	}
	f.reading.Lock()
	defer f.reading.Unlock()
	if f.isRead.Load() {
		return f.s, nil
	}
	catalog, err := f.Catalog()
	if err != nil {
		return nil, err
	}
	defer func() {
		if !f.isRead.Load() { // a panic too
			f.s.tables = tables{}
		}
	}()
	if err := f.note(partTables, f.s.readTables(catalog)); err != nil {
		return nil, err
	}
	if err := f.s.checkTraceFilter(); err != nil {
		return nil, f.note(partTraceFilter, codec.At(err, f.s.info.Name, f.s.refs[sectionTraceFilter].offset))
	}
	_ = f.note(partTraceFilter, nil)
	f.s.indexKeys()
	f.s.memory.Add(f.s.tablesMemory())
	f.isRead.Store(true)
	return f.s, nil
}

// Catalog counts services and operations; shared.
func (f *File) Catalog() (*index.Catalog, error) {
	if known := f.catalog.Load(); known != nil {
		return known, nil
	}
	f.naming.Lock()
	defer f.naming.Unlock()
	if known := f.catalog.Load(); known != nil {
		return known, nil
	}
	ref := f.s.refs[sectionCatalog]
	f.s.checkOpen()
	payload, err := f.s.readPage(ref.offset, ref.length)
	if err != nil {
		return nil, f.note(partCatalog, err)
	}
	catalog, err := index.DecodeCatalog(payload)
	if err != nil {
		return nil, f.note(partCatalog, codec.At(err, f.s.info.Name, ref.offset))
	}
	_ = f.note(partCatalog, nil)
	f.s.memory.Add(int64(operationMemoryBytes * catalog.Size()))
	f.catalog.Store(catalog)
	return catalog, nil
}

// FindTrace gives the segment, and the position of a trace in it; nil where the segment does not have it: its
// filter says so of most, and no table is read for these. A filter that was found to deny what the tables have
// is an error for all that it denies.
func (f *File) FindTrace(id span.TraceID) (s *Segment, i int, err error) {
	if !f.s.traceIDs.MayContain(index.HashTraceID(id)) {
		if failed := f.failures[partTraceFilter].Load(); failed != nil {
			return nil, 0, *failed
		}
		return nil, 0, nil
	}
	if s, err = f.Segment(); err != nil {
		return nil, 0, err
	}
	i, ok := s.FindTrace(id)
	if !ok {
		return nil, 0, nil
	}
	return s, i, nil
}

// Check reads and checks all that Open does, unless that was done: the tables, which stay, and the sections that
// are read for each use, which do not. Who calls it may work for nobody who waits: a panic is an error here, told like
// others, which is an invariant.Panic.
func (f *File) Check() (err error) {
	if f.isChecked.Load() {
		return nil
	}
	if caught := invariant.Caught(func() { err = f.check() }); caught != nil {
		return f.note(partPanic, checkPanic{f.s.info.Name, caught})
	}
	_ = f.note(partPanic, nil)
	return err
}

// checkPanic tells of a panic in one line: its stack is for the log.
type checkPanic struct {
	name string
	*invariant.Panic
}

func (p checkPanic) Error() string { return fmt.Sprintf("%s: panic: %v", p.name, p.Cause) }

func (p checkPanic) Unwrap() error { return p.Panic }

func (f *File) check() error {
	if _, err := f.Segment(); err != nil {
		return err
	}
	err := f.note(partRest, f.s.readSections(sectionsOfRest[:]))
	f.isChecked.Store(err == nil)
	return err
}

// readTables reads the tables; s serves nobody else yet.
func (s *Segment) readTables(catalog *index.Catalog) error {
	s.catalog = catalog
	return s.readSections(sectionsOfTables[:])
}

// readSections reads sections, and then decodes them in the order given.
func (s *Segment) readSections(list []int) (err error) {
	s.checkOpen()
	l := loadings.Get().(*loading)
	defer l.done()
	var payloads [sections][]byte
	for _, i := range list {
		if i >= sectionsOf(s.version) {
			continue
		}
		ref := s.refs[i]
		payloads[i], l.pages[i], l.payloads[i], err = s.readPageInto(ref.offset, ref.length, l.pages[i], l.payloads[i])
		if err != nil {
			return err
		}
	}
	for _, i := range list {
		if i >= sectionsOf(s.version) {
			continue
		}
		if err := s.loadSection(i, &payloads, s.refs[0].offset); err != nil {
			return codec.At(err, s.info.Name, s.refs[i].offset)
		}
	}
	return nil
}

// loading is the memory that sections are read into. What is made of them is a copy.
type loading struct{ pages, payloads [sections][]byte }

// loadings are used again by the next segment whose tables are read: a folder has many.
var loadings = sync.Pool{New: func() any { return new(loading) }}

func (l *loading) done() {
	bytes := 0
	for i := range l.pages {
		bytes += cap(l.pages[i]) + cap(l.payloads[i])
	}
	if bytes <= keptBytesMax {
		loadings.Put(l)
	}
}
