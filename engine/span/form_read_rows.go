package span

import (
	"math"

	"github.com/stoadb/stoa/internal/codec"
)

// makeRows makes the columns of rows that are always there. Those of one type share one
// allocation.
func (b *Batch) makeRows(rows int) {
	b.TraceIDs = made[TraceID](rows)
	ids := slab[SpanID]{made[SpanID](2 * rows)}
	b.SpanIDs, b.ParentIDs = ids.take(rows), ids.take(rows)
	times := slab[uint64]{made[uint64](2 * rows)}
	b.Starts, b.Ends = times.take(rows), times.take(rows)
}

// makeOthers makes the columns of rows that may be all 0: those that are there can be written to.
func (b *Batch) makeOthers(m *room, there uint64) {
	rows := b.Len()
	for column := range rowColumns {
		switch {
		case there>>column&1 == 0 && rows <= zeroRowsMax:
		case column == statusPresentColumn:
			m.take(uint64(rows), 1)
		default:
			m.take(uint64(rows), 4)
		}
	}
	if m.Err() != nil {
		return
	}
	makeColumns(zeroTexts[:], rows, there, rowColumn[TextID]{nameColumn, &b.Names}, rowColumn[TextID]{messageColumn, &b.StatusMessages},
		rowColumn[TextID]{traceStateColumn, &b.TraceStates}, rowColumn[TextID]{residueColumn, &b.Residues})
	makeColumns(zeroEnums[:], rows, there, rowColumn[int32]{kindColumn, &b.Kinds}, rowColumn[int32]{statusColumn, &b.StatusCodes})
	makeColumns(zeroFlags[:], rows, there, rowColumn[bool]{statusPresentColumn, &b.StatusPresent})
	makeColumns(zeroNumbers[:], rows, there, rowColumn[uint32]{flagsColumn, &b.Flags}, rowColumn[uint32]{droppedAttrsColumn, &b.DroppedAttrs},
		rowColumn[uint32]{droppedEventsColumn, &b.DroppedEvents}, rowColumn[uint32]{droppedLinksColumn, &b.DroppedLinks},
		rowColumn[uint32]{resourceColumn, &b.ResourceIDs}, rowColumn[uint32]{scopeColumn, &b.ScopeIDs},
		rowColumn[uint32]{shapeColumn, &b.AttrEnds}, rowColumn[uint32]{eventsColumn, &b.EventEnds}, rowColumn[uint32]{linksColumn, &b.LinkEnds})
}

// readTimes reads what appendTimes wrote.
func (f *formReader) readTimes(r *codec.Reader, b *Batch) {
	if r.Err() != nil || b.Len() == 0 {
		return
	}
	f.numbers = sized(f.numbers, b.Len())
	f.numbers[0] = 0
	start := readUvarint(r)
	readNumbers(r, f.numbers[1:])
	for i, n := range f.numbers {
		start += unzigzag(n)
		b.Starts[i] = start
	}
	readNumbers(r, f.numbers)
	for i, n := range f.numbers {
		b.Ends[i] = b.Starts[i] + n
	}
}

// readLists reads the columns of rows, events and links.
func (f *formReader) readLists(m *room, b *Batch) {
	if m.Err() != nil {
		return
	}
	f.size(b.Len(), 0, 0)
	there := readColumns(m.Reader, f.rows[:])
	if m.Err() != nil {
		return
	}
	if b.makeOthers(m, there); m.Err() != nil {
		return
	}
	events, links := f.plain(m.Reader, b, there)
	b.Events, b.Links = made[Event](m.take(events, eventBytes)), made[Link](m.take(links, linkBytes))
	f.findTexts(b, there)
	f.size(b.Len(), len(b.Events), len(b.Links))
	if m.Err() != nil {
		return
	}
	readColumns(m.Reader, f.events[:])
	readLinkIDs(m.Reader, b.Links)
	readColumns(m.Reader, f.links[:])
	if m.Err() != nil {
		return
	}
	event := uint32(0)
	for i, end := range b.EventEnds {
		for ; event < end; event++ {
			b.Events[event].Time = b.Starts[i] + unzigzag(f.events[eventTimeColumn][event])
		}
	}
	dropped, flags := make([]uint32, max(len(b.Events), len(b.Links))), make([]uint32, len(b.Links))
	narrow(m.Reader, dropped[:len(b.Events)], f.events[eventDroppedColumn])
	for i := range b.Events {
		b.Events[i].Dropped = dropped[i]
	}
	narrow(m.Reader, dropped[:len(b.Links)], f.links[linkDroppedColumn])
	narrow(m.Reader, flags, f.links[linkFlagsColumn])
	for i := range b.Links {
		b.Links[i].Dropped, b.Links[i].Flags = dropped[i], flags[i]
	}
}

