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
		scan = &GroupScan{*s.reader(i, 0, s.groups[i].Rows, factsProjection)}
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
	return f.facts(scan)
}

// facts finds the pairs of resources and templates.
func (f *Facts) facts(scan *GroupScan) error {
	it, _ := scan.open(span.SpanLevel)
	if it == nil {
		scan.fail(colTemplate, codec.Corrupt("no templates of spans"))
		return scan.err
	}
	f.Of, f.List = f.Of[:0], f.List[:0]
	templates := uint64(scan.group.codes(span.SpanLevel))
	f.numbers.reset(len(it.items.codes))
	for row, code := range it.items.codes {
		at := f.numbers.at(f.resources[row]*templates + uint64(code))
		if *at == 0 {
			f.List = append(f.List, scan.fact(it, f.resources[row], code))
			*at = uint32(len(f.List))
		}
		f.Of = append(f.Of, *at-1)
	}
	return nil
}

// fact tells what a resource and a template of the group say.
func (g *GroupScan) fact(it *itemReader, resource uint64, code uint32) Fact {
	t, id := g.s.templateOf(g.group, span.SpanLevel, it.items, code)
	scalars, resources := t.scalarsAt(id), g.s.resources
	f := Fact{
		Service: resources.Bytes(resources.Resources[g.group.resources[resource]].Service),
		Kind:    int32(scalars[scalarKind]), Failed: int32(scalars[scalarStatusCode]) == span.StatusError,
	}
	for _, slot := range t.slotsOf(id) {
		if slot.column == colName {
			f.Name = t.text(slot.value)
		}
	}
	return f
}
