package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
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
		_ = os.RemoveAll(filepath.Dir(binaryPath))
	}
	os.Exit(code)
}

// process is the real server, running.
type process struct {
	command *exec.Cmd
	output  *bytes.Buffer
	ports   [3]int // storage, admin, OTLP
	exited  chan error
}

// freePorts gives n ports that nobody listens on.
func freePorts(t testing.TB, n int) []int {
	t.Helper()
	ports := make([]int, 0, n)
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = listener.Close() }()
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// startServer serves folder with the real binary and waits until it is ready.
func startServer(t testing.TB, folder string, flags ...string) *process {
	t.Helper()
	p := &process{output: new(bytes.Buffer), exited: make(chan error, 1)}
	copy(p.ports[:], freePorts(t, 3))
	p.command = exec.Command(stoaBinary(t), append([]string{
		"serve", "--data", folder,
		fmt.Sprintf("--storage-port=%d", p.ports[0]), fmt.Sprintf("--admin-port=%d", p.ports[1]), fmt.Sprintf("--otlp-grpc-port=%d", p.ports[2]),
	}, flags...)...)
	p.command.Stdout, p.command.Stderr = p.output, p.output
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.exited <- p.command.Wait() }()
	t.Cleanup(func() { _ = p.command.Process.Kill() })
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		response, err := http.Get(p.adminURL() + "/ready")
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return p
			}
		}
		select {
		case err := <-p.exited:
			t.Fatalf("the server ended at its start: %v\n%s", err, p.output)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("the server is not ready after a minute\n%s", p.output)
		}
	}
}

func (p *process) adminURL() string { return fmt.Sprintf("http://127.0.0.1:%d", p.ports[1]) }

func (p *process) dial(t testing.TB) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(fmt.Sprintf("127.0.0.1:%d", p.ports[0]), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(4<<20))) // what Jaeger's client takes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// kill is SIGKILL: nothing in the process runs after it.
func (p *process) kill(t testing.TB) {
	t.Helper()
	if err := p.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.exited
}

// stop is SIGTERM: the server drains, flushes and ends with 0.
func (p *process) stop(t testing.TB) {
	t.Helper()
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-p.exited; err != nil {
		t.Errorf("after SIGTERM: %v\n%s", err, p.output)
	}
}
