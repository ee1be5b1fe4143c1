package segment

import (
	"encoding/binary"
	"math"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// The file, front to back; every number is little endian or a varint (v):
//
//	header     16  magic 8, version 4, CRC-32C of these 12
//	pages          row group by row group, within it by column id (package column's pages)
//	filters        a page for each filtered column, by column id
//	sections       one page each, in the order of the section constants
//	footer         one page: Meta, totals, lengths of the sections
//	tail       40  offset of the footer 8, its length 4, CRC-32C of all before the tail 4,
//	               version 4, reserved 8 (zero), CRC-32C of these 28, magic 8
//
// A file of version 1 has no standing terms, the last section, and is else the same.
const (
	magic       = "stoaseg\n"
	version     = 2
	headerBytes = 16
	tailBytes   = 40
)

// The sections.
const (
	sectionResources = iota
	sectionScopes
	sectionColumns
	sectionTemplates // those of spans, events and links, one table after another
	sectionGroups
	sectionTraceIDs
	sectionTraceRows
	sectionTraceFilter
	sectionCatalog
	sectionKeys
	sectionTerms   // of package index: which templates have a value
	sectionFilters // where the filters of columns stand
	sectionHashes
	sectionEdgeCells // what was counted of the rows, see Cells
	sectionOperationCells
	sectionStanding // terms of values that stand with rows
	sections
)

// sectionsOf is how many sections a file of a version has.
func sectionsOf(version uint32) int {
	if version == 1 {
		return sectionStanding
	}
	return sections
}

// The columns that every segment has; the numbers are stored, their order is the order of
// the pages: what a search reads first stands together.
const (
	colStart = iota
	colDuration
	colResource
	colTemplate
	colSpanID
	colParent
	colParentID
	colName // only ever in templates
	colStatusMessage
	colTraceState
	colResidue
	colAttrMap       // four columns: keys, types, numbers, texts
	colEventCount    = iota + 3
	colEventTime     //
	colEventTemplate //
	colEventName     // only ever in templates
	colEventResidue
	colEventMap
	colLinkCount = iota + 6
	colLinkTraceID
	colLinkSpanID
	colLinkTemplate
	colLinkTraceState
	colLinkResidue
	colLinkMap
	colFixed = 64 // the first attribute column
)

// The parts of a map column, as distances from its first column.
const (
	mapKey = iota
	mapType
	mapNumber
	mapText
)

// What a parent column holds where it names no row; above stands the zigzag distance to
// the parent's row in the same row group and trace.
const (
	parentNone    = 0
	parentLiteral = 1
	parentRow     = 2
)

// columnKey names an attribute column.
type columnKey struct {
	level span.Level
	kind  span.ValueType
	key   string
}

// levelColumns are the fixed columns of a level: the templates of its items and the first of
// its map columns.
type levelColumns struct{ template, first uint32 }

// levels are those that have templates.
var levels = [...]span.Level{span.SpanLevel, span.EventLevel, span.LinkLevel}

func columnsOf(level span.Level) levelColumns {
	switch level {
	case span.EventLevel:
		return levelColumns{colEventTemplate, colEventMap}
	case span.LinkLevel:
		return levelColumns{colLinkTemplate, colLinkMap}
	default:
		return levelColumns{colTemplate, colAttrMap}
	}
}

// pageRef is a page of a row group: its column and where it stands from the group's first.
type pageRef struct{ column, offset, length uint32 }

// groupRef is a row group in the directory.
type groupRef struct {
	GroupInfo
	offset    int64
	pages     []pageRef // by column
	resources []uint32  // that its rows have, ascending; a row's code is the position
	longest   []uint64  // of each resource's rows, as span.Duration counts
	templates [span.Levels][]uint32
	local     [span.Levels]uint32 // templates in the group's own table: their codes follow
}

// find gives the page of a column.
func (g *groupRef) find(column uint32) (pageRef, bool) {
	low, high := 0, len(g.pages)
	for low < high {
		middle := (low + high) / 2
		if g.pages[middle].column < column {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low < len(g.pages) && g.pages[low].column == column {
		return g.pages[low], true
	}
	return pageRef{}, false
}

func appendHeader(dst []byte) []byte {
	start := len(dst)
	dst = binary.LittleEndian.AppendUint32(append(dst, magic...), version)
	return binary.LittleEndian.AppendUint32(dst, codec.CRC(dst[start:]))
}

// checkHeader tells the version, and damage from a file of a newer one: the header is the same in
// all.
func checkHeader(header []byte) (uint32, error) {
	if len(header) < headerBytes || string(header[:8]) != magic {
		return 0, codec.Corrupt("not a segment")
	}
	if codec.CRC(header[:12]) != binary.LittleEndian.Uint32(header[12:]) {
		return 0, codec.Corrupt("header checksum")
	}
	v := binary.LittleEndian.Uint32(header[8:])
	if v > version {
		return v, codec.ErrVersion
	}
	if v == 0 {
		return v, codec.Corrupt("version 0")
	}
	return v, nil
}

type tail struct {
	footer       int64
	footerLength uint32
	crc          uint32
}

func (t tail) append(dst []byte) []byte {
	start := len(dst)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(t.footer))
	dst = binary.LittleEndian.AppendUint32(dst, t.footerLength)
	dst = binary.LittleEndian.AppendUint32(dst, t.crc)
	dst = binary.LittleEndian.AppendUint32(dst, version)
	dst = binary.LittleEndian.AppendUint64(dst, 0)
	dst = binary.LittleEndian.AppendUint32(dst, codec.CRC(dst[start:]))
	return append(dst, magic...)
}

func decodeTail(data []byte, fileBytes int64) (tail, error) {
	if len(data) != tailBytes || string(data[32:]) != magic {
		return tail{}, codec.Corrupt("no segment tail: the file is cut or overwritten")
	}
	if codec.CRC(data[:28]) != binary.LittleEndian.Uint32(data[28:]) {
		return tail{}, codec.Corrupt("tail checksum")
	}
	t := tail{
		footer:       int64(binary.LittleEndian.Uint64(data)),
		footerLength: binary.LittleEndian.Uint32(data[8:]),
		crc:          binary.LittleEndian.Uint32(data[12:]),
	}
	if t.footer < headerBytes || t.footerLength > footerBytesMax || t.footer != fileBytes-tailBytes-int64(t.footerLength) {
		return tail{}, codec.Corrupt("footer of %d bytes at %d in a file of %d", t.footerLength, t.footer, fileBytes)
	}
	return t, nil
}

// appendFooter appends the footer's payload:
//
//	shard v, tenant length v + bytes, windows v + each zigzag v, first and last Seq v,
//	min and max received zigzag v, generation v, rows v, traces v, row groups v,
//	min start v, max start v, max duration v, lengths of the sections v
func appendFooter(dst []byte, info *Info, lengths [sections]uint32) []byte {
	dst = binary.AppendUvarint(dst, uint64(info.Shard))
	dst = codec.AppendLengthBytes(dst, []byte(info.Tenant))
	dst = binary.AppendUvarint(dst, uint64(len(info.Windows)))
	for _, window := range info.Windows {
		dst = binary.AppendVarint(dst, window)
	}
	dst = binary.AppendUvarint(dst, info.FirstSeq)
	dst = binary.AppendUvarint(dst, info.LastSeq)
	dst = binary.AppendVarint(dst, info.MinReceived)
	dst = binary.AppendVarint(dst, info.MaxReceived)
	for _, v := range []uint64{
		uint64(info.Generation), uint64(info.Rows), uint64(info.Traces), uint64(info.Groups),
		info.MinStart, info.MaxStart, info.MaxDuration,
	} {
		dst = binary.AppendUvarint(dst, v)
	}
	for _, length := range lengths {
		dst = binary.AppendUvarint(dst, uint64(length))
	}
	return dst
}

func decodeFooter(payload []byte, version uint32, info *Info) (lengths [sections]uint32, err error) {
	r := codec.NewReader(payload)
	shard := r.Uvarint()
	info.Tenant = string(r.LengthBytes())
	for range r.Count(1) {
		info.Windows = append(info.Windows, r.Varint())
	}
	info.FirstSeq, info.LastSeq = r.Uvarint(), r.Uvarint()
	info.MinReceived, info.MaxReceived = r.Varint(), r.Varint()
	generation := r.Uvarint()
	rows, traces, groups := r.Uvarint(), r.Uvarint(), r.Uvarint()
	info.MinStart, info.MaxStart, info.MaxDuration = r.Uvarint(), r.Uvarint(), r.Uvarint()
	for i := range sectionsOf(version) {
		length := r.Uvarint()
		if length > footerBytesMax {
			r.Fail("section %d of %d bytes", i, length)
		}
		lengths[i] = uint32(length)
	}
	if shard > math.MaxUint32 || generation > math.MaxUint32 || rows > rowsMax || traces > rows || groups > rows {
		r.Fail("shard %d, generation %d, %d rows, %d traces, %d row groups", shard, generation, rows, traces, groups)
	}
	if r.Err() == nil && r.Len() > 0 {
		r.Fail("%d bytes after the footer", r.Len())
	}
	info.Shard, info.Generation = uint32(shard), uint32(generation)
	info.Rows, info.Traces, info.Groups = int(rows), int(traces), int(groups)
	return lengths, r.Err()
}
