package index

// A catalog that would hold more than these gives up its list and says so, and names are
// scanned for. Each open segment keeps its catalog in memory, a merge unites those of its
// inputs, and names with an id in them (a million of "GET /user/4711") would otherwise grow
// both without bound. Real services have some hundreds of operations.
const (
	operationsMax = 16_384
	textBytesMax  = 1 << 20 // of the names together
)
