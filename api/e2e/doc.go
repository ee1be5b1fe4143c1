// Package e2e puts the real Jaeger in front of the real Stoa: it builds both, sends the
// recorded traces to Jaeger over OTLP, so that Jaeger writes to Stoa, and asks through
// Jaeger's own HTTP API. Its tests hold all of it. It is a module of its own, because what
// Jaeger needs must not come near the database; `make e2e` runs it whole, `.ci/e2e` a short
// chain for each of the two storage APIs.
package e2e
