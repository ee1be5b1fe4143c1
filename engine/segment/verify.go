package segment

import (
	"bytes"
	"errors"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/index"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// Verify reads a whole segment: every page is checked and decoded; what searches skip by
// (ranges, lists of the directory, templates, terms, filters, counts, cells) and the order of rows
// are compared with the rows; and the checksum of the file is computed again. It joins all
// damages, each with file and offset.
func Verify(fs vfs.FS, name string) error {
	s, err := Open(fs, name)
	if err != nil {
		return err
	}
	defer s.Close()
	v := newVerifier(s)
	v.cells = newCellVerifier(v)
	v.standing = newStandingVerifier(v)
	for i := range s.groups {
		v.group(i)
	}
	v.cells.end()
	v.standing.end()
	v.templates()
	v.tables()
	v.counts()
	v.checksum()
	return errors.Join(v.damages...)
}

// verifier counts what the rows have, group by group, and compares at the end.
type verifier struct {
	s       *Segment
	damages []error

	operations map[span.Operation]uint64
	keys       []keyStats // by column
	used       [span.Levels][]uint64
	resources  []bool
	scopes     []bool
	filters    map[uint32]*knownFilters // by column
	cells      *cellVerifier
	standing   *standingVerifier
	order      traceKey // of the trace before
	maxima     Info     // ranges over the groups
	text       []byte
}

// knownFilters are the filters of a column, known where there are any.
type knownFilters struct {
	filters []*index.Filter
	known   bool
}

func newVerifier(s *Segment) *verifier {
	v := &verifier{
		s: s, operations: map[span.Operation]uint64{}, keys: make([]keyStats, len(s.columns)),
		filters:   map[uint32]*knownFilters{},
		resources: make([]bool, len(s.resources.Resources)), scopes: make([]bool, len(s.scopes.Scopes)),
	}
	for _, level := range levels {
		v.used[level] = make([]uint64, s.templates[level].len())
	}
	return v
}

// damage notes what is wrong at an offset of the file.
func (v *verifier) damage(offset int64, format string, args ...any) {
	v.damages = append(v.damages, codec.At(codec.Corrupt(format, args...), v.s.info.Name, offset))
}

// at is where a section stands.
func (v *verifier) at(section int) int64 { return v.s.refs[section].offset }

// templates compares the numbers of rows that templates say they have, and the terms, with
// the templates.
func (v *verifier) templates() {
	for _, level := range levels {
		for i, rows := range v.s.templates[level].rows {
			if used := v.used[level][i]; used != rows {
				v.damage(v.at(sectionTemplates), "template %d of level %d says %d rows and has %d", i, level, rows, used)
			}
		}
	}
	ref := v.s.refs[sectionTerms]
	stored, err := v.s.readPage(ref.offset, ref.length)
	if err != nil {
		v.damages = append(v.damages, err)
		return
	}
	none := index.NewTermsBuilder().AppendBinary(nil) // they took too much room
	if !bytes.Equal(stored, none) && !bytes.Equal(stored, appendTerms(nil, &v.s.templates, v.s.columns)) {
		v.damage(ref.offset, "terms that the templates do not have, or not all of theirs")
	}
}

// tables checks that each resource and scope has rows, and that no trace is denied.
func (v *verifier) tables() {
	for i, used := range v.resources {
		if !used {
			v.damage(v.at(sectionResources), "resource %d has no rows", i)
		}
	}
	for i, used := range v.scopes {
		if !used {
			v.damage(v.at(sectionScopes), "scope %d has no rows", i)
		}
	}
	for _, id := range v.s.traces.ids {
		if !v.s.traceIDs.MayContain(index.HashTraceID(id)) {
			v.damage(v.at(sectionTraceFilter), "trace %s is denied", id)
		}
	}
	info, most := &v.s.info, &v.maxima
	if len(v.s.groups) == 0 {
		most.MinStart = 1
	}
	if info.MinStart != most.MinStart || info.MaxStart != most.MaxStart || info.MaxDuration != most.MaxDuration {
		v.damage(info.Bytes-tailBytes, "rows start from %d to %d and last %d, the footer says %d, %d, %d",
			most.MinStart, most.MaxStart, most.MaxDuration, info.MinStart, info.MaxStart, info.MaxDuration)
	}
}

// counts compares the catalog and the counts of keys.
func (v *verifier) counts() {
	if c := v.s.catalog; c.Complete() {
		listed := c.Operations("")
		for _, o := range listed {
			if c.Spans(o) != v.operations[o] {
				v.damage(v.at(sectionCatalog), "operation %+v of %d spans, the catalog says %d", o, v.operations[o], c.Spans(o))
			}
		}
		if len(listed) != len(v.operations) {
			v.damage(v.at(sectionCatalog), "%d operations, the catalog says %d", len(v.operations), len(listed))
		}
	}
	ref := v.s.refs[sectionKeys]
	stored, err := v.s.readPage(ref.offset, ref.length)
	if err != nil {
		v.damages = append(v.damages, err)
		return
	}
	if !bytes.Equal(stored, appendKeyCounts(nil, v.s.columns, v.keys)) {
		v.damage(ref.offset, "counts of keys that are not those of the rows")
	}
}

// checksum computes that of the file again.
func (v *verifier) checksum() {
	s := v.s
	crc, buffer := uint32(0), make([]byte, writeBytes)
	for at, end := int64(0), s.info.Bytes-tailBytes; at < end; at += int64(len(buffer)) {
		buffer = buffer[:min(end-at, writeBytes)]
		if err := s.readAt(buffer, at); err != nil {
			v.damages = append(v.damages, err)
			return
		}
		crc = codec.CRCAppend(crc, buffer)
	}
	if crc != s.info.CRC {
		v.damage(s.info.Bytes-tailBytes, "file checksum %08x, %08x expected", crc, s.info.CRC)
	}
}
