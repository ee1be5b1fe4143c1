package codec

import (
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"hash/maphash"
	"math/bits"

	"github.com/zeebo/xxh3"
)

// Hash is a 128-bit content hash (XXH3-128, big endian). It identifies a sub-batch
// inside one tenant's own data; it is not a defence against that tenant.
type Hash [16]byte

// HashBytes hashes b.
func HashBytes(b []byte) Hash {
	u := xxh3.Hash128(b)
	var h Hash
	binary.BigEndian.PutUint64(h[:8], u.Hi)
	binary.BigEndian.PutUint64(h[8:], u.Lo)
	return h
}

// String gives the 32 hex digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Hash64 is XXH3-64 of b with a seed: placement and hash tables.
func Hash64(b []byte, seed uint64) uint64 { return xxh3.HashSeed(b, seed) }

// textSeed is part of stored formats: filters are made of what HashText gives.
const textSeed = 0x73746f61 // "stoa"

// HashText is XXH3-64 of a text as filters of segments hold it. Tables of texts that go into filters
// are kept by it too, so that each is hashed once.
func HashText(text []byte) uint64 { return Hash64(text, textSeed) }

// Mixed is a hash of two numbers for tables in memory: the halves of their product, each of them made
// another one by a seed of this process, so that nobody can send values whose hashes fall together.
// No byte that is stored may depend on it.
func Mixed(a, b uint64) uint64 {
	high, low := bits.Mul64(a^mixSeeds[0], b^mixSeeds[1])
	return high ^ low
}

var mixSeeds = func() [2]uint64 {
	seed := maphash.MakeSeed()
	return [2]uint64{maphash.Bytes(seed, nil), maphash.Bytes(seed, []byte{1})}
}()

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// CRC is CRC-32C (Castagnoli) of b.
func CRC(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// CRCAppend continues a CRC-32C over b.
func CRCAppend(crc uint32, b []byte) uint32 { return crc32.Update(crc, castagnoli, b) }
