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
