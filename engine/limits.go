package engine

import (
	"time"

	"github.com/stoadb/stoa/compaction"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// Limits of one shard. Each bounds memory, files or the work of one question.
const (
	// memtableBytesMax is how many bytes of requests the spans of a memtable took before it is
	// sealed, by default. Four shards with one frozen memtable each then hold at most 200 MiB;
	// Options.RoomBytes may bound that further.
	memtableBytesMax = 24 << 20
	// memoryTimes: bounds of memtables and queues are told as bytes of requests, half of which most spans take in memory.
	memoryTimes = 2
	// memtableAge is the default entry time a memtable spans before it is sealed: what a
	// restart replays stays short, and an idle shard lets go of the log.
	memtableAge = 30 * time.Second
	// partOverheadBytes is counted for each part besides its bytes: what a batch costs
	// apart from its spans (1.2 KB measured) and its place in the maps. Without it, a flood
	// of one-span requests would fill memory long before the bound of bytes is met.
	partOverheadBytes = 2 << 10
	// StretchRows is how many rows a flush or a merge writes from one Pause to the next: some
	// milliseconds of work, and few enough that questions need not wait for more.
	StretchRows = 1 << 10
	// describedShare: to find the templates of so many rows takes a flush no longer than to write one.
	describedShare = 8
	// unmergedPausedMax: merges do not pause where a shard has more segments that none has met yet, as
	// many as one merge takes at most; nor do others that such a shard's wait for.
	unmergedPausedMax = 24
	// frozenMax is how many frozen memtables may wait before Apply waits too.
	frozenMax = 1
	// seenHashesMax and seenAge bound the exactly-once window; older copies are still
	// dropped by content at read and at merge. A merge keeps as many hashes.
	seenHashesMax = compaction.HashesMax
	seenAge       = compaction.HashAgeMax
	// openersMax segments of a shard are opened at a time: each takes some small reads in a row, and a disk answers
	// several at once.
	openersMax = 8
	// formKeptBytesMax is the largest working memory for forms that is kept for the next one: twice what the spans
	// of a part take, as memory that grows is up to twice what it needs. workingFormsHeldMax of them outlive
	// collections of garbage.
	formKeptBytesMax    = 2 * otlp.PartBytesMax
	workingFormsHeldMax = 2
	// partsMax bounds the parts of one entry; a coalescer sends far fewer.
	partsMax = 1 << 16
	// foundSlack is how many traces beyond twice the limit a search remembers before it
	// forgets those that cannot be in the answer any more.
	foundSlack = 1024
	// toldLimitMax is the largest limit of a search that tells the other shards of fewer traces
	// than the limit: it sorts what it has found for that, up to once a row group.
	toldLimitMax = 1024
	// knownMax is of how many traces a page remembers whether they belong to pages before.
	knownMax = 1 << 16
	// encoderKeptBytesMax is the largest encoder that is kept for the next trace: two buffers
	// of a chunk each, and what it knows of resources and attributes.
	encoderKeptBytesMax = 9 << 20
	// encodersHeldMax of them outlive collections of garbage: an answer that is made while the one before it is
	// sent, for two questions at once: 27 MiB.
	encodersHeldMax = 3
	// keptPlainBytesMax is the longest answer that is kept before anybody asks for it again, and the longest
	// message that is kept as it is sent: longer ones are packed.
	keptPlainBytesMax = 64 << 10
	// effortStep is how many looks at a value a filter takes between two at its context:
	// a tenth of a millisecond or so. bytesALook is how much text is gone over in the time of a look.
	effortStep = 1 << 11
	bytesALook = 32
	// attrsOfALook is how many attributes a look goes over to find a key.
	attrsOfALook = 16
	// patternAtOnceMax is how many steps of a pattern, times bytes, are matched without a
	// look at the context: about 30 ms where the pattern is of the slowest kind.
	patternAtOnceMax = 1 << 21
	// manifestBytesMax bounds the manifest: about 600,000 segments.
	manifestBytesMax = 128 << 20
	// nameBytesMax bounds a name that the manifest may hold.
	nameBytesMax = 1 << 10
	// cachedBytesMax is what one question keeps of decoded row groups. A trace's rows are
	// adjacent, and traces of an answer are often neighbours, in each source.
	cachedBytesMax = 24 << 20
	// internedMax texts, and internedBytesMax of them, are kept from trace to trace while whole
	// traces are looked at: names that never repeat must not pile up.
	internedMax      = 1 << 16
	internedBytesMax = 4 << 20
	// summarizedRowsKept: what was used to summarize traces of more rows, some 60 bytes each, does not
	// stay for other answers.
	summarizedRowsKept = 1 << 16
	// restsKept: what a filter's parts took for more templates and resources than that, 16 bytes each,
	// does not stay for the next search.
	restsKept = 1 << 14
	// boundBytesKept: nor does what was told of tables, scopes or rows of more texts and attributes, a
	// byte each.
	boundBytesKept = 1 << 20
	// summaryTextBytesKept: no more names of services and roots stay either, for as long as there are answers.
	summaryTextBytesKept = 32 << 10
	// operationsAskedMax: of a service with more operations, templates are not sought by them. To
	// seek those of one takes half a microsecond, and who has so many has most of a segment's.
	operationsAskedMax = 1 << 10
	// operationsListedMax operations of a version's segments, those of each counted, are kept as one
	// list: some 3 MiB, besides the names, which the catalogs have.
	operationsListedMax = 1 << 16
	// splitKeptMax split traces of a version are remembered, in some 5 MiB: those that flushes cut.
	splitKeptMax = 1 << 16
	// splitEach traces are gone over, to find those that are split, between two looks at whether to go on: some milliseconds.
	splitEach = 16 << 10
	// splitCellsBytesMax bounds, by default, what a version keeps of what its split traces count, in
	// splitKinds equal parts: for the service graph and for rates. More are counted for each question.
	splitCellsBytesMax = 16 << 20
	splitKinds         = 2
	// tallyReadersMax readers of segments serve a question that counts, with tallyGroupsMax row
	// groups each, of some 200 KiB.
	tallyReadersMax = 16
	tallyGroupsMax  = 8
	// clockStepMax is how far the clock may jump between two looks before retention stops
	// believing it; clockGapMax is the same across a restart, where a long pause is likely.
	clockStepMax = 48 * time.Hour
	clockGapMax  = 400 * 24 * time.Hour
	// keysCountedMax keys and valuesCountedMax values, of valueBytesCountedMax bytes together, are
	// kept while attributes are counted: more than a person looks through, and what ids that
	// never repeat may take. What does not fit is told of as cut.
	keysCountedMax       = 100_000
	valuesCountedMax     = 100_000
	valueBytesCountedMax = 64 << 20
)
