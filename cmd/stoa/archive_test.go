package main

import (
	"context"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/stoadb/stoa/api/client"
	"github.com/stoadb/stoa/api/pb/apiv2"
	"github.com/stoadb/stoa/api/pb/storagev1"
)

// TestAnArchivedSpanSurvivesSIGKILL right after its acknowledgement, shows nowhere but in
// the archive, and is verified with the rest of the folder.
func TestAnArchivedSpanSurvivesSIGKILL(t *testing.T) {
	folder := t.TempDir()
	server := startServer(t, folder)
	id := []byte("0123456789abcdef")
	_, err := storagev1.NewArchiveSpanWriterPluginClient(dial(t, server.Storage)).WriteArchiveSpan(t.Context(), &storagev1.WriteSpanRequest{
		Span: &apiv2.Span{TraceId: id, SpanId: []byte("spanspan"), OperationName: "kept", Process: &apiv2.Process{ServiceName: "archived"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}

	server = startServer(t, folder)
	stream, err := storagev1.NewArchiveSpanReaderPluginClient(dial(t, server.Storage)).GetArchiveTrace(t.Context(), &storagev1.GetTraceRequest{TraceId: id})
	if err != nil {
		t.Fatal(err)
	}
	spans := 0
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		spans += len(chunk.GetSpans())
	}
	if spans != 1 {
		t.Errorf("%d spans in the archive, want 1", spans)
	}
	for address, want := range map[string]int{server.Storage: 0, server.Archive: 1} {
		c, err := client.Dial(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		services, err := c.Services(t.Context())
		if err != nil || len(services) != want {
			t.Errorf("%s: services %q, %v, want %d", address, services, err, want)
		}
		_ = c.Close() // nothing is under way
	}
	if err := server.Ask(context.Background(), "/flush"); err != nil {
		t.Fatal(err)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(stoaBinary(t), "verify", folder).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "archive: 1 shards, 1 segments with 1 spans") {
		t.Errorf("verify: %v\n%s", err, out)
	}
}
