package segment

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/stoadb/stoa/engine/column"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// IsSegment reports whether a file that begins so is a segment.
func IsSegment(begin []byte) bool {
	return len(begin) >= len(magic) && string(begin[:len(magic)]) == magic
}

// Print writes the file front to back: offset, length and meaning of every part, and up to
// hexBytes of its bytes, all where that is negative. The golden test and whoever inspects a
// file read the same.
//
// Of a damaged file it writes what can be told apart, says in place what cannot be read, and
// answers the first damage: with a footer in order that is every part. What a page holds is
// not decoded; Verify does that.
func Print(w io.Writer, fs vfs.FS, name string, hexBytes int) error {
	file, err := fs.Open(name)
	if err != nil {
		return fmt.Errorf("open segment: %w", err)
	}
	p := &printer{s: &Segment{file: file}, w: bufio.NewWriter(w), hexBytes: hexBytes}
	p.s.info.Name = name
	p.file()
	return errors.Join(p.answer(), p.w.Flush(), file.Close())
}

// printer goes through the file. After a failed read or write, in err, nothing is written any
// more; damages do not stop it.
type printer struct {
	s        *Segment
	w        *bufio.Writer
	at       int64
	hexBytes int
	damages  []error
	err      error

	sections [sections]error // why a section cannot be read
}

func (p *printer) answer() error {
	switch {
	case p.err != nil:
		return p.err
	case len(p.damages) > 1:
		return fmt.Errorf("%w; %d more damaged places", p.damages[0], len(p.damages)-1)
	}
	return errors.Join(p.damages...)
}

func (p *printer) file() {
	s := p.s
	if s.info.Bytes, p.err = s.file.Size(); p.err != nil {
		return
	}
	var headerErr error
	p.part(min(s.info.Bytes, headerBytes), func(header []byte) string {
		if s.version, headerErr = checkHeader(header); headerErr != nil {
			return fmt.Sprintf("header: %v", headerErr)
		}
		return fmt.Sprintf("header, version %d", s.version)
	})
	if headerErr != nil {
		p.damage(0, headerErr)
		return // what follows may be anything
	}
	end, lengths, err := s.readFooter(&s.info)
	if err != nil {
		p.line("%d bytes follow: pages, sections and a footer, which the footer alone tells apart", s.info.Bytes-p.at)
		p.damages = append(p.damages, err) // has its place already
		return
	}
	p.loadSections(end.footer, lengths)
	p.groups()
	p.footer(end, lengths)
}

// loadSections reads what can be read; a section that builds on one that cannot is left out.
func (p *printer) loadSections(sectionsEnd int64, lengths [sections]uint32) {
	s := p.s
	offset := sectionsEnd
	for _, length := range lengths {
		offset -= int64(length)
	}
	begin := offset
	var payloads [sections][]byte
	for i, length := range lengths {
		s.refs[i] = sectionRef{offset, length}
		if i >= sectionsOf(s.version) {
			continue
		}
		if begin < headerBytes {
			p.sections[i] = codec.At(codec.Corrupt("sections begin at %d", begin), s.info.Name, sectionsEnd)
		} else {
			payloads[i], p.sections[i] = s.readPage(offset, length)
		}
		offset += int64(length)
	}
	for i := range sectionsOf(s.version) {
		for _, needed := range buildsOn[i] {
			if p.sections[needed] != nil && p.sections[i] == nil {
				p.sections[i] = errBuildsOn
			}
		}
		if p.sections[i] == nil {
			if err := s.loadSection(i, &payloads, begin); err != nil {
				p.sections[i] = codec.At(err, s.info.Name, s.refs[i].offset)
			}
		}
	}
	for _, err := range p.sections {
		if err != nil && !errors.Is(err, errBuildsOn) {
			p.damages = append(p.damages, err)
		}
	}
}

