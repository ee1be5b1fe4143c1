package bench

import (
	"context"
	"fmt"
	"iter"
	"time"
)

// LoadRun is a load whose cost is read.
type LoadRun struct {
	Loading
	PID     int      // of the server, 0 where it is not known
	Folder  string   // of the server, "" where it is not known
	Skipped []string // names of folders in it that do not count
	// Admin is HOST:PORT of Stoa's admin port: after the load it settles as Settle says. ""
	// is another store; that has settled when its process was quiet for Quiet, which is
	// waited for at most QuietMost. 0 does not wait.
	Admin            string
	Settle           Settling
	Quiet, QuietMost time.Duration
	Acknowledged     func() // where not nil, is called when all is acknowledged and settling begins
}

// Settling is when Stoa has settled after a load.
type Settling string

const (
	// SettledByPolicy is where all is flushed and the policy of merges asks for nothing more: what
	// a server comes to by itself. The zero value is the same.
	SettledByPolicy Settling = "policy"
	// SettledCompacted is where each window of a shard is one segment: nobody's state but of who
	// calls for it, and that of figures before docs/decisions/0024-settled.md.
	SettledCompacted Settling = "compact"
)

// Check refuses what is neither.
func (s Settling) Check() error {
	if s != "" && s != SettledByPolicy && s != SettledCompacted {
		return fmt.Errorf("%q: Stoa settles by %s or %s", string(s), SettledByPolicy, SettledCompacted)
	}
	return nil
}

// Stoa settles the server of an admin port, HOST:PORT, and says how.
func (s Settling) Stoa(ctx context.Context, admin string) (by string, err error) {
	paths, by := []string{"/settle"}, "flushed and merged by policy"
	if s == SettledCompacted {
		paths, by = []string{"/flush", "/compact"}, "flushed and compacted"
	}
	for _, path := range paths {
		if err := AskAdmin(ctx, admin, path); err != nil {
			return "", err
		}
	}
	return by, nil
}

// Run sends all requests and waits until the server has settled.
func (r LoadRun) Run(ctx context.Context, requests iter.Seq2[[]byte, error]) (LoadRecord, error) {
	record := LoadRecord{Target: r.Target, Connections: r.Connections, SpansASecond: r.SpansASecond}
	meter, err := NewMeter(r.PID)
	if err != nil {
		return record, err
	}
	defer meter.Stop()
	loaded, err := r.Send(ctx, requests)
	record.Requests, record.Spans, record.Bytes = loaded.Requests, loaded.Spans, loaded.Bytes
	record.Rejected, record.Retries = loaded.Rejected, loaded.Retries
	record.Seconds, record.Export = loaded.Took.Seconds(), SpreadOf(loaded.Exports)
	if err != nil {
		return record, err
	}
	if record.Accepted, err = meter.Read(); err != nil {
		return record, err
	}
	if r.Acknowledged != nil {
		r.Acknowledged()
	}
	if record.SettledBy, err = r.settle(ctx); err != nil {
		return record, fmt.Errorf("settling: %w", err)
	}
	if record.Settled, err = meter.Read(); err != nil {
		return record, err
	}
	if r.Folder != "" {
		sum, err := FolderBytes(r.Folder, r.Skipped...)
		if err != nil {
			return record, err
		}
		record.DiskBytes, record.DiskBlocks = sum.Bytes, sum.Allocated
	}
	return record, nil
}

func (r LoadRun) settle(ctx context.Context) (by string, err error) {
	switch {
	case r.Admin != "":
		return r.Settle.Stoa(ctx, r.Admin)
	case r.PID == 0 || r.Quiet == 0:
		return "not waited for", nil
	}
	quiet, err := WaitQuiet(ctx, r.PID, r.Quiet, r.QuietMost)
	if err == nil && !quiet {
		return "not quiet", nil
	}
	return "quiet", err
}
