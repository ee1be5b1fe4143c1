// Package pb holds the recipe of the generated stubs below it: messages and gRPC
// services of jaeger.storage.v2 and v1, of jaeger.expression.v1, of jaeger.api_v2 (the
// span of version 1) and of OTLP's collector. The folders beneath hold generated code and
// the .proto files that no module has in this form; OTLP's own messages come with module
// go.opentelemetry.io/proto/otlp.
package pb

//go:generate bash generate.sh
