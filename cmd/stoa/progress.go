package main

import (
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/stoadb/stoa/cluster"
)

// progress shows how much of some bytes is done: a bar on a terminal, else a line every
// ten seconds. Its methods may be called from several goroutines.
type progress struct {
	out  io.Writer
	name string
	unit string
	size int64 // bytes, or units where it counts those

	counts bool
	bars   *mpb.Progress
	bar    *mpb.Bar

	mu           sync.Mutex
	begin, spoke time.Time
	said         time.Time
	done, units  int64
}

// newProgress begins at done of size bytes.
func newProgress(out io.Writer, terminal bool, name, unit string, size int64) *progress {
	return beginProgress(&progress{out: out, name: name, unit: unit, size: size}, terminal, decor.CountersKibiByte("% .1f of % .1f"))
}

// newCount begins at 0 of so many units; set wants them twice.
func newCount(out io.Writer, terminal bool, name, unit string, size int64) *progress {
	return beginProgress(&progress{out: out, name: name, unit: unit, size: size, counts: true}, terminal, decor.CountersNoUnit("%d of %d"))
}

func beginProgress(p *progress, terminal bool, counters decor.Decorator) *progress {
	p.begin = time.Now()
	p.spoke = p.begin
	if terminal {
		p.bars = mpb.New(mpb.WithOutput(p.out), mpb.WithWidth(40))
		p.bar = p.bars.AddBar(p.size,
			mpb.PrependDecorators(decor.Name(p.name+" "), counters),
			mpb.AppendDecorators(decor.Percentage(), decor.AverageETA(decor.ET_STYLE_GO, decor.WCSyncSpace),
				decor.Any(func(decor.Statistics) string { return "  " + p.rate() })))
	}
	return p
}

// set says that done bytes are behind us, and units of what they hold.
func (p *progress) set(done, units int64) {
	p.mu.Lock()
	p.done, p.units = done, units
	speak := p.bar == nil && time.Since(p.spoke) >= plainInterval
	if speak {
		p.spoke = time.Now()
	}
	p.mu.Unlock()
	if p.bar != nil {
		p.bar.SetCurrent(done)
	}
	if speak {
		unit := "bytes"
		if p.counts {
			unit = p.unit
		}
		fmt.Fprintf(p.out, "%s: %d of %d %s, %s\n", p.name, done, p.size, unit, p.rate())
	}
}

// say prints a line, at most one every ten seconds: what keeps work from going on.
func (p *progress) say(line string) {
	p.mu.Lock()
	quiet := time.Since(p.said) < plainInterval
	if !quiet {
		p.said = time.Now()
	}
	p.mu.Unlock()
	if quiet {
		return
	}
	out := p.out
	if p.bars != nil {
		out = p.bars // above the bar
	}
	fmt.Fprintf(out, "%s: %s\n", p.name, line)
}

func (p *progress) rate() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	seconds := max(time.Since(p.begin).Seconds(), 1e-3)
	return fmt.Sprintf("%d %s, %.0f/s", p.units, p.unit, float64(p.units)/seconds)
}

// end takes the bar away, finished or not.
func (p *progress) end() {
	if p.bar == nil {
		return
	}
	p.bar.Abort(false)
	p.bars.Wait()
}

// replayLog says every ten seconds how far a long replay has come.
func replayLog(log *slog.Logger) func(cluster.Replayed) {
	var mu sync.Mutex
	begin := time.Now()
	spoke := begin
	byShard := make(map[int]cluster.Replayed)
	return func(r cluster.Replayed) {
		mu.Lock()
		defer mu.Unlock()
		byShard[r.Shard] = r
		if time.Since(spoke) < plainInterval {
			return
		}
		spoke = time.Now()
		var entries, bytes int64
		for _, shard := range byShard {
			entries += shard.Entries
			bytes += shard.Bytes
		}
		log.Info("replaying the log", "entries", entries, "bytes", bytes, "seconds", int(spoke.Sub(begin).Seconds()))
	}
}
