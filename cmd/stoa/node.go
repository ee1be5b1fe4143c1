package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/api/queryhttp"
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
	tenants      []string // none: there are no tenants
	tenantHeader string
	answersAnew  bool // keep none of them
}

// node is a store, the archive where it is open, or the stores of tenants, and the server in
// front of them, in this process.
type node struct {
	store   *cluster.Store
	archive *cluster.Store // nil: not open
	tenants []tenant
	server  *api.Server
	log     *slog.Logger

	data        string             // the folder
	questions   *cluster.Questions // of all stores
	opened      chan struct{}      // closed when all stores are open
	answersAnew bool
}

// openNode opens the folder and makes its server, which does not listen yet.
func openNode(ctx context.Context, o nodeOptions) (*node, error) {
	if info, err := os.Stat(o.data); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("%s is not a folder", o.data)
	} else if errors.Is(err, os.ErrNotExist) && !o.create {
		return nil, fmt.Errorf("%s does not exist", o.data)
	}
	if err := checkTenants(o); err != nil {
		return nil, err
	}
	n := &node{log: o.logger, data: o.data, questions: cluster.NewQuestions(), opened: make(chan struct{}), answersAnew: o.answersAnew}
	if err := n.openStores(ctx, o); err != nil {
		return nil, errors.Join(err, n.close(ctx))
	}
	close(n.opened)
	served := api.Options{
		Log: o.logger, Metrics: metricsHandler(n), Tenants: n.served(o.tenantHeader),
		Imports: importsHandler(n.store.Imports()), Attributes: attributesHandler(n.store), Rates: ratesHandler(n.store),
		Query: queryhttp.New(n.store, queryhttp.Options{Log: o.logger}),
		Edges: edgesHandler(n.store), Questions: n.questions,
	}
	if n.archive != nil {
		served.Archive = n.archive
	}
	n.server = api.NewServer(n.store, n, served)
	return n, nil
}

// openStores opens the store, and then what lies in folders of its folder: only then is
// that known to be ours. What is open is in n also where one fails.
func (n *node) openStores(ctx context.Context, o nodeOptions) (err error) {
	if n.store, err = n.openFolder(ctx, o.data, mainOptions(o)); err != nil {
		return err
	}
	if len(o.tenants) > 0 {
		return n.openTenants(ctx, o)
	}
	if o.archive {
		n.archive, err = n.openFolder(ctx, filepath.Join(o.data, archiveFolder), archiveOptions(o))
	}
	return err
}

// archiveOptions are those of what is archived. Such a store is small and quiet: one shard,
// and a fraction of the memory.
func archiveOptions(o nodeOptions) cluster.Options {
	logger := o.logger.With("store", archiveFolder)
	return cluster.Options{
		Shards: 1, Logger: logger, Retention: o.keepArchive, ReserveBytes: o.reserve,
		Log:              wal.Options{FileBytes: archiveLogFileBytes, SyncInterval: o.syncInterval},
		MemtableBytesMax: archiveMemtableBytesMax, LogBytesMax: archiveLogBytesMax, PagesBytesMax: archivePagesBytesMax,
		SplitCellsBytesMax: archiveSplitCellsBytesMax,
		Progress:           replayLog(logger),
	}
}

func (n *node) openFolder(ctx context.Context, folder string, o cluster.Options) (*cluster.Store, error) {
	disk, err := vfs.NewOS(folder)
	if err != nil {
		return nil, err
	}
	o.FS, o.Background, o.Questions, o.AnswersAnew = disk, lowerPriority, n.questions, n.answersAnew
	o.TablesAfter = n.opened // reading them is work, and so is opening the other stores
	store, err := cluster.Open(ctx, o)
	if vfs.Full(err) && n.removeStrays(o.Logger) {
		store, err = cluster.Open(ctx, o)
	}
	if errors.Is(err, vfs.ErrLocked) {
		return nil, fmt.Errorf("data folder %s is in use: a server (or another command) runs there; "+
			"ask the server with --addr HOST:PORT instead of --data, or stop it first", folder)
	}
	if err != nil {
		return nil, fmt.Errorf("data folder %s: %w", folder, err)
	}
	return store, nil
}

// removeStrays makes room on a full disk: what killed flushes and merges left in the folder of any store goes. It tells
// whether there was something. A store that is open has done so already.
func (n *node) removeStrays(logger *slog.Logger) (some bool) {
	folders, err := storeFolders(n.data)
	if err != nil {
		return false
	}
	for _, folder := range folders {
		disk, err := vfs.NewOS(folder)
		if err != nil {
			continue
		}
		removed, err := cluster.RemoveStrays(disk, logger)
		if err != nil && !errors.Is(err, vfs.ErrLocked) {
			logger.Warn("the disk is full, and what a killed merge may have left cannot be looked for", "folder", folder, "cause", err)
		}
		some = some || removed > 0
	}
	return some
}

// stores are those that are open.
func (n *node) stores() []*cluster.Store {
	all := []*cluster.Store{n.store, n.archive}
	for _, t := range n.tenants {
		all = append(all, t.store, t.archive)
	}
	return slices.DeleteFunc(all, func(s *cluster.Store) bool { return s == nil })
}

// each asks every store, one after the other, and joins the errors.
func (n *node) each(ask func(*cluster.Store) error) error {
	var errs []error
	for _, store := range n.stores() {
		errs = append(errs, ask(store))
	}
	return errors.Join(errs...)
}

// Flush implements api.Operator, for all stores.
func (n *node) Flush(ctx context.Context) error {
	return n.each(func(s *cluster.Store) error { return s.Flush(ctx) })
}

// Compact implements api.Operator.
func (n *node) Compact(ctx context.Context) error {
	return n.each(func(s *cluster.Store) error { return s.Compact(ctx) })
}

// Settle implements api.Operator.
func (n *node) Settle(ctx context.Context) error {
	return n.each(func(s *cluster.Store) error { return s.Settle(ctx) })
}

// Ready implements api.Operator.
func (n *node) Ready() error { return n.each((*cluster.Store).Ready) }

// close closes the stores; see cluster.Store.Close.
func (n *node) close(ctx context.Context) error {
	return n.each(func(s *cluster.Store) error { return s.Close(ctx) })
}

// fatal receives the first Fatal of any store, until ctx ends.
func (n *node) fatal(ctx context.Context) <-chan error {
	first := make(chan error, 1)
	for _, store := range n.stores() {
		go func() {
			select {
			case err := <-store.Fatal():
				select {
				case first <- err:
				default:
				}
			case <-ctx.Done():
			}
		}()
	}
	return first
}

// run serves until ctx ends or something fails, then drains and flushes.
func (n *node) run(ctx context.Context, l api.Listeners) error {
	served := make(chan error, 1)
	watching, unwatch := context.WithCancel(context.Background())
	defer unwatch()
	go func() { served <- n.server.Serve(l) }()
	select {
	case <-ctx.Done():
		n.log.Info("stopping: calls under way finish, then memory is flushed")
	case err := <-n.fatal(watching):
		return storeFailed(err)
	case err := <-served:
		return errors.Join(err, n.close(context.Background()))
	}
	drain, cancel := context.WithTimeout(context.Background(), drainTimeMax)
	defer cancel()
	n.server.Stop(drain)
	err := <-served
	return errors.Join(err, n.close(context.Background()))
}

// storeFailed ends the process: a log refused a write, or a round of writes panicked; nothing may be
// promised any more, and what may have reached the disk only the next start can tell. Nothing is flushed.
func storeFailed(err error) error {
	return fmt.Errorf("the store failed, the process ends so that nothing wrong is acknowledged: %w", err)
}
