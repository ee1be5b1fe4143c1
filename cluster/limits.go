package cluster

import "time"

// Limits of a node, each with its reason.
const (
	// entryBytesMax is what the parts of a coalesced entry took at most, unless one part
	// alone is bigger: large enough that a log record's overhead vanishes, small enough
	// that one entry can be sent to a follower in one message.
	entryBytesMax = 2 << 20

	// appendBytesMax is what the parts of one append took at most; in the log that is an eighth.
	// fdatasync of 1 MiB takes milliseconds: more would make those who wait pay for those who
	// came later.
	appendBytesMax = 4 << 20

	// entryBufferMax is the largest buffer for entries that is kept for the next round: more than what one append took
	// may come to where nothing in it repeats. entryBuffersHeldMax of them outlive collections of garbage.
	entryBufferMax      = 2 * appendBytesMax
	entryBuffersHeldMax = 2

	// spreadBytesMin is what the parts of a round took from which on its shards are worked on
	// at once: to compress and apply the forms of so much takes a tenth of a millisecond, many
	// times what waking a goroutine costs.
	spreadBytesMin = 256 << 10

	// queueBytesMax is how many bytes may wait in one shard's queue, as parts count them, before new
	// parts are refused. They hold memory twice, as forms and as columns.
	queueBytesMax = 16 << 20

	// pagesBytesMaxDefault is what all shards together keep of opened pages, so that questions about
	// the same hour do not unpack it each time.
	pagesBytesMaxDefault = 96 << 20

	// splitCellsBytesMaxDefault is what all shards together keep of what split traces count, so that
	// questions about the service graph and rates do not assemble them each time: some 300,000
	// cells (10 M spans of a busy shop need 40 MiB or less). Each shard gets an equal part.
	splitCellsBytesMaxDefault = 48 << 20

	// spansBytesMax of spans, or one span where that is larger, are held by a search for spans
	// while its reader takes them: about what the message being sent holds.
	spansBytesMax = 4 << 20

	// partsMax columns are told apart by an analysis; more come of keys that never repeat.
	partsMax = 100_000

	// pauseMax is how long a flush or a merge pauses at most for questions, after each
	// engine.StretchRows rows, for which it works a millisecond and more: so it keeps a fifth of its
	// speed.
	pauseMax = 4 * time.Millisecond
	// tablesPauseMax is the same for who reads tables after a start, before each segment: those of the largest take
	// about as long to read. So beside endless questions a thousand segments of one store pause for 50 s in all; what
	// their tables take to be read, and the turns of other stores to read theirs, come to it.
	tablesPauseMax = 50 * time.Millisecond
	// tablesAgainMin and tablesAgainMax bound the pause before tables that a disk did not give are asked for
	// again: soon where it failed for a moment, and often enough that a node is ready again a minute after its disk.
	tablesAgainMin, tablesAgainMax = time.Second, time.Minute

	// restTimes the time that a walk or a round took beside questions the next walk rests, so that
	// they have a quarter of one processor, and restMax at most, which bounds what one that was
	// kept from its processor, or waited for a flush, makes others wait.
	restTimes = 3
	restMax   = 50 * time.Millisecond

	// restLateMax is how much of what rests were too long is remembered. A timer wakes a millisecond
	// late where the machine has nothing else to do, and as late as this where all threads work: so long
	// the runtime lets one go on.
	restLateMax = 10 * time.Millisecond

	// shardsDefaultMin and shardsDefaultMax bound ShardsDefault.
	shardsDefaultMin, shardsDefaultMax = 1, 16

	// ShardsMax bounds the shards of an epoch: beyond it the goroutines and memtables of
	// idle shards cost more than they bring.
	ShardsMax = 64

	// logBytesMaxDefault is how large the log may grow before the shard that holds its
	// front back is flushed. A restart replays at most this much.
	logBytesMaxDefault = 1 << 30

	// dividedFileBytesMin is the least size of a log file where many stores divide what one
	// takes: smaller ones would be made and synced with every few requests.
	dividedFileBytesMin = 1 << 20

	// reserveBytesDefault of the disk stay free: room for the next log file and for the
	// flush of every memtable, without which a full disk could never drain.
	reserveBytesDefault = 512 << 20

	// ReserveBytesMin is the least reserve that does its work: the next log file, 128 MiB,
	// and the flush of all memtables, 240 MiB of requests before compression.
	ReserveBytesMin = 384 << 20

	// heartbeatInterval is how often the keeper looks at idle shards, the log's size and
	// the disk. It bounds how late an idle memtable is sealed.
	heartbeatInterval = time.Second

	// memtableBytesTotal is what the open memtables of a node may hold of requests
	// together before they seal; each shard gets an equal part. The more it is, the fewer traces
	// are cut by a flush and the fewer segments are merged; spans take in memory half of what they
	// count, at most (engine.CountedBytes), and with roomQuarters of this all has to fit the process's limit.
	memtableBytesTotal = 192 << 20

	// roomQuarters of what open memtables may hold is what open and frozen ones may hold together
	// before writes wait for a flush. Two shards that freeze in turns have three quarters when one
	// freezes, and its flush has the time in which the others take two more.
	roomQuarters = 5

	// aloneQuarters of its part is what the open memtable of the only shard of a store may hold that shares
	// its room with no other: when it freezes, the store holds as much as one of two shards that freeze in
	// turns, and writes have as much room while it is flushed.
	aloneQuarters = 3

	// memtableAgeDefault seals a memtable whose first entry is this old.
	memtableAgeDefault = 30 * time.Second

	// fileBytesMax bounds the small files of this package (epoch record, import ledger)
	// when they are read: larger is damage, not data.
	fileBytesMax = 16 << 20
)
