package bench

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// Meter reads what a load or a round of questions costs: the server's process, this one,
// and what the machine did beside them.
type Meter struct {
	server, self *Watch // server is nil where no process is known
	machine      Machine
	began        time.Time
	serverBefore Usage
	selfBefore   Usage
}

// NewMeter begins to read; pid 0 is no server.
func NewMeter(pid int) (*Meter, error) {
	m := &Meter{self: NewWatch(os.Getpid()), began: time.Now()}
	var err error
	if m.selfBefore, err = m.self.Usage(); err == nil && pid != 0 {
		m.server = NewWatch(pid)
		m.serverBefore, err = m.server.Usage()
	}
	if err == nil {
		m.machine, err = MachineTime()
	}
	if err != nil {
		m.Stop()
		return nil, fmt.Errorf("reading process %d: %w", pid, err)
	}
	return m, nil
}

// Stop ends the sampling.
func (m *Meter) Stop() {
	m.self.Stop()
	if m.server != nil {
		m.server.Stop()
	}
}

// Cost is what was used since a Meter began. Figures of the server are 0 where no process
// was given.
type Cost struct {
	Seconds       float64 `json:"seconds"` // by the clock on the wall
	CPUSeconds    float64 `json:"cpu_seconds"`
	AnonBytes     int64   `json:"anon_bytes"` // peak
	FileBytes     int64   `json:"file_bytes"` // peak
	DeviceBytes   int64   `json:"device_bytes"`
	ClientSeconds float64 `json:"client_cpu_seconds"`
	// OthersShare is the share of all processors, 0 to 1, that neither of them used. A
	// figure in seconds means little where it is large.
	OthersShare float64 `json:"others_share"`
}

// Read gives the cost until now.
func (m *Meter) Read() (Cost, error) {
	cost := Cost{Seconds: time.Since(m.began).Seconds()}
	self, err := m.self.Usage()
	if err != nil {
		return cost, err
	}
	ours := self.CPU - m.selfBefore.CPU
	cost.ClientSeconds = ours.Seconds()
	if m.server != nil {
		server, err := m.server.Usage()
		if err != nil {
			return cost, fmt.Errorf("the server's process: %w", err)
		}
		cost.CPUSeconds = (server.CPU - m.serverBefore.CPU).Seconds()
		cost.AnonBytes, cost.FileBytes = server.AnonBytes, server.FileBytes
		cost.DeviceBytes = server.DeviceBytes - m.serverBefore.DeviceBytes
		ours += server.CPU - m.serverBefore.CPU
	}
	machine, err := MachineTime()
	if err != nil {
		return cost, err
	}
	cost.OthersShare = OthersShare(m.machine, machine, ours)
	return cost, nil
}

// Folder is what the files below a folder take.
type Folder struct {
	Bytes     int64 // their lengths
	Allocated int64 // what the disk gave for them
}

// FolderBytes adds up the files below a folder, but for what lies in folders of the names
// skipped: a log that is bounded and empties itself is none of what spans cost.
func FolderBytes(folder string, skipped ...string) (sum Folder, err error) {
	err = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if os.IsNotExist(err) && path != folder {
			return nil // a server removes what it merged
		}
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if path != folder && slices.Contains(skipped, entry.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		info, err := entry.Info()
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil {
			return err
		}
		sum.Bytes += info.Size()
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			sum.Allocated += stat.Blocks * blockBytes
		}
		return nil
	})
	return sum, err
}

// blockBytes is the unit of st_blocks (stat(2)).
const blockBytes = 512

// AskAdmin posts to a path of Stoa's admin port at HOST:PORT, such as /flush, and
// waits for the answer.
func AskAdmin(ctx context.Context, address, path string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+path, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	_ = answer.Body.Close() // nothing of it is read
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("POST %s: %s", path, answer.Status)
	}
	return nil
}

// WaitQuiet returns when a process has used less than a twentieth of a processor for as
// long as quiet: what a store that cannot be told to settle does in its own time is done
// then. Where that has not come to pass after most, false is told.
func WaitQuiet(ctx context.Context, pid int, quiet, most time.Duration) (bool, error) {
	begin := time.Now()
	since, before := begin, time.Duration(-1)
	for time.Since(begin) < most {
		used, err := processorTime(pid)
		if err != nil {
			return false, err
		}
		if before >= 0 && used-before > quietInterval/20 || before < 0 {
			since = time.Now()
		}
		before = used
		if time.Since(since) >= quiet {
			return true, nil
		}
		select {
		case <-time.After(quietInterval):
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
	return false, nil
}
