package workload

import "time"

// Limits of a config: what still fits memory and time while it is made.
const (
	spansMax    = 10_000_000_000
	servicesMax = 10_000
	podsMax     = 100_000
	// traceSpansMax is how many spans a trace may have: all of them are in memory while
	// they wait for their export.
	traceSpansMax = 1_000_000
	// depthMax bounds the recursion by which a trace grows.
	depthMax        = 10_000
	attributesMax   = 1_000
	cardinalityMax  = 1_000_000_000
	requestSpansMax = 100_000
	linksMax        = 1_000
	// startSecondsMax leaves room for durations before 2262, where nanoseconds leave an
	// int64.
	startSecondsMax = 8_000_000_000
	// spanDurationMax ends the tail of durations: a day.
	spanDurationMax = uint64(24 * time.Hour)
	// exportInterval is how often a pod exports: what OpenTelemetry's batch processor of
	// spans does unless it is told otherwise.
	exportInterval = uint64(5 * time.Second)
)
