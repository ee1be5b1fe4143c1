package segment

import (
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// Facts are the rows of a row group as calls and rates need them, in numbers. They keep their
// memory from one ReadFacts to the next.
type Facts struct {
	Starts, Durations  []uint64 // durations as span.Duration counts
	SpanIDs, ParentIDs []span.SpanID
	// Of says what else a row is: a position in List.
	Of   []uint32
	List []Fact

	resources, lengths []uint64
	numbers            pairNumbers
}

// Fact is what rows of a row group have in common: a resource's service, and a template's
// name, kind and status. The list may have equal ones.
type Fact struct {
	Service, Name []byte // of the segment, and not to be changed
	Kind          int32
	Failed        bool // status Error
}

// factsProjection is what facts are made of.
var factsProjection = Projection{Times: true, Identity: true}

// ReadFacts reads row group i. Pages that are opened stay with Pages where keep says so: not
// those of whoever goes through all row groups, each once.
func (s *Segment) ReadFacts(i int, f *Facts, keep bool) error {
	var scan *GroupScan
	if keep {
		scan = &GroupScan{rowReader: *s.reader(i, 0, s.groups[i].Rows, factsProjection)}
		defer scan.done()
	} else {
		once, done := s.scanOnce(i, factsProjection)
		defer done()
		scan = once
	}
	if err := scan.err; err != nil {
		return err
	}
	var err error
	if f.Starts, err = scan.Starts(f.Starts, nil); err != nil {
		return err
	}
	if f.lengths, err = scan.Lengths(f.lengths, nil); err != nil {
		return err
	}
	if f.resources, err = scan.ResourceCodes(f.resources, nil); err != nil {
		return err
	}
	if scan.ids(); scan.err != nil {
		return scan.err
	}
	f.SpanIDs, f.ParentIDs = scan.b.SpanIDs, scan.b.ParentIDs
	f.Durations = f.Durations[:0]
	for row, length := range f.lengths {
		f.Durations = append(f.Durations, span.Duration(f.Starts[row], f.Starts[row]+length))
	}
	return f.facts(&scan.rowReader)
}

// RowFacts are rows of a row group as summaries need them. They keep their memory from one ReadRowFacts to
// the next.
type RowFacts struct {
	Starts, Ends       []uint64 // as they were received
	SpanIDs, ParentIDs []span.SpanID
	Resources          []uint32 // of the segment
	Kinds              []int32
	Failed             []bool // status Error
	Roots              []RootFact
}

// RootFact is a row without a parent id: its position among those read, and its name, which is not to be
// changed.
type RootFact struct {
	Row  int
	Name []byte
}

// ReadRowFacts reads the facts of rows [from, to) of row group i, of pages that stay with Pages.
func (s *Segment) ReadRowFacts(i, from, to int, f *RowFacts) error {
	r := s.reader(i, from, to, factsProjection)
	defer r.done()
	n, group := r.group.Rows, r.group
	f.Starts = r.appendIntegers(f.Starts[:0], colStart, n, from, to)
	f.Ends = r.appendIntegers(f.Ends[:0], colDuration, n, from, to)
	for row, start := range f.Starts {
		f.Ends[row] += start
	}
	f.Resources = f.Resources[:0]
	for _, code := range r.integers(colResource, n, from, to) {
		if code >= uint64(len(group.resources)) {
			r.fail(colResource, codec.Corrupt("resource %d of %d", code, len(group.resources)))
			break
		}
		f.Resources = append(f.Resources, group.resources[code])
	}
	r.b.SpanIDs, r.b.ParentIDs = f.SpanIDs[:0], f.ParentIDs[:0]
	if r.ids(); r.err != nil {
		return r.err
	}
	f.SpanIDs, f.ParentIDs = r.b.SpanIDs, r.b.ParentIDs
	it, err := r.itemsOfSpans()
	if err != nil {
		return err
	}
	f.Kinds, f.Failed, f.Roots = f.Kinds[:0], f.Failed[:0], f.Roots[:0]
	for row, code := range it.items.codes[from:to] {
		t, id := s.templateOf(group, span.SpanLevel, it.items, code)
		scalars := t.scalarsAt(id)
		f.Kinds = append(f.Kinds, int32(scalars[scalarKind]))
		f.Failed = append(f.Failed, int32(scalars[scalarStatusCode]) == span.StatusError)
		if f.ParentIDs[row].IsZero() {
			f.Roots = append(f.Roots, RootFact{row, t.nameOf(id)})
		}
	}
	return nil
}

// itemsOfSpans opens the templates of the rows.
func (r *rowReader) itemsOfSpans() (*itemReader, error) {
	it := r.openCodes(span.SpanLevel, r.group.Rows)
	if it == nil {
		r.fail(colTemplate, codec.Corrupt("no templates of spans"))
		return nil, r.err
	}
	return it, nil
}

// facts finds the pairs of resources and templates of the rows.
func (f *Facts) facts(r *rowReader) error {
	it, err := r.itemsOfSpans()
	if err != nil {
		return err
	}
	f.Of, f.List = f.Of[:0], f.List[:0]
	templates := uint64(r.group.codes(span.SpanLevel))
	f.numbers.reset(r.group.Rows)
	for row, code := range it.items.codes {
		at := f.numbers.at(f.resources[row]*templates + uint64(code))
		if *at == 0 {
			f.List = append(f.List, r.fact(it, f.resources[row], code))
			*at = uint32(len(f.List))
		}
		f.Of = append(f.Of, *at-1)
	}
	return nil
}

// fact tells what a resource and a template of the group say.
func (r *rowReader) fact(it *itemReader, resource uint64, code uint32) Fact {
	t, id := r.s.templateOf(r.group, span.SpanLevel, it.items, code)
	scalars, resources := t.scalarsAt(id), r.s.resources
	return Fact{
		Service: resources.Bytes(resources.Resources[r.group.resources[resource]].Service), Name: t.nameOf(id),
		Kind: int32(scalars[scalarKind]), Failed: int32(scalars[scalarStatusCode]) == span.StatusError,
	}
}
