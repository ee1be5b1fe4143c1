package column

import (
	"fmt"

	"github.com/stoadb/stoa/internal/codec"
)

// BlockHead tells where a mini-block stands and how its values do: with it and the drawing in
// blocks.go a person finds any value by hand.
type BlockHead struct {
	First, Values int // the number of its first value in the column, and how many it has
	Tag           byte
	Base          uint64
	Offset, Bytes int     // of its body in the payload
	first         [3]byte // of the body, where the tag has more to say
}

// BlockHeads gives the heads of a payload of n integers; ok is false where they do not stand in
// mini-blocks.
func BlockHeads(payload []byte, n int) (heads []BlockHead, ok bool, err error) {
	r := codec.NewReader(payload)
	if n == 0 || r.Uint8() != intsBlocks {
		return nil, false, r.Err()
	}
	h := openHead(r, n)
	if r.Err() != nil {
		return nil, true, r.Err()
	}
	at := r.Offset()
	for i, tag := range h.tags {
		b := BlockHead{First: i * blockRows, Values: min(blockRows, n-i*blockRows), Tag: tag, Base: h.base(i), Offset: at}
		if b.Bytes = bodyBytes(tag, payload[at:], b.Values); b.Bytes < 0 || b.Bytes > len(payload)-at {
			return heads, true, codec.Corrupt("mini-block %d, tag %d, at %d of %d bytes", i, tag, at, len(payload))
		}
		copy(b.first[:], payload[at:at+b.Bytes])
		at += b.Bytes
		heads = append(heads, b)
	}
	return heads, true, nil
}

// String tells the head in words.
func (b BlockHead) String() string {
	words := ""
	switch tag := b.Tag; {
	case tag == 0:
		words = "all are the base"
	case tag <= tagUp:
		words = fmt.Sprintf("base + %d bits", tag)
	case tag <= tagDelta:
		words = fmt.Sprintf("differences of %d bits, upward", tag-tagUp)
	case tag < tagDictionary:
		words = fmt.Sprintf("differences of %d bits, zigzag", tag-tagDelta)
	case tag == tagDictionary:
		words = fmt.Sprintf("dictionary of %d, base + %d bits", b.first[0], b.first[1])
	case tag == tagRuns:
		words = fmt.Sprintf("%d runs, base + %d bits", b.first[0], b.first[1])
	case tag == tagPatched:
		words = fmt.Sprintf("base + %d bits, %d patches of %d", b.first[0], b.first[2], b.first[1])
	default:
		words = fmt.Sprintf("differences of %d bits, zigzag, %d patches of %d", b.first[0], b.first[2], b.first[1])
	}
	return fmt.Sprintf("values %d to %d, tag %d (%s), base %d", b.First, b.First+b.Values-1, b.Tag, words, b.Base)
}

// IsRaw reports a page whose payload stands in the file as it is, from its byte PageHeadBytes on.
func IsRaw(page []byte) bool { return len(page) >= PageHeadBytes && page[4] == formRaw }

// PageHeadBytes are the checksum and the form.
const PageHeadBytes = 5
