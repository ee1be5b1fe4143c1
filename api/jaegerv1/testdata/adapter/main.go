// Command adapter asks the adapter of Jaeger itself (pkg/translator/jaeger of the
// OpenTelemetry Collector, with what Jaeger 1.76.0 does around it) how it tells OTLP
// in version 1. It is a module of its own, so that Stoa needs none of it.
//
//	go run . ../cases                 for each NAME.otlp in it, an export request, writes
//	                                  NAME.spans, a SpansResponseChunk
//	go run . -stream < RECORDINGS     reads uvarint length + export request, to the end, and
//	                                  prints the number of spans and the SHA-256 of their
//	                                  messages, one after another
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/jaegertracing/jaeger-idl/model/v1"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/translator/jaeger"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "adapter:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: adapter DIR | adapter -stream")
	}
	if args[0] == "-stream" {
		return stream(bufio.NewReader(os.Stdin))
	}
	names, err := filepath.Glob(filepath.Join(args[0], "*.otlp"))
	if err != nil {
		return err
	}
	for _, name := range names {
		request, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		spans, err := spansOf(request)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		var chunk []byte
		for _, one := range spans {
			message, err := one.Marshal()
			if err != nil {
				return err
			}
			chunk = append(binary.AppendUvarint(append(chunk, 1<<3|2), uint64(len(message))), message...)
		}
		if err := os.WriteFile(strings.TrimSuffix(name, ".otlp")+".spans", chunk, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func stream(r *bufio.Reader) error {
	hash, count := sha256.New(), 0
	for {
		n, err := binary.ReadUvarint(r)
		if errors.Is(err, io.EOF) {
			fmt.Printf("%d %x\n", count, hash.Sum(nil))
			return nil
		}
		request := make([]byte, n)
		if err == nil {
			_, err = io.ReadFull(r, request)
		}
		if err != nil {
			return err
		}
		spans, err := spansOf(request)
		if err != nil {
			return err
		}
		for _, one := range spans {
			message, err := one.Marshal()
			if err != nil {
				return err
			}
			count++
			hash.Write(message)
		}
	}
}

// spansOf translates one request. Jaeger moves the warnings by span id; here each span
// keeps its own.
func spansOf(encoded []byte) ([]*model.Span, error) {
	request := ptraceotlp.NewExportRequest()
	if err := request.UnmarshalProto(encoded); err != nil {
		return nil, err
	}
	var spans []*model.Span
	for _, batch := range jaeger.ProtoFromTraces(request.Traces()) {
		for _, one := range batch.Spans {
			one.Process = batch.Process
			spans = append(spans, one)
		}
	}
	at := 0
	for _, resource := range request.Traces().ResourceSpans().All() {
		for _, scope := range resource.ScopeSpans().All() {
			for _, one := range scope.Spans().All() {
				moveWarnings(one.Attributes(), spans[at])
				at++
			}
		}
	}
	return spans, nil
}

const warningsKey = "@jaeger@warnings"

func moveWarnings(attrs pcommon.Map, to *model.Span) {
	value, ok := attrs.Get(warningsKey)
	if !ok {
		return
	}
	if value.Type() != pcommon.ValueTypeSlice {
		to.Warnings = append(to.Warnings, value.AsString())
	} else {
		for _, one := range value.Slice().All() {
			to.Warnings = append(to.Warnings, one.Str())
		}
	}
	if len(to.Warnings) == 0 {
		return
	}
	var tags []model.KeyValue
	for _, tag := range to.Tags {
		if tag.Key != warningsKey {
			tags = append(tags, tag)
		}
	}
	to.Tags = tags
}
