package segment

// Limits of the format. A reader refuses what exceeds them as corrupt, so that wrong bytes
// cannot make it allocate without bound; the writer never exceeds them.
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
	// rowsMax keeps row numbers in 32 bits with room to add.
	rowsMax = 1 << 31
	// sourceRowsMax is how many rows of source batches the writer remembers at once: it
	// knows their resources and keys again, and keeps those batches from being freed.
	sourceRowsMax = 1 << 15
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
	// footerBytesMax bounds the footer and the tables of a segment: 100 M-row segments are
	// not written, and at 4 M rows of one span each the trace table has 64 MiB.
	footerBytesMax = 192 << 20
)
