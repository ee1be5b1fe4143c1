package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/stoadb/stoa/api/client"
	"github.com/stoadb/stoa/internal/codec"
)

const importLong = `Sends files of recorded OTLP requests to a server. A file is a zstd stream (.otlp.zst) of
records: a varint length, then an ExportTraceServiceRequest.

Importing a file again stores nothing twice: the data folder holds a ledger of file hash
and records done, which a server tells on its admin port, so that a file that is done is
skipped and an interrupted import goes on where it stopped. Without the ledger the spans
are sent again and the copies dropped.`

func newImport() *cobra.Command {
	target := targetFlags{create: true}
	var again bool
	cmd := &cobra.Command{
		Use:     "import FILE ...",
		Short:   "Import files of recorded OTLP requests (.otlp.zst)",
		Long:    importLong,
		Example: "  stoa import hotrod.otlp.zst\n  stoa import --data ./stoa-data *.otlp.zst",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("want at least one file")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return withStore(cmd, target, func(ctx context.Context, s asked) error {
				for _, name := range args {
					im := importing{server: s, name: name, again: again}
					if err := im.run(ctx, cmd.OutOrStdout()); err != nil {
						return fmt.Errorf("%s: %w", name, err)
					}
				}
				return nil
			})
		},
	}
	target.add(cmd)
	cmd.Flags().StringVar(&target.admin, "admin", "", "admin port of the server, HOST:PORT (default: one below the port of --addr)")
	cmd.Flags().BoolVar(&again, "again", false, "send also what the ledger says is stored: after retention dropped it")
	return cmd
}

// importing is the import of one file. One goroutine reads; each request is sent by its
// own, at most importsAtOnce of them; the ledger hears of records in their order.
type importing struct {
	server asked
	name   string
	again  bool
	bar    *progress

	ledger    ledger
	hasLedger bool
	skip      uint64 // records stored already
	rejected  atomic.Int64
}

// sent is a request on its way.
type sent struct {
	done chan struct{}
	err  error
	read int64 // bytes of the file up to and with this record
}

func (im *importing) run(ctx context.Context, out io.Writer) error {
	f, err := os.Open(im.name)
	if err != nil {
		return errors.Unwrap(err) // the name stands in front already
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	hash, err := codec.HashReader(f)
	if err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	im.ledger = newLedger(im.server, hash)
	switch records, err := im.ledger.records(ctx); {
	case err != nil:
		fmt.Fprintf(os.Stderr, "no ledger at %s (say --admin): what is stored already is sent again and dropped there: %v\n", im.server.admin, err)
	case im.again:
		im.hasLedger = true
	default:
		im.hasLedger, im.skip = true, records
	}
	begin := time.Now()
	im.bar = newProgress(os.Stderr, isTerminal(os.Stderr), filepath.Base(im.name), "requests", info.Size())
	records, err := im.send(ctx, f)
	im.bar.end()
	if err != nil {
		return err
	}
	return im.report(out, records, time.Since(begin))
}

func (im *importing) report(out io.Writer, records uint64, took time.Duration) error {
	if im.skip > 0 && records == im.skip {
		_, err := fmt.Fprintf(out, "%s: imported before, %d requests; nothing to do\n", im.name, records)
		return err
	}
	note := ""
	if im.skip > 0 {
		note = fmt.Sprintf(", %d of them before", im.skip)
	}
	if n := im.rejected.Load(); n > 0 {
		note += fmt.Sprintf(", %d spans with impossible ids refused", n)
	}
	_, err := fmt.Fprintf(out, "%s: %d requests imported%s, %.1f s\n", im.name, records, note, took.Seconds())
	return err
}

// send reads the records and sends those that are not stored yet. It returns how many
// records the file has.
func (im *importing) send(ctx context.Context, f *os.File) (records uint64, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	counter := &countingReader{r: f}
	content, err := codec.NewZstdReader(bufio.NewReaderSize(counter, 1<<20), codec.FileWindowBytesMax)
	if err != nil {
		return 0, err
	}
	defer content.Close()
	r := bufio.NewReaderSize(content, 1<<20)
	queue := make(chan *sent, importsAtOnce) // in the order of the file
	settled := make(chan error, 1)
	go func() { settled <- im.settle(ctx, cancel, queue) }()
	for ctx.Err() == nil {
		request, readErr := client.ReadRequest(r)
		if readErr != nil {
			if !errors.Is(readErr, io.EOF) {
				err = fmt.Errorf("record %d: %w", records+1, readErr)
			}
			break
		}
		records++
		if records <= im.skip {
			continue
		}
		s := &sent{done: make(chan struct{}), read: counter.n.Load()}
		select {
		case queue <- s:
			go func() {
				defer close(s.done)
				rejected, err := im.export(ctx, request)
				im.rejected.Add(rejected.Spans)
				s.err = err
			}()
		case <-ctx.Done():
		}
	}
	close(queue)
	if settleErr := <-settled; settleErr != nil {
		err = errors.Join(settleErr, err)
	} else if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return records, err
}

// export sends a request; the person hears why it takes so long.
func (im *importing) export(ctx context.Context, request []byte) (client.Rejected, error) {
	return im.server.ExportPatiently(ctx, request, func(refusal error) {
		im.bar.say(fmt.Sprintf("waiting, the server says: %v", refusal))
	})
}

// settle waits for the requests in their order and tells the ledger. After the first
// failure it ends the others, waits for them too, and returns that failure.
func (im *importing) settle(ctx context.Context, cancel context.CancelCauseFunc, queue <-chan *sent) error {
	done, noted := im.skip, im.skip
	var failed error
	for s := range queue {
		<-s.done
		if failed != nil {
			continue
		}
		if failed = s.err; failed != nil {
			failed = fmt.Errorf("record %d: %w", done+1, failed)
			cancel(failed)
			continue
		}
		done++
		im.bar.set(s.read, int64(done))
		if done-noted >= ledgerRecordsStep {
			noted = im.note(ctx, noted, done)
		}
	}
	// Also an interrupted import leaves a mark, so that the next one goes on from here.
	im.note(context.WithoutCancel(ctx), noted, done)
	return failed
}

// note tells the ledger that the first done records are stored, and returns what the
// ledger holds then.
func (im *importing) note(ctx context.Context, noted, done uint64) uint64 {
	if !im.hasLedger || done == noted {
		return noted
	}
	if err := im.ledger.setRecords(ctx, done); err != nil {
		fmt.Fprintf(os.Stderr, "the ledger does not take it, another import would send again: %v\n", err)
		im.hasLedger = false
		return noted
	}
	return done
}

// countingReader counts what was read of the file.
type countingReader struct {
	r io.Reader
	n atomic.Int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}
