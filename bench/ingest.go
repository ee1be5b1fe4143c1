package bench

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stoadb/stoa/bench/workload"
)

// ingestSpans is how many spans are made for a load beside questions; copies follow.
const ingestSpans = 100_000

// ingestPrefix is of services that no question asks for.
const ingestPrefix = "ingest-"

// changedByIngest are classes whose answer is not the same while other services' spans
// arrive.
var changedByIngest = []string{"services", "graph"}

// SendIngest sends spans of services that no question of a mix asks for, without end: it returns
// with the error of ctx, or that of a request. l.Told hears how many are accepted.
func (l Loading) SendIngest(ctx context.Context) error {
	c, err := workload.Preset("shop")
	if err != nil {
		return err
	}
	c.Spans, c.Seed, c.Prefix = ingestSpans, mixSeed, ingestPrefix
	source := FromWorkload(c)
	if held, err := source.Hold(); err != nil || !held {
		return errors.Join(errNotHeld, err)
	}
	_, err = l.Send(ctx, source.Amplified(Amplification{Times: math.MaxInt32, Seed: mixSeed, Gap: 10 * time.Minute}).Requests())
	return err
}

// AskDuringIngest asks the classes while spans of other services arrive, so that the right
// answers stay what they are; classes of which that is not true are left out. The load
// begins before the first question and ends after the last.
//
// It is a process of its own, as senders are: beside questions in one process it would share their
// threads, and its garbage would have the truth gone through by the collector, seconds of both
// processors. The command is one that calls SendIngest and prints, at a line each, how many spans
// are accepted so far: `stoa bench ingest`.
func (m *Mix) AskDuringIngest(ctx context.Context, run MixRun, command []string) ([]QueryRecord, error) {
	asking, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	load, err := startIngest(command, func(err error) {
		cancel(fmt.Errorf("the load beside the questions: %w", err)) // without it they would say nothing
	})
	if err != nil {
		return nil, err
	}
	defer load.stop()
	select {
	case <-load.begun:
		if load.spans.Load() == 0 { // the server would be at rest
			return nil, errors.New("the load beside the questions: its spans are rejected")
		}
	case <-asking.Done():
		return nil, context.Cause(asking)
	}
	still := &Mix{Classes: slices.DeleteFunc(slices.Clone(m.Classes), func(c Class) bool { return slices.Contains(changedByIngest, c.Name) })}
	begin, before := time.Now(), load.spans.Load()
	records, err := still.Ask(asking, run)
	rate := float64(load.spans.Load()-before) / time.Since(begin).Seconds()
	m.Notes = slices.Concat(m.Notes, still.Notes)
	if cause := context.Cause(asking); err != nil && cause != nil {
		err = cause
	}
	for i := range records {
		records[i].IngestSpansASecond = rate
	}
	return records, err
}

// errEnded is why a load is gone that was to go on.
var errEnded = errors.New("it has ended")

// ingest is a load under way in a process of its own.
type ingest struct {
	process *exec.Cmd
	spans   atomic.Int64  // accepted
	begun   chan struct{} // closed once a first request is acknowledged
	stopped atomic.Bool
	ended   chan struct{} // closed once the process is gone
}

// startIngest starts the process; failed hears why it has ended before stop, and is called once
// at most.
func startIngest(command []string, failed func(error)) (*ingest, error) {
	i := &ingest{process: exec.Command(command[0], command[1:]...), begun: make(chan struct{}), ended: make(chan struct{})}
	var told bytes.Buffer // what it says of an error
	i.process.Stderr = &told
	output, err := i.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := i.process.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(i.ended)
		i.follow(output)
		err := cmp.Or(i.process.Wait(), errEnded)
		if !i.stopped.Load() {
			failed(fmt.Errorf("%w: %s", err, strings.TrimSpace(told.String())))
		}
	}()
	return i, nil
}

// follow reads how far it is until it ends.
func (i *ingest) follow(output io.Reader) {
	begun := false
	for lines := bufio.NewScanner(output); lines.Scan(); {
		spans, err := strconv.ParseInt(lines.Text(), 10, 64)
		if err != nil {
			continue
		}
		i.spans.Store(max(spans, i.spans.Load())) // two connections may have told in the other order
		if !begun {
			begun = true
			close(i.begun)
		}
	}
}

// stop ends the process, whose load nobody needs any more, and waits for that.
func (i *ingest) stop() {
	i.stopped.Store(true)
	_ = i.process.Process.Kill() // it may have ended
	<-i.ended
}
