package column

import (
	"encoding/binary"

	"github.com/stoadb/stoa/internal/codec"
)

// tryZstd leaves values in whole bytes in p.trial, and behind so many bytes their frame. ok is
// false where the frame does not save more than a third of what the values take light, or promised
// so little that there is none.
func (p *Pages) tryZstd(values []uint64, plan bytesPlan, light int) (bytewise int, ok bool) {
	p.trial = plan.append(p.trial[:0], values)
	if !repeats(p.trial, light) {
		return 0, false
	}
	bytewise = len(p.trial)
	p.trial = codec.AppendZstd(p.trial, p.trial)
	return bytewise, len(p.trial)-bytewise < light-light/zstdSaves
}

// repeats tells whether zstd would save one part in repeatsSave of what data takes light, about:
// what comes again takes repeatBytes each time, and all else its share of light. It goes to the end
// of data only where little comes again, with longer steps the longer nothing did, as zstd does.
func repeats(data []byte, light int) bool {
	var places [1 << repeatsBits]uint32 // of the last bytes with a hash, + 1
	again, times, end := 0, 0, 0
	for at := 0; at+8 <= len(data); {
		word := binary.LittleEndian.Uint64(data[at:]) << (64 - 8*repeatBytesMin)
		place := &places[word*0x9e3779b97f4a7c15>>(64-repeatsBits)]
		before := int(*place) - 1
		*place = uint32(at + 1)
		if before < 0 || binary.LittleEndian.Uint64(data[before:])<<(64-8*repeatBytesMin) != word {
			at += 1 + (at-end)>>repeatsPace
			continue
		}
		end = at + repeatBytesMin
		for before += repeatBytesMin; end < len(data) && data[end] == data[before]; end++ {
			before++
		}
		again += end - at
		times++
		at = end
		if saved := again*light - times*repeatBytes*len(data); at > len(data)/repeatsShare && (saved < 0 || saved*repeatsSave > light*at) {
			return saved > 0
		}
	}
	return (again*light-times*repeatBytes*len(data))*repeatsSave > light*len(data)
}
