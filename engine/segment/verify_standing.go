package segment

import (
	"bytes"
	"slices"

	"github.com/stoadb/stoa/index"
)

// standingVerifier compares the standing terms with the rows: each has the templates that its
// value stands with, no others.
type standingVerifier struct {
	v     *verifier
	terms map[uint32]map[string]*standingTerm // by column and value
}

type standingTerm struct{ says, has []uint64 } // templates, as bits

func newStandingVerifier(v *verifier) *standingVerifier {
	s := &standingVerifier{v: v, terms: map[uint32]map[string]*standingTerm{}}
	stored, err := v.s.Standing()
	if err != nil {
		v.damages = append(v.damages, err)
		return s
	}
	for _, id := range stored.Columns() {
		values := map[string]*standingTerm{}
		err := stored.Each(id, func(text []byte, p index.Postings) error {
			values[string(text)] = &standingTerm{says: p.Bits(nil)}
			return nil
		})
		if err != nil {
			v.damages = append(v.damages, err)
		}
		if s.terms[id] = values; id == ServiceColumn {
			continue
		}
		if id < colFixed || int(id-colFixed) >= len(v.s.columns) || !canStand(v.s.columns[id-colFixed]) {
			v.damage(v.at(sectionStanding), "standing terms of column %d", id)
		}
	}
	return s
}

// value takes a value that stands with a row of a template.
func (s *standingVerifier) value(column uint32, text []byte, template uint32) {
	if term := s.terms[column][string(text)]; term != nil {
		term.has = withBit(term.has, template)
	}
}

// end compares the terms, and then the bytes: what is told of the rows can stand in one way only.
func (s *standingVerifier) end() {
	ref, told := s.v.s.refs[sectionStanding], index.NewTermsBuilder()
	for id, values := range s.terms {
		for text, term := range values {
			for len(term.has) < len(term.says) {
				term.has = append(term.has, 0)
			}
			for len(term.says) < len(term.has) {
				term.says = append(term.says, 0)
			}
			if !slices.Equal(term.says, term.has) {
				s.v.damage(ref.offset, "value %q of column %d stands with other templates than its term says", text, id)
			}
			addTerm(told, id, text, term.has)
		}
	}
	if ref.length == 0 {
		return // version 1
	}
	stored, err := s.v.s.readPage(ref.offset, ref.length)
	if err != nil {
		s.v.damages = append(s.v.damages, err)
	} else if !bytes.Equal(stored, told.AppendBinary(nil)) {
		s.v.damage(ref.offset, "standing terms that are not told as they should be")
	}
}
