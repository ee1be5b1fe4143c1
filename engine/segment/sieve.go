package segment

import "github.com/stoadb/stoa/internal/codec"

// keySieve tells of most keys that they have no column, once there are as many columns as allowed: where
// keys never repeat, each is asked for once, and a look into the map of columns waits for memory
// several times. A bit for each of 65,536 remainders of the hash lets one in sixteen through.
type keySieve struct {
	bits []uint64 // nil until it is first asked
}

const sieveBits = 1 << 16

// mayHold is false where no column has the key. The columns are those of its first call.
func (s *keySieve) mayHold(columns map[columnKey]uint32, key []byte) bool {
	if s.bits == nil {
		s.bits = make([]uint64, sieveBits/64)
		for c := range columns {
			at := codec.HashText([]byte(c.key)) % sieveBits
			s.bits[at/64] |= 1 << (at % 64)
		}
	}
	at := codec.HashText(key) % sieveBits
	return s.bits[at/64]&(1<<(at%64)) != 0
}
