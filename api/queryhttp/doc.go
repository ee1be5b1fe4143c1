// Package queryhttp answers over HTTP what Jaeger's query service answers about services: which
// there are, their operations, who calls whom, and the rates, errors and latencies that the
// Monitor tab of Jaeger's page draws; and the deep graph, for which Jaeger itself has samples
// only. Paths, parameters, defaults and JSON are those of Jaeger 1.76 and 2.13, so that scripts, and
// its page behind a proxy, find what they expect; docs/api.md lists the differences, and who can ask.
//
// The flow of a request: handler.go routes it and turns what came of it into JSON or into
// Jaeger's form of an error; parameters.go reads what was asked; catalog.go, metrics.go and
// paths.go ask the Store, and window.go makes of counts in short steps of time the values of a
// window that slides over them. Who may ask, how many at once and for how long is the
// business of package api, in front of the handler. The package starts no goroutines.
package queryhttp
