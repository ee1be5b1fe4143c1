package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// startTimeMax is how long a server may take to be ready: replay of a full log included.
const startTimeMax = time.Minute

// readyInterval is how often a starting server is asked.
const readyInterval = 5 * time.Millisecond

// Server is the real binary, serving a folder on free ports of this machine.
type Server struct {
	Storage, Admin, OTLP, Archive, Query string // host:port

	command *exec.Cmd
	output  output
	exited  chan struct{} // closed once the process is gone; then err is set
	err     error
}

// output is what the process printed; it is written by the process's copier and read
// by whoever reports a failure.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// StartServer runs `binary serve` on folder and returns when it is ready. Further flags
// follow its own.
func StartServer(ctx context.Context, binary, folder string, flags ...string) (*Server, error) {
	ports, err := freePorts(5)
	if err != nil {
		return nil, err
	}
	local := func(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
	s := &Server{Storage: local(ports[0]), Admin: local(ports[1]), OTLP: local(ports[2]), Archive: local(ports[3]), Query: local(ports[4]), exited: make(chan struct{})}
	s.command = exec.Command(binary, append([]string{
		"serve", "--data", folder,
		fmt.Sprintf("--storage-port=%d", ports[0]), fmt.Sprintf("--admin-port=%d", ports[1]), fmt.Sprintf("--otlp-grpc-port=%d", ports[2]),
		fmt.Sprintf("--archive-port=%d", ports[3]), fmt.Sprintf("--query-port=%d", ports[4]),
	}, flags...)...)
	s.command.Stdout, s.command.Stderr = &s.output, &s.output
	if err := s.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		s.err = s.command.Wait()
		close(s.exited)
	}()
	if err := s.waitReady(ctx); err != nil {
		return nil, errors.Join(err, s.Kill())
	}
	return s, nil
}

func (s *Server) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeMax)
	defer cancel()
	tick := time.NewTicker(readyInterval)
	defer tick.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.AdminURL()+"/ready", nil)
		if err != nil {
			return err
		}
		if answer, err := http.DefaultClient.Do(request); err == nil {
			_ = answer.Body.Close() // nothing of it is read
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-s.exited:
			return fmt.Errorf("the server ended at its start: %w\n%s", s.err, s.Output())
		case <-ctx.Done():
			return fmt.Errorf("the server is not ready: %w\n%s", ctx.Err(), s.Output())
		}
	}
}

// AdminURL is the root of the admin port.
func (s *Server) AdminURL() string { return "http://" + s.Admin }

// PID of the process.
func (s *Server) PID() int { return s.command.Process.Pid }

// Output is what the process printed until now.
func (s *Server) Output() string { return s.output.String() }

// Ask posts to a path of the admin port, such as /flush, and waits for the answer.
func (s *Server) Ask(ctx context.Context, path string) error {
	return AskAdmin(ctx, s.Admin, path)
}

// Kill is SIGKILL: nothing in the process runs after it. It returns once it is gone.
func (s *Server) Kill() error {
	err := s.command.Process.Kill()
	<-s.exited
	return err
}

// Stop is SIGTERM: the server drains, flushes and ends; anything but exit code 0 is an
// error, with what it printed.
func (s *Server) Stop() error {
	if err := s.command.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	<-s.exited
	if s.err != nil {
		return fmt.Errorf("after SIGTERM: %w\n%s", s.err, s.Output())
	}
	return nil
}

// freePorts gives n ports that nobody listens on at this moment.
func freePorts(n int) (ports []int, err error) {
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = listener.Close() }() // held until all are chosen
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
