#!/usr/bin/env bash
# Makes the gRPC stubs under api/pb again. Needs go, and protoc with the well-known
# types (Debian: protobuf-compiler, libprotobuf-dev); all else comes through the Go proxy.
#
#   jaeger.storage.v2, jaeger.expression.v1   from the .proto files in module jaeger-idl
#   gnostic annotations                       from module gnostic; options then stripped
#   jaeger.storage.v1, jaeger.api_v2          from the .proto files in modules jaeger and jaeger-idl,
#                                             made plain: apiv2/model.proto, storagev1/storage.proto
#   OTLP messages                             descriptors dumped from OTLP's Go types
#   OTLP collector service                    collectorv1/trace_service.proto
set -euo pipefail
cd "$(dirname "$0")"

jaeger_idl=v0.14.0
jaeger_v1=v1.76.0
gnostic=v0.7.1
protoc_gen_go=v1.36.12
protoc_gen_go_grpc=v1.6.2

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

module_dir() { go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p'; }
jaeger=$(module_dir "github.com/jaegertracing/jaeger-idl@$jaeger_idl")
first=$(module_dir "github.com/jaegertracing/jaeger@$jaeger_v1")
annotations=$(module_dir "github.com/google/gnostic@$gnostic")

GOBIN="$work/bin" go install "google.golang.org/protobuf/cmd/protoc-gen-go@$protoc_gen_go"
GOBIN="$work/bin" go install "google.golang.org/grpc/cmd/protoc-gen-go-grpc@$protoc_gen_go_grpc"
go build -o "$work/prepare" ./generate

# One source tree with the paths that the imports say; OTLP stands beside it as descriptors.
well_known=$(dirname "$(dirname "$(dirname "$(find /usr/include /usr/local/include -path '*google/protobuf/timestamp.proto' -print -quit)")")")
mkdir -p "$work/src/gnostic" "$work/src/opentelemetry/proto/collector/trace/v1"
cp -r "$jaeger/proto/storage" "$jaeger/proto/expression" "$work/src/"
cp -r "$annotations/openapiv3" "$work/src/gnostic/openapiv3"
chmod -R u+w "$work/src"
sed -i 's#import "openapiv3/#import "gnostic/openapiv3/#' "$work"/src/gnostic/openapiv3/*.proto
cp collectorv1/trace_service.proto "$work/src/opentelemetry/proto/collector/trace/v1/"

# The files of version 1 are full of gogo's options, which only shape other Go types.
"$work/prepare" plain "$jaeger/proto/api_v2/model.proto" apiv2/model.proto
"$work/prepare" plain "$first/internal/storage/v1/grpc/proto/storage.proto" storagev1/storage.proto
mkdir -p "$work/src/jaeger/api_v2" "$work/src/jaeger/storage/v1"
cp apiv2/model.proto "$work/src/jaeger/api_v2/"
cp storagev1/storage.proto "$work/src/jaeger/storage/v1/"

sources=(storage/v2/trace_storage.proto storage/v2/dependency_storage.proto storage/v2/capabilities.proto
	expression/v1/expression.proto expression/v1/vocabulary.proto
	jaeger/api_v2/model.proto jaeger/storage/v1/storage.proto
	opentelemetry/proto/collector/trace/v1/trace_service.proto)
"$work/prepare" otlp "$work/otlp.binpb"
protoc --descriptor_set_in="$work/otlp.binpb" -I "$work/src" -I "$well_known" \
	--include_imports --include_source_info -o "$work/all.binpb" "${sources[@]}"
"$work/prepare" strip "$work/all.binpb" "$work/plain.binpb"

module=github.com/stoadb/stoa
flags="module=$module"
for file in "${sources[@]}"; do
	case $file in
	storage/*) flags+=",M$file=$module/api/pb/storagev2;storagev2" ;;
	jaeger/api_v2/*) flags+=",M$file=$module/api/pb/apiv2;apiv2" ;;
	jaeger/storage/*) flags+=",M$file=$module/api/pb/storagev1;storagev1" ;;
	expression/*) flags+=",M$file=$module/api/pb/expressionv1;expressionv1" ;;
	esac
done
protoc --plugin="$work/bin/protoc-gen-go" --plugin="$work/bin/protoc-gen-go-grpc" \
	--descriptor_set_in="$work/plain.binpb" --go_out="$flags:../.." --go-grpc_out="$flags:../.." "${sources[@]}"
