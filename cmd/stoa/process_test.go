package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/stoadb/stoa/bench"
)

var (
	binaryOnce sync.Once
	binaryPath string
	errBinary  error
)

// stoaBinary builds the real binary, once a test run.
func stoaBinary(t testing.TB) string {
	t.Helper()
	binaryOnce.Do(func() {
		folder, err := os.MkdirTemp("", "stoa-test-")
		if err != nil {
			errBinary = err
			return
		}
		binaryPath = filepath.Join(folder, "stoa")
		if out, err := exec.Command("go", "build", "-o", binaryPath, ".").CombinedOutput(); err != nil {
			errBinary = fmt.Errorf("go build: %w: %s", err, out)
		}
	})
	if errBinary != nil {
		t.Fatal(errBinary)
	}
	return binaryPath
}

func TestMain(m *testing.M) {
	code := m.Run()
	if binaryPath != "" {
		_ = os.RemoveAll(filepath.Dir(binaryPath)) // a temporary folder: the system has the last word
	}
	os.Exit(code)
}

// startServer serves folder with the real binary, ready when it returns, gone when the
// test ends.
func startServer(t testing.TB, folder string, flags ...string) *bench.Server {
	t.Helper()
	server, err := bench.StartServer(context.Background(), stoaBinary(t), folder, flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Kill() }) // most tests have ended it already
	return server
}

// dial connects with the message size that Jaeger's own client takes.
func dial(t testing.TB, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(4<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
