package column

// PageBytesMax bounds the payload of a page: a row group is cut at 16 MiB of content, but
// its last row may bring a whole request (64 MiB), with lengths and codes beside it.
const PageBytesMax = 192 << 20

// compressBytesMin is the smallest payload worth a try: a zstd frame costs 9 bytes or more.
const compressBytesMin = 24

// dictionaryShare: a dictionary stands where it has at most one entry for so many values.
// With fewer repeats the codes cost as much as what they save, as zstd finds repeats too.
const dictionaryShare = 2

// textBytesMax bounds the text table of one decoded row group: positions are uint32.
const textBytesMax = 1 << 31

// copiedTextMax is how much text a table copies rather than gives away.
const copiedTextMax = 512 << 10

// blocksShare: mini-blocks stand where they take at most this share more than whole bytes.
const blocksShare = 8

// zstdSaves: integers stand under zstd only where that saves more than this share of what
// they take as mini-blocks; docs/decisions/0006-light-pages.md has the numbers.
const zstdSaves = 3

// lightBytesMax: integers that take no more than this stand light without asking zstd, which saves a
// hundred bytes there at best, and takes longer than all else that is done for such a page.
const lightBytesMax = 384

// zstd is tried on integers that promise to save more than one part in repeatsSave. What comes again
// promises that, repeatBytesMin bytes of it at least; that bytes are uneven does not, as light forms
// take most of that already (a column of both may stand longer than zstd had made it):
// for a reference of repeatBytes. They are found by a hash of repeatsBits, in steps that are a byte longer
// for each 1 << repeatsPace bytes where nothing came again; the first of repeatsShare parts are
// enough where they have much that does.
const (
	repeatsSave    = 8
	repeatBytesMin = 6
	repeatBytes    = 2
	repeatsBits    = 10
	repeatsPace    = 6
	repeatsShare   = 4
)

// groupBlocks: columns of so many mini-blocks, those of a row group, are planned on the stack.
const groupBlocks = 32

// dictionaryEntriesMax: more distinct values among 128 take 7 bits each and a dictionary
// beside them, which hardly ever pays.
const dictionaryEntriesMax = 64

// patchedBytesMin: a body of 2 bits a value has nothing to gain from patches of 2 bytes.
const patchedBytesMin = 2 * blockRows / 8

// partRowsMax: of a mini-block up to so many values are picked out one by one; for more it
// is cheaper to unpack it all.
const partRowsMax = 48

// chunkBytes is how many bytes of texts a chunk takes: less costs in size (no words to refer
// to), more in time. With what the decoder wants to spare it is an allocation of 16 KiB.
const chunkBytes = 16<<10 - 64

// longChunkBytes is how many bytes a chunk takes where texts repeat over a longer way than
// chunkBytes; it bounds what one value can cost to read.
const longChunkBytes = 4 << 20

// chunkTrialBytes: pages of up to so many bytes stand in chunks of chunkBytes without a
// trial of longer ones, which has little to win there.
const chunkTrialBytes = 4 * chunkBytes

// chunksCost: chunks of chunkBytes stand where they take at most this share more than long
// ones. Almost all columns stay below a twentieth, and logs that quote lists come to fourfold.
const chunksCost = 16

// decimalShare and decimalShareOf: numbers stand as integers where these take at most nine
// twentieths of the digits, and decimalBytesMore: zstd makes 0.43 of random ones, and their
// lengths stand beside them.
const (
	decimalShare     = 20
	decimalShareOf   = 9
	decimalBytesMore = 64
)

// decimalsInChunk is how many numbers are written out as texts at once: about chunkBytes.
const decimalsInChunk = 1024

// decimalTextBytesMax is the length of 1<<63 - 1 as text.
const decimalTextBytesMax = 19

// chunkEntryBytes is what a chunk takes in the directory of a column, open or not.
const chunkEntryBytes = 96
