package segment

import (
	"slices"

	"github.com/stoadb/stoa/engine/span"
)

// cellWriter makes the cells of a segment: from the columns of each row group as it ends, be
// its rows added or taken over, so that both give the same; or from the cells of a merge's inputs (cell_sums.go). Spans of operations are counted at
// once; calls when a trace is whole, which may be some row groups later.
type cellWriter struct {
	edges, operations cellTable

	serviceNumbers map[string]uint32 // in order of first use
	serviceNames   []string
	serviceOf      []uint32 // by resource: number + 1, 0 is not known yet
	services       []uint32 // of the row group at hand, by code of the resource
	names          map[string]uint32
	nameTexts      []string
	nameBytes      int

	callees     map[callee]uint32
	calleeList  []callee
	lines       map[operationKey]uint32 // of operations
	edgeLines   map[uint64]uint32       // by parent's service << 32 | callee
	recentLines [recentLinesMax]recentLine

	facts rowFacts

	summed bool // from those of a merge's inputs: rows are not counted (cell_sums.go)

	// Rows of traces that are not whole yet: of the one that goes on, between two groups.
	rows      []cellRow
	ids       []span.SpanID
	parentIDs []span.SpanID
	kinds     []int32
	resolver  span.Resolver
	parents   []int32
}

// callee is whose span a call is, as an edge's line tells it.
type callee struct {
	service uint32
	kind    int32
}

type operationKey struct {
	service, name uint32
	kind          int32
}

// recentLine is the line of an edge that was asked for; key + 1, 0 is none.
type recentLine struct {
	key  uint64
	line uint32
}

// cellRow is a row as calls need it.
type cellRow struct {
	start           uint64
	service, callee uint32
	size            uint16
	failed          bool
}

// rowColumns are the columns of a row group that cells are made of.
type rowColumns struct {
	resources, templates []uint64 // codes
	starts, lengths      []uint64 // end - start, wrapping
	ids, parentIDs       []span.SpanID
}

func newCellWriter() *cellWriter {
	return &cellWriter{
		edges: newCellTable(), operations: newCellTable(),
		serviceNumbers: map[string]uint32{}, names: map[string]uint32{}, facts: newRowFacts(),
		callees: map[callee]uint32{}, lines: map[operationKey]uint32{}, edgeLines: map[uint64]uint32{},
	}
}

// add counts the rows of a row group; w.traces has its traces already.
func (c *cellWriter) add(w *Writer, ref *groupRef, cols rowColumns) {
	if c.boundOperations(); !w.catalog.Complete() {
		c.operations.giveUp()
	}
	if c.operations.none {
		c.lines, c.names, c.nameTexts = nil, nil, nil
	}
	c.count(w, ref, cols)
	if c.edges.none || c.summed {
		return
	}
	// What is pending begins with the trace that goes on from the groups before.
	rest := len(c.ids)
	c.ids, c.parentIDs = append(c.ids, cols.ids...), append(c.parentIDs, cols.parentIDs...)
	begin := 0
	for _, t := range w.traces[firstFrom(w.traces, ref.FirstRow):] {
		end := rest + int(t.first) - ref.FirstRow
		c.resolve(begin, end)
		begin = end
	}
	c.keepFrom(begin)
}

// boundOperations gives up cells of operations where there are too many of them.
func (c *cellWriter) boundOperations() {
	if len(c.lines) > operationLinesMax || c.nameBytes > operationNameBytesMax {
		c.operations.giveUp()
	}
}

// boundCallees gives up cells of edges where too many spans may be called.
func (c *cellWriter) boundCallees() {
	if len(c.calleeList) > cellCalleesMax {
		c.edges.giveUp()
	}
}

// forgetCalls frees what cells of edges are made of.
func (c *cellWriter) forgetCalls() {
	c.rows, c.ids, c.parentIDs, c.kinds, c.edgeLines, c.callees, c.calleeList = nil, nil, nil, nil, nil, nil, nil
}

// firstFrom gives the first trace that begins at row or behind it; there are few.
func firstFrom(traces []traceRef, row int) int {
	i := len(traces)
	for i > 0 && int(traces[i-1].first) >= row {
		i--
	}
	return i
}

// count goes over the rows: each is a span of its operation, and a row of its trace.
func (c *cellWriter) count(w *Writer, ref *groupRef, cols rowColumns) {
	c.services = c.services[:0]
	for _, id := range ref.resources {
		c.services = append(c.services, c.service(w.resources.batch, id))
	}
	c.facts.startGroup(ref)
	for row, code := range cols.templates {
		service := c.services[cols.resources[row]]
		f := &c.facts.list[c.facts.of[code]]
		if f.service != service {
			f = c.fact(w, service, code)
		}
		f.rows++
		if c.summed {
			continue
		}
		start := cols.starts[row]
		size := uint16(span.DurationSize(span.Duration(start, start+cols.lengths[row])))
		if !c.operations.none {
			c.operations.add(f.operation, start, f.failed, size)
		}
		if !c.edges.none {
			c.rows = append(c.rows, cellRow{start, f.service, f.callee, size, f.failed})
			c.kinds = append(c.kinds, f.kind)
		}
	}
}

// fact gives what the rows of a service and of a template of the row group have in common, and
// works it out where it is new.
func (c *cellWriter) fact(w *Writer, service uint32, code uint64) *rowFact {
	f, known := c.facts.find(service, code)
	if known {
		return f
	}
	t := w.folding[span.SpanLevel].local
	if f.shared {
		t = w.folding[span.SpanLevel].shared
	}
	scalars := t.table.scalarsAt(f.template)
	f.kind, f.failed = int32(scalars[scalarKind]), int32(scalars[scalarStatusCode]) == span.StatusError
	if c.summed {
		return f
	}
	if !c.edges.none {
		f.callee = numberOf(c.callees, callee{service, f.kind}, &c.calleeList)
	}
	if !c.operations.none {
		f.operation = c.operationLine(service, t.nameOf(f.template), f.kind)
	}
	return f
}

