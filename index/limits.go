package index

// A catalog that would hold more than these gives up its list and says so, and names are
// scanned for. Each open segment keeps its catalog in memory, a merge unites those of its
// inputs, and names with an id in them (a million of "GET /user/4711") would otherwise grow
// both without bound. Real services have some hundreds of operations.
const (
	operationsMax = 16_384
	textBytesMax  = 1 << 20 // of the names together
)

// A filter of at most listKeysMax keys is a list: 10 bits a key, which a fuse table beats
// only beyond that. To find a key in it reads half of its high bits, 256 bytes at most.
const listKeysMax = 2_048

// A filter holds at most filterKeysMax keys: building one of them takes 2 GB, and no segment
// has as many traces.
const filterKeysMax = 1 << 27

// A fuse table is tried attemptsMax times, the last at half as much again as the first: of
// even hashes about half of the attempts succeed, so no set of them ever gets there.
const attemptsMax = 32

// Fewer than radixKeysMin hashes are sorted by comparing. Of more, up to digitBitsMax bits at once
// make pieces, in counts of 8 KiB; pieces of up to pieceKeysMax are left to one pass over all.
const (
	radixKeysMin = 64
	digitBitsMax = 10
	pieceKeysMax = 16
)

// TermBytesMax is how much of a text a term holds. Values that are asked for are shorter;
// stack traces and statements would fill the dictionary with what nobody types.
const TermBytesMax = 256

// TemplatesMax is how many templates a segment may have: the ids fit 16 bits, so a bitmap
// of them is a single roaring container.
const TemplatesMax = 1 << 16

const (
	bitmapBytesMax = 16 + 8_192 // a header and a container with a bit a template
	bitmapBytesMin = 16         // a list up to this is not tried as a bitmap: none takes less
)

// Counts of more than keysMax keys are not kept: as many as there can be columns, and as
// many again that share the map columns.
const keysMax = 8_192

// Up to exactHashesMax distinct values are counted exactly, in 32 KiB while they are
// counted: what a person would page through.
const exactHashesMax = 1_024