// plain fills the columns of rows that are there and need nothing but their own values, and says
// how many events and links there are.
func (f *formReader) plain(r *codec.Reader, b *Batch, there uint64) (events, links uint64) {
	if b.Len() > 0 && (len(b.Resources) == 0 || len(b.Scopes) == 0) {
		r.Fail("rows without resource or scope")
		return 0, 0
	}
	for column, values := range f.rows {
		if there>>column&1 == 0 {
			continue
		}
		switch column {
		case kindColumn:
			narrow(r, b.Kinds, values)
		case statusColumn:
			narrow(r, b.StatusCodes, values)
		case flagsColumn:
			narrow(r, b.Flags, values)
		case droppedAttrsColumn:
			narrow(r, b.DroppedAttrs, values)
		case droppedEventsColumn:
			narrow(r, b.DroppedEvents, values)
		case droppedLinksColumn:
			narrow(r, b.DroppedLinks, values)
		case resourceColumn:
			narrowSteps(r, b.ResourceIDs, values, len(b.Resources))
		case scopeColumn:
			narrowSteps(r, b.ScopeIDs, values, len(b.Scopes))
		case statusPresentColumn:
			narrowFlags(r, b.StatusPresent, values)
		case eventsColumn:
			events = ends(b.EventEnds, values)
		case linksColumn:
			links = ends(b.LinkEnds, values)
		}
	}
	return events, links
}

// findTexts lists the columns of rows' texts that are there, in the order of texts.
func (f *formReader) findTexts(b *Batch, there uint64) {
	f.columns = f.columns[:0]
	for _, c := range [...]struct {
		column, texts int
		to            []TextID
	}{
		{nameColumn, nameTexts, b.Names},
		{messageColumn, messageTexts, b.StatusMessages},
		{traceStateColumn, traceStateTexts, b.TraceStates},
		{residueColumn, residueTexts, b.Residues},
	} {
		if there>>c.column&1 != 0 {
			f.columns = append(f.columns, readTexts{c.to, f.rows[c.column], c.texts})
		}
	}
}

// ends fills a column of ends from counts and gives the total, which is only right where it
// has 32 bits.
func ends(dst []uint32, counts []uint64) uint64 {
	total, beyond := uint64(0), uint64(0)
	for i, n := range counts {
		total += n
		beyond |= n | total
		dst[i] = uint32(total)
	}
	if beyond > math.MaxUint32 {
		return math.MaxUint64
	}
	return total
}

// readLinkIDs reads what appendLinkIDs wrote.
func readLinkIDs(r *codec.Reader, links []Link) {
	if len(links) == 0 {
		return
	}
	there := r.Uint8()
	if there > 1 {
		r.Fail("flag %d", there)
	}
	if there != 1 {
		return
	}
	if len(links) > r.Len()/24 {
		r.Fail("%d links in %d bytes", len(links), r.Len())
		return
	}
	traces, spans := r.Bytes(16*len(links)), r.Bytes(8*len(links))
	any := false
	for i := range links {
		links[i].TraceID, links[i].SpanID = TraceID(traces[16*i:]), SpanID(spans[8*i:])
		any = any || links[i].TraceID != (TraceID{}) || !links[i].SpanID.IsZero()
	}
	if !any {
		r.Fail("ids of links that have none")
	}
}
