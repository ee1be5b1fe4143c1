package segment

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/stoadb/stoa/engine/column"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
)

// fixedNames tell the fixed columns in words; map columns are told by their parts.
var fixedNames = [colFixed]string{
	colStart: "start", colDuration: "duration", colResource: "resource", colTemplate: "template",
	colSpanID: "span id", colParent: "parent row", colParentID: "parent id elsewhere", colName: "name",
	colStatusMessage: "status message", colTraceState: "trace state", colResidue: "residue",
	colEventCount: "event count", colEventTime: "event time", colEventTemplate: "event template", colEventName: "event name",
	colEventResidue: "event residue",
	colLinkCount:    "link count", colLinkTraceID: "link trace id", colLinkSpanID: "link span id",
	colLinkTemplate: "link template", colLinkTraceState: "link trace state", colLinkResidue: "link residue",
}

var (
	sectionNames = [sections]string{"resources", "scopes", "attribute columns", "templates", "row groups", "trace ids", "trace rows",
		"trace filter", "catalog", "keys", "terms", "filters of columns", "batch hashes"}
	levelNames = [span.Levels]string{"span", "resource", "scope", "event", "link"}
	typeNames  = [span.ValueTypes]string{"no value", "empty", "string", "bool", "int", "double", "bytes", "array", "map", "raw value", "raw attribute"}
)

// columnName tells a column in words.
func (s *Segment) columnName(id uint32) string {
	if id >= colFixed {
		c := s.columns[id-colFixed]
		return fmt.Sprintf("%s %q %s", levelNames[c.level], c.key, typeNames[c.kind])
	}
	for _, level := range []span.Level{span.SpanLevel, span.EventLevel, span.LinkLevel} {
		if first := columnsOf(level).first; id >= first && id < first+4 {
			return levelNames[level] + " map " + [...]string{"keys", "types", "numbers", "texts"}[id-first]
		}
	}
	return cmp.Or(fixedNames[id], fmt.Sprintf("column %d", id))
}

// isText reports a column of texts.
func (s *Segment) isText(id uint32) bool {
	return id < colFixed && textColumns[id] || id >= colFixed && s.columns[id-colFixed].kind.HasText()
}

// form tells in words how a page of a column stands.
func (s *Segment) form(id uint32, payload []byte) string {
	switch {
	case id == colSpanID || id == colParentID || id == colLinkSpanID || id == colLinkTraceID:
		return "ids"
	case id == colTemplate || id == colEventTemplate || id == colLinkTemplate:
		return "templates of its own, codes"
	case s.isText(id):
		return column.TextsForm(payload)
	default:
		return column.IntsForm(payload)
	}
}

// Use is what one column, or one other part of the file, takes.
type Use struct {
	What  string
	Pages int
	Bytes int64
}

// Ledger tells where the bytes of the file went, the largest part first; the sum is the
// file's size.
func (s *Segment) Ledger() []Use {
	byColumn := map[uint32]Use{}
	left := s.info.Bytes
	for i := range s.groups {
		for _, page := range s.groups[i].pages {
			use := byColumn[page.column]
			byColumn[page.column] = Use{s.columnName(page.column), use.Pages + 1, use.Bytes + int64(page.length)}
			left -= int64(page.length)
		}
	}
	var uses []Use
	for _, use := range byColumn {
		uses = append(uses, use)
	}
	uses = append(uses, Use{"tables, footer, header and tail", sections + 1, left})
	slices.SortFunc(uses, func(a, b Use) int { return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.What, b.What)) })
	return uses
}

// Print writes the file front to back: offset, length and meaning of every part, and up to
// hexBytes of its bytes. The golden test and whoever inspects a file read the same.
func Print(w io.Writer, fs vfs.FS, name string, hexBytes int) error {
	s, err := Open(fs, name)
	if err != nil {
		return err
	}
	defer s.Close()
	p := &printer{s: s, w: bufio.NewWriter(w), hexBytes: hexBytes}
	p.part(headerBytes, func([]byte) string { return fmt.Sprintf("header, version %d", version) })
	for i := range s.groups {
		g := &s.groups[i]
		fmt.Fprintf(p.w, "row group %d: rows %d to %d, starts %d to %d, durations to %d\n",
			i, g.FirstRow, g.FirstRow+g.Rows-1, g.MinStart, g.MaxStart, g.MaxDuration)
		for _, page := range g.pages {
			p.page(page.length, func(payload []byte) string {
				return fmt.Sprintf("column %d, %s: %s", page.column, s.columnName(page.column), s.form(page.column, payload))
			})
		}
	}
	for _, f := range s.filters {
		p.page(f.length, func([]byte) string { return fmt.Sprintf("filters of column %d, %s", f.column, s.columnName(f.column)) })
	}
	fmt.Fprintf(p.w, "tables: %d resources, %d scopes, %d attribute columns, %d traces, %d operations, %d batch hashes\n",
		len(s.resources.Resources), len(s.scopes.Scopes), len(s.columns), s.TraceCount(), len(s.catalog.Operations("")), s.received)
	end, lengths, err := s.readFooter(new(Info))
	if err != nil {
		return err
	}
	for i, length := range lengths {
		p.page(length, func([]byte) string { return sectionNames[i] })
	}
	p.page(end.footerLength, func([]byte) string {
		return fmt.Sprintf("footer: shard %d, tenant %q, windows %d, Seq %d to %d, received %d to %d, generation %d, %d rows",
			s.info.Shard, s.info.Tenant, s.info.Windows, s.info.FirstSeq, s.info.LastSeq, s.info.MinReceived, s.info.MaxReceived,
			s.info.Generation, s.info.Rows)
	})
	p.part(tailBytes, func([]byte) string { return fmt.Sprintf("tail: footer at %d, checksum %08x", end.footer, end.crc) })
	if p.err == nil {
		p.err = p.w.Flush()
	}
	return p.err
}

// printer goes through the file; the first error stays in err.
type printer struct {
	s        *Segment
	w        *bufio.Writer
	at       int64
	hexBytes int
	err      error
}

func (p *printer) page(length uint32, what func(payload []byte) string) {
	p.part(int64(length), func(page []byte) string {
		payload, _, err := column.OpenPage(page, nil)
		if err != nil {
			return fmt.Sprintf("DAMAGED: %v", err)
		}
		return what(payload) + ", " + column.PageForm(page)
	})
}

func (p *printer) part(length int64, what func(data []byte) string) {
	data := make([]byte, length)
	if p.err == nil {
		p.err = p.s.readAt(data, p.at)
	}
	if p.err != nil {
		return
	}
	fmt.Fprintf(p.w, "%8d %6d  %s\n", p.at, length, what(data))
	for shown := data[:min(len(data), p.hexBytes)]; len(shown) > 0; {
		n := min(len(shown), 32)
		fmt.Fprintf(p.w, "%16s % x\n", "", shown[:n])
		shown = shown[n:]
	}
	p.at += length
}
