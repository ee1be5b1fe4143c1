package compaction

import (
	"math"
	"time"
)

// HashesMax and HashAgeMax bound the exactly-once window: how many parts it knows, and for
// how long. Older copies are still dropped by content. A merge keeps no more than these.
const (
	HashesMax  = 16_384
	HashAgeMax = 10 * time.Minute
)

// DefaultPolicy merges sixteen segments of a tier: what a shard flushes at full speed then comes to
// 3 M rows by one merge, which the end of the window has nothing to add to, where eight came to a
// third of RowsMax and were merged again. It keeps outputs
// at 4 M rows (what one merge does in seconds, and its trace table in a few MiB) and their
// tables at 64 MiB (where every span has a resource of its own, segments stay small), unites
// the windows of a day once that is a day old, and keeps data for ever.
func DefaultPolicy() Policy {
	return Policy{MergeMin: 16, MergeMax: 24, RowsMax: 4 << 20, BytesMax: 1 << 30, TablesMax: 64 << 20, OldWindowsMax: 48}
}

// oldAfter is when windows may be merged with their neighbours: by then hardly anybody
// sends spans of theirs, and retention in days has a window more or less to give.
const oldAfter = 24 * time.Hour

const (
	// rehearsalGroupsMax is how many row groups of the inputs a merge reads before it begins,
	// to know which attributes vary.
	rehearsalGroupsMax = 8
	// wholeRowsMin rows make a row group worth taking over as it stands: smaller ones are put
	// together. runGroupsMin of them are taken over in a row, because the one before them ends
	// where they begin, however few rows it has.
	wholeRowsMin = 3072
	runGroupsMin = 4
	// sharedEach traces of inputs are put in order between two looks at whether to go on: a millisecond or two.
	sharedEach = 16 << 10
	// spareBytesMax is the most that columns hold whose memory serves those that are unpacked next.
	spareBytesMax = 4 << 20
	// chunkRowsMax is how many rows go to the writer at once, so that a trace of a million
	// spans is never in memory whole; and after how many read a merge tells, and looks at whether to go on.
	chunkRowsMax = 1024
)

// Tests lower these. cacheBytesMax bounds the decoded row groups a merge keeps (half a MiB each, in columns or as
// bare rows; each kind has as much, and so have whole ones, 1 to 3 MiB each), besides one for each input: inputs
// advance at about the same pace, and a trace that stands in several begins at about the same place in each.
// In columns, groupsMin of those for the inputs stay whatever they take; what is being read stays in any case.
var (
	cacheBytesMax = 12 << 20
	groupsMin     = math.MaxInt
)
