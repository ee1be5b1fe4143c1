package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/api/client"
	"github.com/stoadb/stoa/engine/span"
)

// targetFlags say whom a command asks.
type targetFlags struct {
	address string
	admin   string
	query   string
	data    string
	create  bool // the folder, where it is missing
	tenant  string
	header  string // metadata key that names it
}

// add offers the flags of a command that asks.
func (t *targetFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.address, "addr", api.StorageAddress, "server to ask, HOST:PORT of its storage port")
	cmd.Flags().StringVar(&t.data, "data", "", "open this data folder instead, which no server may hold")
	cmd.Flags().StringVar(&t.tenant, "tenant", "", "ask as this tenant, of a server with --tenants or of a folder")
	cmd.Flags().StringVar(&t.header, "tenant-header", api.TenantHeader, "gRPC metadata key that names the tenant, as the server has it")
}

// asked is a server, as the commands see it.
type asked struct {
	*client.Client
	admin  string // HOST:PORT of its admin port
	query  string // HOST:PORT of its query port
	tenant string // in whose name it is asked; "" is nobody's
	header string // that says so
}

// question is the work of a command that asks. Its ctx ends with the command, and with
// the folder's server where that is in this process.
type question func(ctx context.Context, s asked) error

// withStore connects, or opens the folder and serves it to this process alone, and runs
// ask. In both cases the questions go through gRPC.
func withStore(cmd *cobra.Command, t targetFlags, ask question) error {
	if t.data != "" && cmd.Flags().Changed("addr") {
		return usagef("--addr asks a server, --data opens a folder: give one of them")
	}
	for flag, address := range map[string]string{"admin": t.admin, "query": t.query} {
		if address == "" {
			continue
		}
		if err := checkAddress(flag, address); err != nil {
			return err
		}
	}
	var err error
	if t.header, err = parseTenantHeader(t.header); err != nil {
		return err
	}
	if t.tenant != "" || cmd.Flags().Changed("tenant") {
		if err := api.CheckTenantName(t.tenant); err != nil {
			return usagef("--tenant: %w", err)
		}
	}
	if t.data != "" {
		return withFolder(cmd.Context(), t, ask)
	}
	if err := checkAddress("addr", t.address); err != nil {
		return err
	}
	if t.admin == "" {
		t.admin = besideStorage(t.address)
	}
	if t.query == "" {
		t.query = queryBeside(t.address)
	}
	return withServer(cmd.Context(), t, ask)
}

// checkAddress tells a slip of the hand from a server that is not there.
func checkAddress(flag, address string) error {
	if _, port, err := net.SplitHostPort(address); err != nil || port == "" {
		return usagef("--%s %q: want HOST:PORT", flag, address)
	}
	return nil
}

func withServer(ctx context.Context, t targetFlags, ask question) error {
	c, err := dialAs(ctx, t)
	if errors.Is(err, span.ErrUnavailable) {
		return fmt.Errorf("no server answers there: start one with 'stoa serve', name another with --addr, "+
			"or open a folder with --data: %w", err)
	}
	if err != nil {
		return err
	}
	err = ask(ctx, asked{c, t.admin, t.query, t.tenant, t.header})
	if errors.Is(err, client.ErrTenant) {
		err = fmt.Errorf("name yours with --tenant NAME: %w", err)
	}
	return errors.Join(err, c.Close())
}

func dialAs(ctx context.Context, t targetFlags) (*client.Client, error) {
	if t.tenant == "" {
		return client.Dial(ctx, t.address)
	}
	return client.DialTenant(ctx, t.address, t.header, t.tenant)
}

// besideStorage guesses the admin port: one below the storage port, as by default.
func besideStorage(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return ""
	}
	return net.JoinHostPort(host, strconv.Itoa(n-1))
}

// queryBeside guesses the query port: the default one, of the same host.
func queryBeside(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	_, port, err := net.SplitHostPort(api.QueryAddress)
	if err != nil {
		return ""
	}
	return net.JoinHostPort(host, port)
}

// withFolder opens a folder and serves it on loopback ports that the system picks.
func withFolder(ctx context.Context, t targetFlags, ask question) error {
	memory, err := limitMemory("")
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	options := nodeOptions{data: t.data, create: t.create, logger: logger, tenantHeader: t.header}
	if t.tenant != "" {
		options.tenants = []string{t.tenant}
	}
	node, err := openNode(ctx, options)
	if err != nil {
		return err
	}
	listeners, err := listen(serveFlags{host: "127.0.0.1", archivePort: noPort})
	if err != nil {
		return errors.Join(err, node.close(context.WithoutCancel(ctx)))
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	go memory.follow(serving, node.tableBytes)
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		err := node.run(serving, listeners)
		cancel(err) // a question to a server that has ended would ask for ever
		ended <- err
	}()
	t.address, t.admin, t.query = listeners.Storage.Addr().String(), listeners.Admin.Addr().String(), listeners.Query.Addr().String()
	err = withServer(ctx, t, ask)
	stop()
	return errors.Join(err, <-ended)
}
