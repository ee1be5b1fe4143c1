package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/internal/vfs"
	"github.com/stoadb/stoa/wal"
)

// serveFlags are what a server may be told on the command line.
type serveFlags struct {
	data        string
	host        string
	storagePort int
	adminPort   int
	otlpPort    int
	shards      int
	retention   time.Duration
	sync        string
	memory      string
	reserve     string
	budget      string
	insecure    bool
}

func newServe() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve: take OTLP, answer Jaeger's storage API (the default command)",
		Args:  exactly(0, ""),
		RunE:  func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context(), cmd.OutOrStdout(), f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.data, "data", "./stoa-data", "data folder, made if missing")
	flags.StringVar(&f.host, "listen-host", "127.0.0.1", "address to listen on; beyond loopback only with --insecure")
	flags.IntVar(&f.storagePort, "storage-port", 17271, "Jaeger storage gRPC API and OTLP; 0 picks a free port")
	flags.IntVar(&f.adminPort, "admin-port", 17270, "metrics, readiness, flush and compact over HTTP; 0 picks a free port")
	flags.IntVar(&f.otlpPort, "otlp-grpc-port", 4317, "OTLP over gRPC; 0 picks a free port")
	flags.IntVar(&f.shards, "shards", 0, fmt.Sprintf("shards of a new folder (default %d)", cluster.ShardsDefault))
	flags.DurationVar(&f.retention, "retention", 0, "drop spans received longer ago, such as 168h; 0 keeps everything")
	flags.StringVar(&f.sync, "sync", "always", "when an answer is given: \"always\" after the disk has it, or an interval such as 1s after which it will")
	flags.StringVar(&f.memory, "memory", "", "soft limit of the process's own memory, such as 512MiB (default 512MiB, less where the machine or its cgroup has less)")
	flags.StringVar(&f.budget, "disk-budget", "", "what segments may take of the disk, such as 100GiB: beyond it the oldest half hours go (default no budget)")
	flags.StringVar(&f.reserve, "reserve", "512MiB", "of the disk to leave free: below it writes are refused, reads go on")
	flags.BoolVar(&f.insecure, "insecure", false, "allow --listen-host beyond loopback although there is neither TLS nor authentication")
	return cmd
}

// check finds what the flags cannot mean. Two of a kind in one place are found here and not
// by listening, which would blame another process.
func (f serveFlags) check() error {
	if f.retention < 0 {
		return usagef("--retention %s: want how long spans are kept, such as 168h, or 0 to keep all", f.retention)
	}
	if f.shards < 0 || f.shards > cluster.ShardsMax {
		return usagef("--shards %d: want 1 to %d, or 0 for what the folder has", f.shards, cluster.ShardsMax)
	}
	taken := make(map[int]string)
	for _, p := range f.ports() {
		if p.port < 0 || p.port > math.MaxUint16 {
			return usagef("--%s %d: want 0 to %d", p.flag, p.port, math.MaxUint16)
		}
		if other := taken[p.port]; other != "" && p.port != 0 {
			return usagef("--%s and --%s are both %d: each needs a port of its own", other, p.flag, p.port)
		}
		taken[p.port] = p.flag
	}
	return nil
}

// portFlag is a port and the flag that chooses it.
type portFlag struct {
	flag string
	port int
}

func (f serveFlags) ports() [3]portFlag {
	return [3]portFlag{{"storage-port", f.storagePort}, {"admin-port", f.adminPort}, {"otlp-grpc-port", f.otlpPort}}
}

func serve(ctx context.Context, out io.Writer, f serveFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	syncInterval, err := parseSync(f.sync)
	if err != nil {
		return err
	}
	memory, err := limitMemory(f.memory)
	if err != nil {
		return err
	}
	reserve, err := parseBytes(f.reserve)
	if err != nil {
		return usagef("--reserve %w", err)
	}
	if reserve < cluster.ReserveBytesMin {
		return usagef("--reserve %s: less than %d MiB would not hold the next log file and the flushes that make room", f.reserve, cluster.ReserveBytesMin>>20)
	}
	budget := int64(0)
	if f.budget != "" {
		if budget, err = parseBytes(f.budget); err != nil {
			return usagef("--disk-budget %w", err)
		}
	}
	if err := checkHost(f.host, f.insecure); err != nil {
		return err
	}
	listeners, err := listen(f)
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	node, err := openNode(ctx, nodeOptions{data: f.data, create: true, logger: logger, shards: f.shards, retention: f.retention,
		syncInterval: syncInterval, reserve: reserve, budget: budget})
	if err != nil {
		return errors.Join(err, closeListeners(listeners))
	}
	printStart(out, f, listeners, node.store, memory)
	return node.run(ctx, listeners)
}

// parseSync reads --sync: 0 syncs before every answer.
func parseSync(text string) (time.Duration, error) {
	if text == "always" {
		return 0, nil
	}
	interval, err := time.ParseDuration(text)
	if err != nil || interval <= 0 {
		return 0, usagef("--sync %q: want \"always\" or an interval such as 1s", text)
	}
	return interval, nil
}

// checkHost keeps a server without TLS and authentication off the network.
func checkHost(host string, insecure bool) error {
	ip := net.ParseIP(host)
	if insecure || host == "localhost" || (ip != nil && ip.IsLoopback()) {
		return nil
	}
	return fmt.Errorf("--listen-host %s: anybody who reaches it could read and write, there is neither TLS nor authentication; "+
		"listen on 127.0.0.1, or say --insecure", host)
}

