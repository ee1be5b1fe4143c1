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
)

// serveFlags are what a server may be told on the command line.
type serveFlags struct {
	data        string
	host        string
	storagePort int
	adminPort   int
	otlpPort    int
	archivePort int
	queryPort   int
	shards      int
	retention   time.Duration
	keepArchive time.Duration
	sync        string
	memory      string
	reserve     string
	budget      string
	insecure    bool
	keepAnswers bool
	hugePages   bool
	tenants     string
	hasTenants  bool // the flag was given
	header      string
}

func newServe() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve: take OTLP, answer Jaeger's storage API and metrics over HTTP (the default command)",
		Args:  exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.hasTenants = cmd.Flags().Changed("tenants")
			return serve(cmd.Context(), cmd.OutOrStdout(), f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.data, "data", "./stoa-data", "data folder, made if missing")
	flags.StringVar(&f.host, "listen-host", "127.0.0.1", "address to listen on; beyond loopback only with --insecure")
	flags.IntVar(&f.storagePort, "storage-port", 17271, "Jaeger storage gRPC API and OTLP; 0 picks a free port")
	flags.IntVar(&f.adminPort, "admin-port", 17270, "metrics, readiness, flush and compact over HTTP; 0 picks a free port")
	flags.IntVar(&f.otlpPort, "otlp-grpc-port", 4317, "OTLP over gRPC; 0 picks a free port")
	flags.IntVar(&f.archivePort, "archive-port", 17272, "Jaeger storage gRPC API and OTLP of the archive; 0 picks a free port")
	flags.IntVar(&f.queryPort, "query-port", 16686, "services, metrics (rates, errors, latencies) and graphs over HTTP, as Jaeger's query service answers them; 0 picks a free port")
	flags.IntVar(&f.shards, "shards", 0, fmt.Sprintf("shards of a new folder (default %d, half as many as processors, 1 to 16; of each tenant %d)", cluster.ShardsDefault(), tenantShards))
	flags.DurationVar(&f.retention, "retention", 0, "drop spans received longer ago, such as 168h; 0 keeps everything")
	flags.DurationVar(&f.keepArchive, "archive-retention", 0, "drop spans archived longer ago, such as 8760h; 0 keeps everything")
	flags.StringVar(&f.sync, "sync", "always", "when an answer is given: \"always\" after the disk has it, or an interval such as 1s after which it will")
	flags.StringVar(&f.memory, "memory", "", "soft limit of the process's own memory, such as 1GiB, whatever GOMEMLIMIT in the environment says (default GOMEMLIMIT, else 416MiB and what the tables of segments take, less where the machine or its cgroup has less)")
	flags.StringVar(&f.budget, "disk-budget", "", "what segments may take of the disk, such as 100GiB: beyond it the oldest half hours go (default no budget)")
	flags.StringVar(&f.reserve, "reserve", "512MiB", "of the disk to leave free: below it writes are refused, reads go on")
	flags.StringVar(&f.tenants, "tenants", "", fmt.Sprintf("names, with commas between them, of up to %d tenants who share this server and see nothing of one another; "+
		"every call then names one (default no tenants)", tenantsMax))
	flags.StringVar(&f.header, "tenant-header", api.TenantHeader, "gRPC metadata key, and HTTP header of the query port, that names a call's tenant, with --tenants")
	flags.BoolVar(&f.keepAnswers, "keep-answers", true, "keep summaries, short whole traces, and longer ones that are asked for again, as they were answered, in the memory of opened pages (false: to measure what making them takes)")
	flags.BoolVar(&f.hugePages, "huge-pages", true, "ask the kernel for huge pages, twice as much memory as --memory, where it has them (Linux)")
	flags.BoolVar(&f.insecure, "insecure", false, "allow --listen-host beyond loopback although there is neither TLS nor authentication")
	return cmd
}

