package column

import (
	"fmt"

	"github.com/stoadb/stoa/internal/codec"
)

// PageForm tells in words how a page stands: raw, or compressed from how many bytes.
func PageForm(page []byte) string {
	if len(page) < 5 {
		return "no page"
	}
	r := codec.NewReader(page[5:])
	switch page[4] {
	case formZstd:
		return fmt.Sprintf("zstd of %d", r.Uvarint())
	case formSplit:
		size, frame := r.Uvarint(), r.Uvarint()
		return fmt.Sprintf("zstd of %d, then raw %d", size, uint64(r.Len())-frame)
	}
	return fmt.Sprintf("raw %d", len(page)-5)
}

// IntsForm tells in words how integers stand.
func IntsForm(payload []byte) string {
	r := codec.NewReader(payload)
	switch form := r.Uint8(); {
	case r.Err() != nil:
		return "nothing"
	case form == intsConstant:
		return fmt.Sprintf("constant %d", r.Uvarint())
	case form == intsPlanes:
		width := r.Uint8()
		return fmt.Sprintf("%d byte planes above %d", width, r.Uvarint())
	case form == intsVarint:
		return fmt.Sprintf("varints above %d", r.Uvarint())
	case form == intsDelta:
		return fmt.Sprintf("deltas from %d", r.Uvarint())
	case form == intsBlocks:
		wide := r.Uint8()
		return fmt.Sprintf("mini-blocks, bases of %d bytes above %d", wide, r.Uvarint())
	case form == intsZstd:
		return fmt.Sprintf("zstd of %d in whole bytes", r.Uvarint())
	default:
		return fmt.Sprintf("integer form %d", form)
	}
}

// TextsForm tells in words how texts stand.
func TextsForm(payload []byte) string {
	r := codec.NewReader(payload)
	form := r.Uint8()
	if r.Err() != nil {
		return "nothing"
	}
	if form&^textsDictionary >= textsKinds {
		return fmt.Sprintf("text form %d", form)
	}
	words := textsKindNames[form&^textsDictionary]
	if form&textsDictionary == 0 {
		return "plain " + words
	}
	return fmt.Sprintf("dictionary of %d %s", r.Uvarint(), words)
}
