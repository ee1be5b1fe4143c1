package segment

import "github.com/stoadb/stoa/engine/column"

// Limits of the format. A reader refuses as corrupt what exceeds those that bound what it
// allocates; the others are the writer's.
const (
	// groupRowsMax: 4,096 rows fill a page of a few KiB to a few hundred, enough for a
	// dictionary to pay and few enough to read a trace without much beside it.
	groupRowsMax = 4096
	// groupBytesMax closes a row group early where rows are large, so that writer and reader
	// hold no more than this and one row (which may be a whole request of 64 MiB).
	groupBytesMax = 16 << 20
	// groupValuesMax bounds the attributes, events and links of one row group: the smallest of
	// them takes 2 bytes of a 64 MiB request, and that may be the last row of a full group.
	groupValuesMax = 48 << 20
	// attributeColumnsMax: attribute columns of a segment; further (level, key, type) go to
	// the map column of their level, so that a million distinct keys cost bytes, not columns.
	attributeColumnsMax = 4096
	// TracesMax of a segment have their ids in one page, at 16 bytes each.
	TracesMax = column.PageBytesMax / 16
	// rowsMax keeps row numbers in 32 bits with room to add.
	rowsMax = 1 << 31
	// sourceBytesMax is how much of source batches the writer remembers at once: it knows
	// their resources and keys again, and keeps those batches from being freed.
	sourceBytesMax = 32 << 20
	// writeBytes is the size of the writer's buffer: one write call for some pages.
	writeBytes = 256 << 10
	// gapBytesMax is what a read goes over to save a call: reading 16 KiB costs less than
	// one more pread.
	gapBytesMax = 16 << 10
	// writerKeptBytesMax is what a writer keeps from row group to row group: each of thousands
	// of columns would keep what its own largest page took.
	writerKeptBytesMax = 48 << 20
	// keptBytesMax is the largest buffer that goes back to the pool after a read.
	keptBytesMax = 8 << 20
	// buffersHeldMax of those of reads outlive collections of garbage, for as many at once: 32 MiB.
	buffersHeldMax = 4
	// footerBytesMax bounds the footer and the tables of a segment: 100 M-row segments are
	// not written, and at 4 M rows of one span each the trace table has 64 MiB.
	footerBytesMax = 192 << 20
	// groupRefBytesMin is the least that a row group takes in the directory: ranges, no page,
	// one resource and how long it lasts, no templates of three levels.
	groupRefBytesMin = 14
	// templatesMax keeps the templates of a segment in what memory holds for each open one:
	// 64 Ki of a dozen slots take 12 MiB.
	templatesMax = 1<<16 - 1
	// templatesMin templates are always fine, however few rows there are.
	templatesMin = 512
	// templateBytes is what a template takes, about, with its terms: it must save more than that.
	templateBytes = 40
	// ownBitsMore is what a value that stands alone takes beside the bits that tell it apart, and
	// what writing and reading it is worth.
	ownBitsMore = 2
	// searchedBitsMore is what it is worth that templates tell the items of a value, where a column has
	// searchedValuesMax values at most: a search that is told reads no page of it, else one of each row group that
	// its standing terms do not tell.
	searchedBitsMore  = 4
	searchedValuesMax = 32
	// sharedByMin items must have a template on the average, once all are there.
	sharedByMin = 8
	// growthShare: templates may be so many more than expected, a quarter, until columns are
	// weighed again.
	growthShare = 4
	// leastShare: so close to as few templates as there can be, a sixteenth, no column is worth
	// a look any more.
	leastShare = 16
	// What an attribute of a batch comes to is remembered while the batch is described where
	// attributes stand with repeatedMin rows on the average: 16 bytes each.
	repeatedMin = 2
	// gatheredRowsMax rows are looked up at a time: few enough that what they need stays in the cache
	// until they are written.
	gatheredRowsMax = 64
	// templateTextBytesMax bounds the texts that templates of a segment keep, and
	// templateSlotsMax their slots, of 16 bytes: lists of thousands of attributes would take
	// more than all rows.
	templateTextBytesMax = 8 << 20
	templateSlotsMax     = 2 << 20
	// rehearsedGroupsMax is how many row groups of a merge's rehearsal are kept whole while its rows
	// are put in order: as many as a merge shows.
	rehearsedGroupsMax = 8
	// rehearsedTextBytesMax is how much text of a rehearsal is kept for the rows that follow: it
	// counts as text of the templates.
	rehearsedTextBytesMax = templateTextBytesMax / 8
	// A column varies that has variesMin different values in a rehearsal, and one beside what
	// follows from the name for less than variesShare items that have it: it stands alone from
	// the start.
	variesMin   = 6
	variesShare = 4
	// foldTextBytesMax is the longest attribute value that a template holds: longer ones
	// rarely repeat, and would fill the table.
	foldTextBytesMax = 256
	// takeOutCandidatesMax columns are weighed for each that is taken out: those that make
	// the most.
	takeOutCandidatesMax = 16
	// tallySlotsMin: a table of so many slots takes 4 KiB.
	tallySlotsMin = 256
	// To choose columns, a writer goes over all slots of the templates, and takes columns out as
	// long as it looked at less than weighedSlotsMin slots and templates (some 50 ms), and
	// weighedSlotsEach more for each slot that an item had: spans of hundreds of attributes with a
	// name each would keep it looking for ever.
	weighedSlotsMin  = 8 << 20
	weighedSlotsEach = 8
	// RehearsalRowsMax rows tell enough of a flush: what varies within them varies.
	RehearsalRowsMax = 4096
	// Standing terms are for columns of up to standingValuesMax values, and for those of them that
	// stand with one in standingShare of the column's templates at most: those with more would be
	// told for little. All of a column name each of its templates standingEach times at most, on
	// the average. While a segment is written, the values take up to standingBytesMax: a bit for each
	// template, their text, and standingValueBytes about; and services as much.
	standingValuesMax  = 64
	standingShare      = 2
	standingEach       = 4
	standingValueBytes = 128
	// standingRowsMin rows must there be for each template that a standing term names: they tell where
	// rows are, and take a byte or two.
	standingRowsMin = 16
	// FilteredBytesMax is the longest value that filters know; searches for longer ones read.
	FilteredBytesMax = 256
	// indexShare: the index takes at most one part in so many of the file, but always may take
	// indexBytesMin.
	indexShare    = 10
	indexBytesMin = 32 << 10
	// filterPageBytes is what the filters of a column take besides themselves.
	filterPageBytes = 16
	// filterBytesMax bounds the filters that a writer holds: a tenth of some GB. A merge holds as much again of its inputs.
	filterBytesMax = 64 << 20
	// recentNumbersBits: 256 numbers of a column are known again, in a few lines of the cache.
	recentNumbersBits = 8
	// A read writes attributes of writtenBytesMax together at most, as a row group's rows take that
	// have a KiB each, and of writtenRowBytesMax for each row: what takes more stands in lists. Each
	// source of an answer holds so much, and the memory of those before stays for the next ones.
	writtenBytesMax    = 4 << 20
	writtenRowBytesMax = 64 << 10
	// writtenBlockTemplates are kept together once some of them are written, and a read remembers
	// writtenBlocksKnown such blocks.
	writtenBlockTemplates = 32
	writtenBlocksKnown    = 16
	// writtenOwnFew values that stand with the row are what most templates have at most.
	writtenOwnFew = 4
	// ownAttrBytes is what an attribute takes, written, beside its key and text, about.
	ownAttrBytes = 16
	// attrBytesMin is the least that an attribute takes, written, beside its key and text: tags and lengths.
	attrBytesMin = 8
	// writtenPageShare: templates are kept with a page up to a half of what its part of Pages holds, so
	// that they push out neither it nor all others.
	writtenPageShare = 2
	// madeShare: what was made of one trace is kept up to a quarter of what its part of Pages holds.
	madeShare = 4
	// askedPlaces traces at most are known to have been asked for: some dozens of answers.
	askedPlaces = 1 << 12
	// madeOverheadBytes is what something that was made takes beside its content, about.
	madeOverheadBytes = 256
	// pageOverheadBytes is what an opened page takes beside its content, about.
	pageOverheadBytes = 256
	// What stays in memory of a trace (its id, where it stands), a row group beside its lists, an
	// attribute column, and an operation of the catalog, about.
	traceMemoryBytes     = 28
	groupMemoryBytes     = 256
	columnMemoryBytes    = 96
	operationMemoryBytes = 96
	// ownTemplatesBytes is what an entry of Templates.Own takes beside its list, about.
	ownTemplatesBytes = 64
	// keyCounterBytes is what a counter of values takes beside what it counts.
	keyCounterBytes = 56
	// listedMax numbers of a list are printed: a line that a terminal shows.
	listedMax = 16
	// operationsKeptMax pairs of services and templates are counted before the catalog is told:
	// some 5 MiB.
	operationsKeptMax = 1 << 16
	// Cells of operations are given up beyond operationLinesMax of them, or names of
	// operationNameBytesMax together: that is where the catalog, which names them, gives up too.
	operationLinesMax     = 1 << 14
	operationNameBytesMax = 1 << 20
	// cellPairsMax pairs of a cell and a size of duration are kept of each kind of cells: a
	// writer holds 6 MiB of them, and who adds them up is done in a fraction of a millisecond.
	cellPairsMax = 1 << 18
	// cellsShare: cells take at most one part in so many of what the pages of rows take, but
	// always may take cellBytesMin. Edges get half of it, operations what is left.
	cellsShare   = 50
	cellBytesMin = 8 << 10
	// spansWaitingMax spans wait to be counted: as many as the processor may look for in memory at
	// once, and many times over.
	spansWaitingMax = 256
	// freshPairsMin pairs are noted before they are folded: they stay in the processor's cache.
	freshPairsMin = 1 << 14
	// cellSpansMin spans must a cell have on the average where there are more than cellsMin cells:
	// else they are half names and steps.
	cellsMin     = 1 << 10
	cellSpansMin = 32
	// pairSpansMin spans must have one pair on the average where there are many: pairs of fewer
	// take more than cells may.
	pairSpansMin = 4
	// countedLinesMax edges or operations have counts in place, of 15 KiB each at most, beginning
	// with countedSizes sizes: two octaves.
	countedLinesMax = 512
	countedSizes    = 64
	// idListsRoom ids are made room for at once, in 16 KiB.
	idListsRoom = 4 << 10
	// countsRoom counts are made at once, in 8 KiB.
	countsRoom = 2 << 10
	// A pair takes cellPairBits at least in a page; what comes to more than a page is not tried.
	cellPairBits = 5
	// recentLinesMax edges are found without a map.
	recentLinesMax = 1 << 10
	// servedBytesMin and a byte for every servedRowsShare rows is what is kept of services that were
	// asked for, of one segment: dozens of services. servedBytes is what one takes beside its lists.
	servedBytesMin  = 64 << 10
	servedRowsShare = 8
	servedBytes     = 192
	// templateGroupsBytesMin is what a segment may always take to tell the row groups of its templates.
	templateGroupsBytesMin = 64 << 10
)

// Tests lower these. standingBytesMax is as told above, groupRows are what a writer ends a row group at.
// asIsRowsMin rows of an input are enough to have told which attributes vary: a merge leaves their
// templates as they are. cellTraceRowsMax is the longest trace whose calls are counted in cells: a writer holds 44
// bytes a row of the one at hand. cellCalleesMax pairs of a service and a kind are told apart among spans that may
// be called: there are no more cells than that.
var (
	standingBytesMax = 4 << 20
	groupRows        = groupRowsMax
	asIsRowsMin      = 16 << 10
	cellTraceRowsMax = 1 << 18
	cellCalleesMax   = cellPairsMax
)
