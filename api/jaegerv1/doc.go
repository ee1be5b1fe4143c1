// Package jaegerv1 translates between the span of Jaeger's version 1 (message Span of
// jaeger.api_v2) and OTLP, in both directions.
//
// The flow in: Measure tells what a WriteSpanRequest will take in memory, Decode reads
// it, Request makes the OTLP request of it that the store takes. The flow out: Spans
// reads a chunk of OTLP that the store answers, and gives its spans as Jaeger's own
// adapter would (plain.go has its rules; docs/api.md lists where we differ on purpose).
//
// Version 1 knows things that OTLP has no place for: the order of the tags that become
// fields, flags, a span without a process. Request therefore reads its own OTLP back as
// Spans would, and what the span has beyond that, the rest, goes into one attribute of
// the span, RestKey (rest.go has its format). So a span of version 1 comes back as it
// was, a span of OTLP comes back as Jaeger would show it, and a span that OTLP says in
// full costs no byte more.
//
// The package starts no goroutines.
package jaegerv1
