package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Usage is what a process has used. The memory figures are peaks of what was sampled.
type Usage struct {
	CPU       time.Duration // user and system, of all threads, since its start
	AnonBytes int64         // RssAnon: memory that only this process answers for
	FileBytes int64         // RssFile: mapped files, which the kernel may take back
}

// clockTicksPerSecond is USER_HZ, the unit of /proc/PID/stat: 100 on every Linux that
// Go runs on (proc(5), sysconf(_SC_CLK_TCK)).
const clockTicksPerSecond = 100

// sampleInterval is how often memory is looked at: short against a flush.
const sampleInterval = 20 * time.Millisecond

// Watch samples the memory of a running process until Stop.
type Watch struct {
	pid  int
	stop chan struct{}
	done sync.WaitGroup

	mu   sync.Mutex
	peak Usage
}

// NewWatch begins to sample process pid; it starts one goroutine.
func NewWatch(pid int) *Watch {
	w := &Watch{pid: pid, stop: make(chan struct{})}
	w.done.Go(func() {
		tick := time.NewTicker(sampleInterval)
		defer tick.Stop()
		for {
			select {
			case <-w.stop:
				return
			case <-tick.C:
				w.sample()
			}
		}
	})
	return w
}

func (w *Watch) sample() {
	anon, file, err := memory(w.pid)
	if err != nil {
		return // the process has ended: the peaks stand
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.peak.AnonBytes, w.peak.FileBytes = max(w.peak.AnonBytes, anon), max(w.peak.FileBytes, file)
}

// Usage gives the processor time until now and the peaks of memory.
func (w *Watch) Usage() (Usage, error) {
	w.sample()
	cpu, err := processorTime(w.pid)
	if err != nil {
		return Usage{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.peak.CPU = cpu
	return w.peak, nil
}

// Stop ends the sampling.
func (w *Watch) Stop() {
	close(w.stop)
	w.done.Wait()
}

// memory reads RssAnon and RssFile of /proc/PID/status, in bytes.
func memory(pid int) (anon, file int64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		kib, err := strconv.ParseInt(fields[1], 10, 64)
		switch {
		case err != nil:
		case fields[0] == "RssAnon:":
			anon = kib << 10
		case fields[0] == "RssFile:":
			file = kib << 10
		}
	}
	return anon, file, nil
}

// processorTime reads utime and stime of /proc/PID/stat, fields 14 and 15.
func processorTime(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(string(b), ") ") // the name before it may hold spaces
	fields := strings.Fields(rest)
	if !ok || len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	if err != nil {
		return 0, err
	}
	return time.Duration(user+system) * time.Second / clockTicksPerSecond, nil
}
