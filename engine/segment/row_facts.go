package segment

import (
	"math"

	"github.com/stoadb/stoa/engine/span"
)

// rowFact is what rows of one service and one template have in common, and how many they are.
type rowFact struct {
	service, callee uint32 // as cellWriter numbers them
	operation       uint32 // line
	template        uint32 // of the segment where shared says so, else of the row group
	kind            int32
	failed, shared  bool
	rows            uint64
}

// rowFacts are those of a segment on its way. Nearly every template is of one service, so the fact
// of its row before is that of the next one; others are found by a map.
type rowFacts struct {
	list    []rowFact // the first one is of no rows: its service is none
	numbers map[uint64]uint32
	recent  []uint32 // by template of the segment: its fact that was asked for last, 0 is none

	// Of the row group at hand.
	ref *groupRef
	of  []uint32 // by code of the template, as recent
	own []uint32 // facts of templates of its own
}

func newRowFacts() rowFacts {
	return rowFacts{list: []rowFact{{service: math.MaxUint32}}, numbers: map[uint64]uint32{}}
}

// startGroup makes ready for the rows of a row group.
func (r *rowFacts) startGroup(ref *groupRef) {
	r.ref, r.of = ref, r.of[:0]
	shared := ref.templates[span.SpanLevel]
	if n := len(shared); n > 0 && int(shared[n-1]) >= len(r.recent) {
		r.recent = append(r.recent, make([]uint32, int(shared[n-1])+1-len(r.recent))...)
	}
	for _, id := range shared {
		r.of = append(r.of, r.recent[id])
	}
	for range ref.local[span.SpanLevel] {
		r.of = append(r.of, 0)
	}
}

// find gives the fact of a service and a code of the row group's templates; a new one is not
// known yet.
func (r *rowFacts) find(service uint32, code uint64) (f *rowFact, known bool) {
	shared := r.ref.templates[span.SpanLevel]
	template, isShared := uint32(code)-uint32(len(shared)), code < uint64(len(shared))
	if isShared {
		template = shared[code]
	}
	key := r.key(service, template, isShared)
	n, known := r.numbers[key]
	if !known {
		n = uint32(len(r.list))
		r.numbers[key] = n
		r.list = append(r.list, rowFact{service: service, template: template, shared: isShared})
	}
	if r.of[code] = n; isShared {
		r.recent[template] = n
	} else if !known {
		r.own = append(r.own, n)
	}
	return &r.list[n], known
}

// key tells templates of the row group's own from those of the segment, which are templatesMax at
// most.
func (r *rowFacts) key(service, template uint32, shared bool) uint64 {
	if !shared {
		template |= 1 << 31
	}
	return uint64(service)<<32 | uint64(template)
}

// endGroup forgets the templates of the row group's own.
func (r *rowFacts) endGroup() {
	for _, n := range r.own {
		f := &r.list[n]
		delete(r.numbers, r.key(f.service, f.template, false))
	}
	r.own = r.own[:0]
}

// reset forgets all, and keeps the memory.
func (r *rowFacts) reset() {
	r.list, r.own = r.list[:1], r.own[:0]
	clear(r.numbers)
	clear(r.recent)
}
