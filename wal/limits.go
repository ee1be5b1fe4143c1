package wal

import "time"

const (
	// FileBytesDefault is the preallocated size of a log file: big enough that starting
	// one costs nothing per entry, small enough that a 1 GiB log gives space back in
	// eighths.
	FileBytesDefault = 128 << 20

	// fileBytesMin holds a state commit and one small commit.
	fileBytesMin = 2 * commitAlign

	// fileBytesMax keeps positions inside a file within 32 bits.
	fileBytesMax = 2 << 30

	// groupBytesMax is what may queue for the next group commit before callers wait:
	// at the speed of a slow disk about a tenth of a second.
	groupBytesMax = 8 << 20

	// recordBytesMax bounds one entry. A request is at most otlp.RequestBytesMax and its
	// parts are cut to otlp.PartBytesMax, unless a single span or an envelope is bigger,
	// so this is only reached by wrong code.
	recordBytesMax = 256 << 20

	// spareBytesMax is the largest commit buffer kept for the next commit: one giant
	// entry must not stay in memory for ever.
	spareBytesMax = 2 << 20

	// keyBytesMax, valueBytesMax and keysMax bound the stable keys of a stream, all of
	// which stand in the state record of every file. Raft has three.
	keyBytesMax   = 1 << 10
	valueBytesMax = 64 << 10
	keysMax       = 256

	// streamsMax bounds the state record; a node has at most 64 groups.
	streamsMax = 1024

	// scanBytes is the step in which recovery reads a file.
	scanBytes = 1 << 20

	// syncIntervalMax bounds what an operator may choose to lose.
	syncIntervalMax = time.Minute
)