// buildsOn are the sections that one refers to.
var buildsOn = [sections][]int{
	sectionTemplates: {sectionScopes, sectionColumns},
	sectionGroups:    {sectionResources, sectionColumns, sectionTemplates, sectionFilters},
	sectionTraceRows: {sectionTraceIDs},
	sectionTerms:     {sectionTemplates},
	sectionStanding:  {sectionTemplates},
	sectionFilters:   {sectionColumns},

	sectionEdgeCells:      {sectionResources},
	sectionOperationCells: {sectionCatalog},
}

var errBuildsOn = errors.New("builds on a section that cannot be read")

// groups writes the pages of row groups and filters.
func (p *printer) groups() {
	s := p.s
	if p.sections[sectionGroups] != nil || p.sections[sectionFilters] != nil {
		p.line("%d bytes of pages follow, which the sections of row groups and filters tell apart", s.refs[0].offset-p.at)
		p.at = s.refs[0].offset
		return
	}
	for i := range s.groups {
		g := &s.groups[i]
		p.line("row group %d: rows %d to %d, starts %d to %d, durations to %d",
			i, g.FirstRow, g.FirstRow+g.Rows-1, g.MinStart, g.MaxStart, g.MaxDuration)
		p.line("  resources %s", listed(g.resources))
		for _, level := range levels {
			if len(g.templates[level])+int(g.local[level]) > 0 {
				p.line("  templates of %ss %s, %d of its own", level, listed(g.templates[level]), g.local[level])
			}
		}
		counts := p.elements(i)
		for _, page := range g.pages {
			p.page(page.length, func(payload []byte) string {
				return fmt.Sprintf("column %d, %s: %s", page.column, s.columnName(page.column), s.form(g, page.column, counts, payload))
			}, func(stored, payload []byte) {
				if page.column == colStart {
					p.blockHeads(stored, payload, g.Rows)
				}
			})
		}
	}
	for _, f := range s.filters {
		p.page(f.length, func(payload []byte) string {
			with := 0
			filters, err := decodeFilters(payload, len(s.groups))
			for _, filter := range filters {
				if filter != nil {
					with++
				}
			}
			if err != nil {
				p.damage(p.at, err)
				return fmt.Sprintf("filters of column %d: DAMAGED: %v", f.column, err)
			}
			return fmt.Sprintf("filters of column %d, %s: of %d row groups", f.column, s.columnName(f.column), with)
		}, nil)
	}
}

// listed writes numbers, the first ones of many.
func listed(ids []uint32) string {
	if len(ids) <= listedMax {
		return strings.ReplaceAll(fmt.Sprint(ids), " ", ",")
	}
	return fmt.Sprintf("%s and %d more", strings.ReplaceAll(fmt.Sprint(ids[:listedMax]), " ", ","), len(ids)-listedMax)
}

// blockHeads writes where each mini-block of a column begins, and what its values count from:
// by hand, row 17 is value 17 of block 0.
func (p *printer) blockHeads(page, payload []byte, n int) {
	heads, ok, err := column.BlockHeads(payload, n)
	if err != nil {
		p.damage(p.at, err)
	}
	for i, h := range heads {
		if !ok {
			break
		}
		place := fmt.Sprintf("%d bytes at %d of the payload", h.Bytes, h.Offset)
		if column.IsRaw(page) {
			place = fmt.Sprintf("%d bytes at %d", h.Bytes, p.at+int64(column.PageHeadBytes+h.Offset))
		}
		p.line("%16s mini-block %d: %v, %s", "", i, h, place)
	}
}

// footer writes the sections, the footer and the tail.
func (p *printer) footer(end tail, lengths [sections]uint32) {
	s := p.s
	for i, length := range lengths[:sectionsOf(s.version)] {
		p.at = s.refs[i].offset
		if p.at < headerBytes {
			continue
		}
		p.section(i, length)
	}
	p.at = end.footer
	p.page(end.footerLength, func([]byte) string {
		return fmt.Sprintf("footer: shard %d, tenant %q, windows %d, Seq %d to %d, received %d to %d, generation %d, %d rows, %d traces, %d row groups",
			s.info.Shard, s.info.Tenant, s.info.Windows, s.info.FirstSeq, s.info.LastSeq, s.info.MinReceived, s.info.MaxReceived,
			s.info.Generation, s.info.Rows, s.info.Traces, s.info.Groups)
	}, nil)
	p.part(tailBytes, func([]byte) string { return fmt.Sprintf("tail: footer at %d, checksum %08x", end.footer, end.crc) })
}