// listen takes all ports before the folder is touched.
func listen(f serveFlags) (api.Listeners, error) {
	var l api.Listeners
	for i, listener := range [3]*net.Listener{&l.Storage, &l.Admin, &l.OTLP} { // in the order of ports
		want := f.ports()[i]
		var err error
		*listener, err = net.Listen("tcp", net.JoinHostPort(f.host, strconv.Itoa(want.port)))
		if errors.Is(err, syscall.EADDRINUSE) {
			err = fmt.Errorf("port %d on %s is taken by another process: choose another with --%s", want.port, f.host, want.flag)
		}
		if err != nil {
			*listener = nil
			return l, errors.Join(err, closeListeners(l))
		}
	}
	return l, nil
}

func closeListeners(l api.Listeners) error {
	var errs []error
	for _, listener := range []net.Listener{l.Storage, l.OTLP, l.Admin} {
		if listener != nil {
			errs = append(errs, listener.Close())
		}
	}
	return errors.Join(errs...)
}

// printStart says in one block what a person needs to know.
func printStart(out io.Writer, f serveFlags, l api.Listeners, store *cluster.Store, memory int64) {
	data, err := filepath.Abs(f.data)
	if err != nil {
		data = f.data
	}
	durability := "every answer waits until the spans are on the disk (--sync always)"
	if f.sync != "always" {
		durability = "RELAXED: a power cut may lose the acknowledged spans of the last " + f.sync + " (--sync " + f.sync + ")"
	}
	retention := "none: nothing is ever deleted (set --retention or --disk-budget)"
	switch {
	case f.retention > 0 && f.budget != "":
		retention = "spans received more than " + f.retention.String() + " ago are deleted, and the oldest beyond " + f.budget
	case f.retention > 0:
		retention = "spans received more than " + f.retention.String() + " ago are deleted"
	case f.budget != "":
		retention = "the oldest spans are deleted beyond " + f.budget
	}
	recovery := store.Recovery()
	start := fmt.Sprintf("%d log entries (%d bytes) replayed in %s", recovery.Entries, recovery.Bytes, recovery.Took.Round(time.Millisecond))
	if recovery.Log.TornBytes > 0 {
		start += fmt.Sprintf(", a torn tail of %d bytes cut", recovery.Log.TornBytes)
	}
	lines := []string{
		"Stoa " + version() + " serves",
		"  Jaeger storage, OTLP  " + l.Storage.Addr().String() + "  (gRPC)",
		"  OTLP                  " + l.OTLP.Addr().String() + "  (gRPC)",
		"  admin                 http://" + l.Admin.Addr().String() + "/metrics  /ready  /health  POST /flush  POST /compact",
		"  data                  " + data + "  (" + strconv.Itoa(store.Shards()) + " shards)",
		"  durability            " + durability,
		"  retention             " + retention,
		"  memory                soft limit " + strconv.FormatInt(memory>>20, 10) + " MiB",
		"  start                 " + start,
	}
	if checkHost(f.host, false) != nil {
		lines = append(lines, "  INSECURE              no TLS, no authentication: whoever reaches these ports reads and writes")
	}
	fmt.Fprintln(out, strings.Join(lines, "\n"))
}

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
}

// node is a store and the server in front of it, in this process.
type node struct {
	store  *cluster.Store
	server *api.Server
	log    *slog.Logger
}

// openNode opens the folder and makes its server, which does not listen yet.
func openNode(ctx context.Context, o nodeOptions) (*node, error) {
	if info, err := os.Stat(o.data); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("%s is not a folder", o.data)
	} else if errors.Is(err, os.ErrNotExist) && !o.create {
		return nil, fmt.Errorf("%s does not exist", o.data)
	}
	disk, err := vfs.NewOS(o.data)
	if err != nil {
		return nil, err
	}
	store, err := cluster.Open(ctx, cluster.Options{
		FS: disk, MustExist: !o.create, Shards: o.shards, Logger: o.logger, Retention: o.retention, ReserveBytes: o.reserve, DiskBudget: o.budget,
		Log: wal.Options{SyncInterval: o.syncInterval}, Progress: replayLog(o.logger),
	})
	if errors.Is(err, vfs.ErrLocked) {
		return nil, fmt.Errorf("data folder %s is in use: a server (or another command) runs there; "+
			"ask the server with --addr HOST:PORT instead of --data, or stop it first", o.data)
	}
	if err != nil {
		return nil, fmt.Errorf("data folder %s: %w", o.data, err)
	}
	n := &node{store: store, log: o.logger}
	n.server = api.NewServer(store, store, api.Options{Log: o.logger, Metrics: metricsHandler(n), Imports: importsHandler(store.Imports()), Attributes: attributesHandler(store)})
	return n, nil
}

// run serves until ctx ends or something fails, then drains and flushes.
func (n *node) run(ctx context.Context, l api.Listeners) error {
	served := make(chan error, 1)
	go func() { served <- n.server.Serve(l) }()
	select {
	case <-ctx.Done():
		n.log.Info("stopping: calls under way finish, then memory is flushed")
	case err := <-n.store.Fatal():
		// The log refused a write: nothing may be promised any more, and what may have
		// reached the disk only the next start can tell. Nothing is flushed.
		return fmt.Errorf("the log failed, the process ends so that nothing wrong is acknowledged: %w", err)
	case err := <-served:
		return errors.Join(err, n.store.Close(context.Background()))
	}
	drain, cancel := context.WithTimeout(context.Background(), drainTimeMax)
	defer cancel()
	n.server.Stop(drain)
	err := <-served
	return errors.Join(err, n.store.Close(context.Background()))
}
