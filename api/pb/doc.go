// Package pb holds the recipe of the generated stubs below it: messages and gRPC
// services of jaeger.storage.v2, of jaeger.expression.v1 and of OTLP's collector. The
// folders beneath hold generated code only; OTLP's own messages come with module
// go.opentelemetry.io/proto/otlp.
package pb

//go:generate bash generate.sh
