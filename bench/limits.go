package bench

import "time"

// Limits of a measurement.
const (
	// heldBytesMax is what Hold keeps of decoded recordings: all the real traces are
	// 170 MB, and two gigabytes more would push the server's files out of the page cache.
	heldBytesMax = 2 << 30
	// gapMax is the longest default step between copies. A recording that is longer (the
	// Zipkin fixtures reach over three years) is a collection: its copies overlap, and the
	// thousandth still lies before 2262, where nanoseconds leave an int64.
	gapMax = 30 * 24 * time.Hour
	// gapSlack is what the default step leaves free between two copies.
	gapSlack = time.Second
	// WarmQuestions are asked of each class before the clock counts: enough for a
	// connection's windows, which double, to reach the size of the largest answers.
	WarmQuestions = 10
	// timedQuestionsMin are asked of a class however long they take.
	timedQuestionsMin = 3
	// thereMax are asked for, of the traces that were sent, before a server that finds none of
	// them counts as one that serves no traces: more than it may have lost by chance.
	thereMax = 10
	// groupDepthMax bounds groups within groups, which OTLP does not know at all.
	groupDepthMax = 100
	// connectionsMax bounds a load: more would measure the kernel's tables.
	connectionsMax = 1024
	// What the OpenTelemetry Collector does unless it is told otherwise (configretry).
	retryFirst = 5 * time.Second
	retryMax   = 30 * time.Second
	// answerBytesMax is how much of an answer to an export is read.
	answerBytesMax = 1 << 20
	// webAnswerBytesMax is the longest answer to a question over HTTP: the largest traces of
	// the presets are some 100 MB of JSON.
	webAnswerBytesMax = 1 << 30
	// quietInterval is how often a process is looked at that is to become quiet: ten ticks
	// of the processor time that the kernel tells.
	quietInterval = time.Second
	// rareBytesMax is how many bytes of requests are looked through for rare values.
	rareBytesMax = 64 << 20
	// rareTracesMax is how many traces share a rare value at most, rareTagsMax how many
	// values are asked for: with the other tags they fit a Truth.
	rareTracesMax = 3
	rareTagsMax   = 40
	// truthTagsMax is how many tags a Truth can tell apart: bits of one word.
	truthTagsMax = 64
)