// check finds what the flags cannot mean. Two of a kind in one place are found here and not
// by listening, which would blame another process.
func (f serveFlags) check() error {
	if f.retention < 0 {
		return usagef("--retention %s: want how long spans are kept, such as 168h, or 0 to keep all", f.retention)
	}
	if f.keepArchive < 0 {
		return usagef("--archive-retention %s: want how long archived spans are kept, such as 8760h, or 0 to keep all", f.keepArchive)
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

func (f serveFlags) ports() [5]portFlag {
	return [5]portFlag{{"storage-port", f.storagePort}, {"admin-port", f.adminPort}, {"otlp-grpc-port", f.otlpPort}, {"archive-port", f.archivePort}, {"query-port", f.queryPort}}
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
	spareThreads()
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
	tenants, header, err := f.parseTenants()
	if err != nil {
		return err
	}
	if err := checkHost(f.host, f.insecure); err != nil {
		return err
	}
	listeners, err := listen(f)
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if f.hugePages {
		if err := askForHugePages(memory.hugePages()); err != nil {
			logger.Info("no huge pages for the heap", "error", err)
		}
	}
	node, err := openNode(ctx, nodeOptions{data: f.data, create: true, logger: logger, shards: f.shards, retention: f.retention,
		syncInterval: syncInterval, reserve: reserve, budget: budget, archive: true, keepArchive: f.keepArchive, tenants: tenants, tenantHeader: header, answersAnew: !f.keepAnswers})
	if err != nil {
		return errors.Join(err, closeListeners(listeners))
	}
	lines, err := node.tenantLines(f, header)
	if err != nil {
		return errors.Join(err, closeListeners(listeners), node.close(context.WithoutCancel(ctx)))
	}
	printStart(out, f, listeners, node, memory, lines)
	following, stop := context.WithCancel(ctx)
	defer stop() // and no wait: nothing may hold up the end of the process
	go memory.follow(following, node.tableBytes)
	return node.run(ctx, listeners)
}

// parseTenants reads the flags of tenants. An empty list of names is refused: an empty variable
// must not turn tenancy off.
func (f serveFlags) parseTenants() (names []string, header string, err error) {
	if header, err = parseTenantHeader(f.header); err != nil || !f.hasTenants {
		return nil, header, err
	}
	names, err = parseTenants(f.tenants)
	return names, header, err
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

// noPort is a port that nobody listens on; a command line cannot say it.
const noPort = -1

// listen takes all ports before the folder is touched.
func listen(f serveFlags) (api.Listeners, error) {
	var l api.Listeners
	for i, listener := range [5]*net.Listener{&l.Storage, &l.Admin, &l.OTLP, &l.Archive, &l.Query} { // in the order of ports
		want := f.ports()[i]
		if want.port == noPort {
			continue
		}
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
	for _, listener := range []net.Listener{l.Storage, l.OTLP, l.Admin, l.Archive, l.Query} {
		if listener != nil {
			errs = append(errs, listener.Close())
		}
	}
	return errors.Join(errs...)
}

// printStart says in one block what a person needs to know.
func printStart(out io.Writer, f serveFlags, l api.Listeners, n *node, memory memoryLimit, tenants []string) {
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
	archive := "spans that are archived stay for ever"
	if f.keepArchive > 0 {
		archive = "spans archived more than " + f.keepArchive.String() + " ago are deleted"
	}
	recovery := n.recovery()
	start := fmt.Sprintf("%d log entries (%d bytes) replayed in %s", recovery.Entries, recovery.Bytes, recovery.Took.Round(time.Millisecond))
	if recovery.Log.TornBytes > 0 {
		start += fmt.Sprintf(", a torn tail of %d bytes cut", recovery.Log.TornBytes)
	}
	lines := []string{
		"Stoa " + version() + " serves",
		"  Jaeger storage, OTLP  " + l.Storage.Addr().String() + "  (gRPC)",
		"  OTLP                  " + l.OTLP.Addr().String() + "  (gRPC)",
		"  archive               " + l.Archive.Addr().String() + "  (gRPC; " + archive + ")",
		"  queries               http://" + l.Query.Addr().String() + "/api/services  /api/dependencies  /api/metrics/calls  /api/deep-dependencies",
		"  admin                 http://" + l.Admin.Addr().String() + "/metrics  /ready  /health  POST /flush  POST /compact  POST /settle",
		"  data                  " + data + "  (" + strconv.Itoa(n.store.Shards()) + " shards)",
		"  durability            " + durability,
		"  retention             " + retention,
		"  memory                soft limit " + memory.words(),
		"  start                 " + start,
	}
	lines = append(lines, tenants...)
	if checkHost(f.host, false) != nil {
		lines = append(lines, "  INSECURE              no TLS, no authentication: whoever reaches these ports reads and writes")
	}
	fmt.Fprintln(out, strings.Join(lines, "\n"))
}
