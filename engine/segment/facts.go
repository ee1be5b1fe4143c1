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
	return f.facts(&scan.rowReader, 0, scan.group.Rows)
}

// ReadRowFacts reads the facts of rows [from, to) of row group i, of pages that stay with Pages.
func (s *Segment) ReadRowFacts(i, from, to int, f *Facts) error {
	r := s.reader(i, from, to, factsProjection)
	defer r.done()
	n := r.group.Rows
	f.Starts = append(f.Starts[:0], r.integers(colStart, n, from, to)...)
	f.lengths = append(f.lengths[:0], r.integers(colDuration, n, from, to)...)
	f.resources = append(f.resources[:0], r.integers(colResource, n, from, to)...)
	for _, code := range f.resources {
		if code >= uint64(len(r.group.resources)) {
			r.fail(colResource, codec.Corrupt("resource %d of %d", code, len(r.group.resources)))
		}
	}
	if r.ids(); r.err != nil {
		return r.err
	}
	f.SpanIDs, f.ParentIDs, f.Durations = r.b.SpanIDs, r.b.ParentIDs, f.Durations[:0]
	for row, length := range f.lengths {
		f.Durations = append(f.Durations, span.Duration(f.Starts[row], f.Starts[row]+length))
	}
	return f.facts(r, from, to)
}

// End gives the end of a row, as it was received.
func (f *Facts) End(row int) uint64 { return f.Starts[row] + f.lengths[row] }

// facts finds the pairs of resources and templates of rows [from, to).
func (f *Facts) facts(r *rowReader, from, to int) error {
	it := r.openCodes(span.SpanLevel, r.group.Rows)
	if it == nil {
		r.fail(colTemplate, codec.Corrupt("no templates of spans"))
		return r.err
	}
	f.Of, f.List = f.Of[:0], f.List[:0]
	templates := uint64(r.group.codes(span.SpanLevel))
	f.numbers.reset(to - from)
	for row, code := range it.items.codes[from:to] {
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