// operationLine gives the line of an operation.
func (c *cellWriter) operationLine(service uint32, name []byte, kind int32) uint32 {
	key := operationKey{service, c.name(name), kind}
	line, ok := c.lines[key]
	if !ok {
		line = c.operations.line(key.service, key.name, key.kind)
		c.lines[key] = line
	}
	return line
}

// numberOf gives the number of a key, the next one where it is new.
func numberOf[K comparable](numbers map[K]uint32, key K, list *[]K) uint32 {
	n, ok := numbers[key]
	if !ok {
		n = uint32(len(*list))
		numbers[key] = n
		*list = append(*list, key)
	}
	return n
}

// service gives the number of a resource's service.
func (c *cellWriter) service(resources *span.Batch, id uint32) uint32 {
	for int(id) >= len(c.serviceOf) {
		c.serviceOf = append(c.serviceOf, make([]uint32, max(int(id)+1-len(c.serviceOf), 64))...)
	}
	if c.serviceOf[id] == 0 {
		c.serviceOf[id] = c.serviceNamed(string(resources.Bytes(resources.Resources[id].Service))) + 1
	}
	return c.serviceOf[id] - 1
}

// serviceNamed gives the number of a service.
func (c *cellWriter) serviceNamed(name string) uint32 {
	return numberOf(c.serviceNumbers, name, &c.serviceNames)
}

// name gives the number of the name of an operation.
func (c *cellWriter) name(name []byte) uint32 {
	n, ok := c.names[string(name)]
	if !ok {
		n = numberOf(c.names, string(name), &c.nameTexts)
		c.nameBytes += len(name)
	}
	return n
}

// resolve counts the calls of the trace whose rows are pending from begin to end.
func (c *cellWriter) resolve(begin, end int) {
	if end-begin > cellTraceRowsMax {
		c.edges.giveUp()
	}
	if end-begin < 2 || c.edges.none {
		return // a span alone has no parent
	}
	rows := c.rows[begin:end]
	c.parents = c.resolver.Resolve(c.parents, c.ids[begin:end], c.parentIDs[begin:end], c.kinds[begin:end])
	for i, parent := range c.parents {
		if parent < 0 {
			continue
		}
		r := &rows[i]
		if c.edges.add(c.edgeLine(rows[parent].service, r.callee), r.start, r.failed, r.size); c.edges.none {
			return
		}
	}
}

// edgeLine gives the line of an edge.
func (c *cellWriter) edgeLine(parent, callee uint32) uint32 {
	key := uint64(parent)<<32 | uint64(callee)
	recent := &c.recentLines[key*0x9e3779b97f4a7c15>>32%recentLinesMax]
	if recent.key == key+1 {
		return recent.line
	}
	line, ok := c.edgeLines[key]
	if !ok {
		who := c.calleeList[callee]
		line = c.edges.line(parent, who.service, who.kind)
		c.edgeLines[key] = line
	}
	*recent = recentLine{key + 1, line}
	return line
}

// keepFrom keeps the rows of the trace that may go on, unless it is longer than is held.
func (c *cellWriter) keepFrom(begin int) {
	if c.boundCallees(); len(c.ids)-begin > cellTraceRowsMax {
		c.edges.giveUp()
	}
	if c.edges.none {
		c.forgetCalls()
		return
	}
	n := copy(c.ids, c.ids[begin:])
	copy(c.parentIDs, c.parentIDs[begin:])
	copy(c.rows, c.rows[begin:])
	copy(c.kinds, c.kinds[begin:])
	c.ids, c.parentIDs, c.rows, c.kinds = c.ids[:n], c.parentIDs[:n], c.rows[:n], c.kinds[:n]
}

// pages gives the pages of both sections, when all rows are there.
func (c *cellWriter) pages(w *Writer) (edges, operations []byte) {
	services, listed := servicesOf(w.resources.batch), w.catalog.Operations("")
	places := make(map[span.Operation]uint32, len(listed))
	for i, o := range listed {
		places[o] = uint32(i)
	}
	operationOf := func(l *cellLine) span.Operation {
		return span.Operation{Service: c.serviceNames[l.parent], Name: c.nameTexts[l.callee], Kind: l.kind}
	}
	if !w.catalog.Complete() {
		c.operations.giveUp()
	}
	if c.summed {
		c.edges.checkSums(w.info.Rows, false, func(l *cellLine) bool {
			return has(services, c.serviceNames[l.parent]) && has(services, c.serviceNames[l.callee])
		})
		c.operations.checkSums(w.info.Rows, true, func(l *cellLine) bool { _, ok := places[operationOf(l)]; return ok })
	} else {
		c.resolve(0, len(c.ids))
	}
	left := int(max(cellBytesMin, w.out.offset()/cellsShare))
	edges = c.edges.page(left/2, func(l *cellLine) (parent, callee uint32, kind int32) {
		return place(services, c.serviceNames[l.parent]), place(services, c.serviceNames[l.callee]), l.kind
	})
	operations = c.operations.page(left-len(edges), func(l *cellLine) (parent, callee uint32, kind int32) {
		return 0, places[operationOf(l)], 0
	})
	return edges, operations
}

func has(list []string, text string) bool {
	_, ok := slices.BinarySearch(list, text)
	return ok
}

func place(list []string, text string) uint32 {
	at, _ := slices.BinarySearch(list, text)
	return uint32(at)
}