// section writes one; its damage is noted already.
func (p *printer) section(i int, length uint32) {
	var cells *Cells
	p.part(int64(length), func(page []byte) string {
		err := p.sections[i]
		payload, _, openErr := column.OpenPage(page, nil)
		switch {
		case openErr != nil:
			return fmt.Sprintf("%s: DAMAGED: %v", sectionNames[i], openErr)
		case err != nil:
			return fmt.Sprintf("%s: NOT READ: %v", sectionNames[i], err)
		}
		if isCells(i) {
			cells, _ = p.s.decodeCells(i, payload) // it was read before without an error
		}
		return sectionNames[i] + ": " + p.s.sectionWords(i, payload) + ", " + column.PageForm(page)
	})
	for _, line := range cells.listed() {
		p.line("%16s %s", "", line)
	}
}

// page writes a page; after it then may write more about it.
func (p *printer) page(length uint32, what func(payload []byte) string, then func(page, payload []byte)) {
	at := p.at
	var whole, payload []byte
	p.part(int64(length), func(page []byte) string {
		var err error
		if payload, _, err = column.OpenPage(page, nil); err != nil {
			p.damage(at, err)
			return fmt.Sprintf("DAMAGED: %v", err)
		}
		whole = page
		return what(payload) + ", " + column.PageForm(page)
	})
	if whole != nil && then != nil && p.err == nil {
		p.at = at
		then(whole, payload)
		p.at = at + int64(length)
	}
}

func (p *printer) part(length int64, what func(data []byte) string) {
	if p.at+length > p.s.info.Bytes {
		p.damage(p.at, codec.Corrupt("part of %d bytes ends after the file", length))
		return
	}
	data := make([]byte, length)
	if p.err == nil {
		p.err = p.s.readAt(data, p.at)
	}
	if p.err != nil {
		return
	}
	p.err = codec.PrintPart(p.w, p.at, data, p.hexBytes, what(data))
	p.at += length
}

// line writes what belongs to no bytes.
func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

func (p *printer) damage(offset int64, err error) { p.damaged(codec.At(err, p.s.info.Name, offset)) }

// damaged notes a damage; a page that is read for two reasons has one.
func (p *printer) damaged(err error) {
	if !slices.ContainsFunc(p.damages, func(known error) bool { return known.Error() == err.Error() }) {
		p.damages = append(p.damages, err)
	}
}

// elements gives how many values the columns of row group i have. Where its templates cannot
// be read only the rows are known.
func (p *printer) elements(i int) map[uint32]int {
	s := p.s
	g := &s.groups[i]
	counts := map[uint32]int{}
	for _, col := range []uint32{colStart, colDuration, colResource, colTemplate, colSpanID, colParent, colResidue, colEventCount, colLinkCount} {
		counts[col] = g.Rows
	}
	for _, level := range levels {
		scan, done := s.scanOnce(i, levelProjection(level, nil))
		it, ends := scan.open(level)
		done()
		if it == nil {
			if scan.err != nil {
				p.damaged(scan.err)
			}
			continue
		}
		if ends != nil {
			items := int(ends[len(ends)-1])
			for _, col := range itemColumns[level] {
				counts[col] = items
			}
		}
		for _, u := range it.items.uses {
			counts[u.column] = u.values
			if isMapped(level, u.column) {
				counts[u.column+mapType] = u.values
			}
		}
	}
	return counts
}

// itemColumns have a value for each event or link.
var itemColumns = [span.Levels][]uint32{
	span.EventLevel: {colEventTime, colEventTemplate, colEventResidue},
	span.LinkLevel:  {colLinkTraceID, colLinkSpanID, colLinkTemplate, colLinkResidue},
}
