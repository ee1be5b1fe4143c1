package queryhttp

import "time"

// What is taken where a request does not say; all are Jaeger's.
const (
	metricsLookback      = time.Hour
	metricsStep          = 5 * time.Second
	metricsWindow        = 10 * time.Minute
	dependenciesLookback = 24 * time.Hour
)

// What one request may ask for.
const (
	// servicesMax bounds the services of one request for metrics: each is a question to the store.
	servicesMax = 16

	// seriesPointsMax bounds the points of a series, as Prometheus does: more than a screen has.
	seriesPointsMax = 11_000

	// pointsMax bounds the points of an answer, all series together: 40 MB of JSON, which is
	// written as it is made, from 4 MB in memory.
	pointsMax = 500_000

	// ticksMax bounds the steps of time that are counted for an answer: points and windows are
	// made of steps as long as what divides both.
	ticksMax = 100_000

	// cellsMax bounds what is kept while a window slides: series times steps of the window, each
	// with the sizes of its durations.
	cellsMax = 50_000

	// pathsDefault is how many paths are told where no limit is given, pathsMax the most: a page
	// draws hundreds, not thousands.
	pathsDefault = 1_000
	pathsMax     = 10_000

	// pathsBytesMax bounds the paths of an answer as JSON: a thousand paths may have one long name
	// that the store has once, and the answer is whole in memory before it is sent. It holds
	// pathsMax paths of ten hops with ordinary names and all their examples.
	pathsBytesMax = 16 << 20

	// timeMillisecondsMax is the latest time that fits nanoseconds: the year 2262.
	timeMillisecondsMax = (1<<63 - 1) / 1_000_000
)
