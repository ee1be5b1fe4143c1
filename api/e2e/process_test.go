package e2e_test

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
)

// startTimeMax is how long a program may take to answer. Jaeger on a busy machine of two
// cores takes some seconds.
const startTimeMax = 2 * time.Minute

// process is a program that runs until the test ends.
type process struct {
	name    string
	command *exec.Cmd
	exited  chan struct{}

	mu     sync.Mutex
	output bytes.Buffer
}

// Write keeps what the program prints.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.Write(b)
}

// printed is the end of what the program printed.
func (p *process) printed() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.output.Bytes()
	return string(b[max(0, len(b)-4096):])
}

func start(t *testing.T, binary string, env []string, args ...string) *process {
	t.Helper()
	p := &process{name: filepath.Base(binary), command: exec.Command(binary, args...), exited: make(chan struct{})}
	p.command.Stdout, p.command.Stderr = p, p
	p.command.Env = append(os.Environ(), env...)
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.command.Wait() // however it ended, it is gone
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.end(syscall.SIGKILL)
		if t.Failed() {
			t.Logf("%s printed:\n%s", p.name, p.printed())
		}
	})
	return p
}

// end sends the signal and waits until the program is gone.
func (p *process) end(signal syscall.Signal) {
	_ = p.command.Process.Signal(signal) // it may be gone already
	<-p.exited
}

// await asks the address until it answers 200.
func (p *process) await(t *testing.T, address string) {
	t.Helper()
	for end := time.Now().Add(startTimeMax); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if answer, err := http.Get(address); err == nil {
			_ = answer.Body.Close() // nothing of it is read
			if answer.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-p.exited:
			t.Fatalf("%s ended at its start:\n%s", p.name, p.printed())
		default:
		}
	}
	t.Fatalf("%s does not answer on %s:\n%s", p.name, address, p.printed())
}

// freeAddresses gives n addresses of this machine that nobody listens on.
func freeAddresses(t *testing.T, n int) []string {
	t.Helper()
	var addresses []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }() // all at once, so that none is given twice
		addresses = append(addresses, l.Addr().String())
	}
	return addresses
}

// server is Stoa on a folder.
type server struct {
	*process
	storage, admin, archive, query string
}

func startStoa(t *testing.T, binary, folder string) *server {
	t.Helper()
	a := freeAddresses(t, 5)
	s := &server{storage: a[0], admin: a[1], archive: a[3], query: "http://" + a[4]}
	s.process = start(t, binary, nil, "serve", "--data", folder, "--storage-port", port(a[0]),
		"--admin-port", port(a[1]), "--otlp-grpc-port", port(a[2]), "--archive-port", port(a[3]), "--query-port", port(a[4]))
	s.await(t, "http://"+s.admin+"/ready")
	return s
}

func port(address string) string {
	_, p, err := net.SplitHostPort(address)
	if err != nil {
		panic(fmt.Sprintf("an address of our own: %v", err))
	}
	return p
}
