package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/internal/vfs"
	"github.com/stoadb/stoa/wal"
)

// archiveFolder lies in the data folder and is a data folder itself.
const archiveFolder = "archive"

// nodeOptions are what a store in this process is opened with.
type nodeOptions struct {
	data         string
	create       bool // the folder, where it is missing
	logger       *slog.Logger
	shards       int
	retention    time.Duration
	syncInterval time.Duration
	reserve      int64 // bytes of the disk to leave free; 0 is the store's own default
	budget       int64 // bytes that segments may take; 0 is no bound
	archive      bool  // open the archive too, made where it is missing
	keepArchive  time.Duration
}

// node is a store, the archive where it is open, and the server in front of them, in this
// process.
type node struct {
	store   *cluster.Store
	archive *cluster.Store // nil: not open
	server  *api.Server
	log     *slog.Logger
}

// openNode opens the folder and makes its server, which does not listen yet.
func openNode(ctx context.Context, o nodeOptions) (*node, error) {
	if info, err := os.Stat(o.data); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("%s is not a folder", o.data)
	} else if errors.Is(err, os.ErrNotExist) && !o.create {
		return nil, fmt.Errorf("%s does not exist", o.data)
	}
	store, err := openFolder(ctx, o.data, cluster.Options{
		MustExist: !o.create, Shards: o.shards, Logger: o.logger, Retention: o.retention, ReserveBytes: o.reserve, DiskBudget: o.budget,
		Log: wal.Options{SyncInterval: o.syncInterval}, Progress: replayLog(o.logger),
	})
	if err != nil {
		return nil, err
	}
	n := &node{store: store, log: o.logger}
	served := api.Options{Log: o.logger, Metrics: metricsHandler(n), Imports: importsHandler(store.Imports()), Attributes: attributesHandler(store), Rates: ratesHandler(store)}
	if o.archive {
		if n.archive, err = openArchive(ctx, o); err != nil {
			return nil, errors.Join(err, store.Close(ctx))
		}
		served.Archive = n.archive
	}
	n.server = api.NewServer(store, n, served)
	return n, nil
}

// openArchive opens the store of what is archived, after the store beside it: only then is
// the data folder known to be ours. It is small and quiet: one shard, and a fraction of
// the memory.
func openArchive(ctx context.Context, o nodeOptions) (*cluster.Store, error) {
	logger := o.logger.With("store", archiveFolder)
	return openFolder(ctx, filepath.Join(o.data, archiveFolder), cluster.Options{
		Shards: 1, Logger: logger, Retention: o.keepArchive, ReserveBytes: o.reserve,
		Log:              wal.Options{FileBytes: archiveLogFileBytes, SyncInterval: o.syncInterval},
		MemtableBytesMax: archiveMemtableBytesMax, LogBytesMax: archiveLogBytesMax, PagesBytesMax: archivePagesBytesMax,
		Progress: replayLog(logger),
	})
}

func openFolder(ctx context.Context, folder string, o cluster.Options) (*cluster.Store, error) {
	disk, err := vfs.NewOS(folder)
	if err != nil {
		return nil, err
	}
	o.FS = disk
	store, err := cluster.Open(ctx, o)
	if errors.Is(err, vfs.ErrLocked) {
		return nil, fmt.Errorf("data folder %s is in use: a server (or another command) runs there; "+
			"ask the server with --addr HOST:PORT instead of --data, or stop it first", folder)
	}
	if err != nil {
		return nil, fmt.Errorf("data folder %s: %w", folder, err)
	}
	return store, nil
}

// stores are those that are open.
func (n *node) stores() []*cluster.Store {
	if n.archive == nil {
		return []*cluster.Store{n.store}
	}
	return []*cluster.Store{n.store, n.archive}
}

// each asks every store, one after the other, and joins the errors.
func (n *node) each(ask func(*cluster.Store) error) error {
	var errs []error
	for _, store := range n.stores() {
		errs = append(errs, ask(store))
	}
	return errors.Join(errs...)
}

// Flush implements api.Operator, for both stores.
func (n *node) Flush(ctx context.Context) error {
	return n.each(func(s *cluster.Store) error { return s.Flush(ctx) })
}

// Compact implements api.Operator.
func (n *node) Compact(ctx context.Context) error {
	return n.each(func(s *cluster.Store) error { return s.Compact(ctx) })
}

// Ready implements api.Operator.
func (n *node) Ready() error { return n.each((*cluster.Store).Ready) }

// close closes the stores; see cluster.Store.Close.
func (n *node) close(ctx context.Context) error {
	return n.each(func(s *cluster.Store) error { return s.Close(ctx) })
}

// archiveFatal is Fatal of the archive, nil where it is not open: nothing comes of it then.
func (n *node) archiveFatal() <-chan error {
	if n.archive == nil {
		return nil
	}
	return n.archive.Fatal()
}

// run serves until ctx ends or something fails, then drains and flushes.
func (n *node) run(ctx context.Context, l api.Listeners) error {
	served := make(chan error, 1)
	go func() { served <- n.server.Serve(l) }()
	select {
	case <-ctx.Done():
		n.log.Info("stopping: calls under way finish, then memory is flushed")
	case err := <-n.store.Fatal():
		return logFailed(err)
	case err := <-n.archiveFatal():
		return logFailed(err)
	case err := <-served:
		return errors.Join(err, n.close(context.Background()))
	}
	drain, cancel := context.WithTimeout(context.Background(), drainTimeMax)
	defer cancel()
	n.server.Stop(drain)
	err := <-served
	return errors.Join(err, n.close(context.Background()))
}

// logFailed ends the process: a log refused a write, nothing may be promised any more, and
// what may have reached the disk only the next start can tell. Nothing is flushed.
func logFailed(err error) error {
	return fmt.Errorf("the log failed, the process ends so that nothing wrong is acknowledged: %w", err)
}
