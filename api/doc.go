// Package api is what speaks to the outside: it takes spans over OTLP, answers Jaeger's
// storage API in both its versions, and serves the operator's HTTP port and the one for
// queries. It holds no spans: a Store, which the package declares and room cluster satisfies,
// does the work.
//
// The flow of a call: a connection of package grpc brings a stream; serveCall (call.go)
// admits it, bounds its time, catches a panic, counts it and turns errors into status
// codes; the method's own file turns protobuf into the words of engine/span and back.
// Every method is served as a stream, also the unary ones (on the wire there is no
// difference), so that a call is admitted before its message is received, and its bytes
// are counted while they arrive and inflate (receive.go). Spans pass through as
// bytes in both directions: package wire is the codec that lets them.
//
// Goroutines: those of grpc (two a connection, one a call), those of net/http, and one
// beside a call while it sends or receives a message, so that a peer that stops can be
// cut off.
//
// Package api is the only door of grpc and of the Jaeger and OTLP stubs, together with
// its sub-packages: wire, client (what `stoa` asks a server with), jaegerv1 (the span of
// version 1 to OTLP and back), queryhttp (what the query port answers) and pb (generated).
package api
