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
	// DeviceBytes is what it caused to be written to block devices since its start
	// (write_bytes of /proc/PID/io): what is overwritten in the page cache counts once,
	// what is written again counts again.
	DeviceBytes int64
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

// Usage gives the processor time and bytes written until now, and the peaks of memory.
func (w *Watch) Usage() (Usage, error) {
	w.sample()
	cpu, err := processorTime(w.pid)
	if err != nil {
		return Usage{}, err
	}
	written, err := deviceBytes(w.pid)
	if err != nil {
		return Usage{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.peak.CPU, w.peak.DeviceBytes = cpu, written
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

// deviceBytes reads write_bytes of /proc/PID/io, which the process's own user may.
func deviceBytes(pid int) (int64, error) {
	name := fmt.Sprintf("/proc/%d/io", pid)
	b, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if text, ok := strings.CutPrefix(line, "write_bytes:"); ok {
			return strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		}
	}
	return 0, fmt.Errorf("%s has no write_bytes", name)
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

// Machine is what all processors of the machine have done since it started.
type Machine struct {
	Busy, All time.Duration // All is Busy, idle and waiting
}

// MachineTime reads the first line of /proc/stat: user, nice, system, idle, iowait, irq,
// softirq and steal, in ticks of all processors together.
func MachineTime() (Machine, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return Machine{}, err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return Machine{}, fmt.Errorf("/proc/stat begins with %q", line)
	}
	var m Machine
	for i, text := range fields[1:9] {
		ticks, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return Machine{}, fmt.Errorf("/proc/stat: %w", err)
		}
		took := time.Duration(ticks) * (time.Second / clockTicksPerSecond)
		m.All += took
		if i != 3 && i != 4 { // idle, iowait
			m.Busy += took
		}
	}
	return m, nil
}

// OthersShare is the share of all processors, from 0 to 1, that was busy between two
// readings with anything but what took the time ours. A figure in milliseconds or
// processor seconds means little where it is large.
func OthersShare(from, to Machine, ours time.Duration) float64 {
	if to.All <= from.All {
		return 0
	}
	return max(0, float64(to.Busy-from.Busy-ours)/float64(to.All-from.All))
}
