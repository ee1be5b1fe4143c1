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
	data    string
	create  bool // the folder, where it is missing
}

// add offers the flags of a command that asks.
func (t *targetFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.address, "addr", api.StorageAddress, "server to ask, HOST:PORT of its storage port")
	cmd.Flags().StringVar(&t.data, "data", "", "open this data folder instead, which no server may hold")
}

// asked is a server, as the commands see it.
type asked struct {
	*client.Client
	admin string // HOST:PORT of its admin port
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
	if t.admin != "" {
		if err := checkAddress("admin", t.admin); err != nil {
			return err
		}
	}
	if t.data != "" {
		return withFolder(cmd.Context(), t, ask)
	}
	if err := checkAddress("addr", t.address); err != nil {
		return err
	}
	admin := t.admin
	if admin == "" {
		admin = besideStorage(t.address)
	}
	return withServer(cmd.Context(), t.address, admin, ask)
}

// checkAddress tells a slip of the hand from a server that is not there.
func checkAddress(flag, address string) error {
	if _, port, err := net.SplitHostPort(address); err != nil || port == "" {
		return usagef("--%s %q: want HOST:PORT", flag, address)
	}
	return nil
}

func withServer(ctx context.Context, address, admin string, ask question) error {
	c, err := client.Dial(ctx, address)
	if errors.Is(err, span.ErrUnavailable) {
		return fmt.Errorf("no server answers there: start one with 'stoa serve', name another with --addr, "+
			"or open a folder with --data: %w", err)
	}
	if err != nil {
		return err
	}
	return errors.Join(ask(ctx, asked{c, admin}), c.Close())
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

// withFolder opens a folder and serves it on loopback ports that the system picks.
func withFolder(ctx context.Context, t targetFlags, ask question) error {
	if _, err := limitMemory(""); err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	node, err := openNode(ctx, nodeOptions{data: t.data, create: t.create, logger: logger})
	if err != nil {
		return err
	}
	listeners, err := listen(serveFlags{host: "127.0.0.1", archivePort: noPort})
	if err != nil {
		return errors.Join(err, node.close(context.WithoutCancel(ctx)))
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		err := node.run(serving, listeners)
		cancel(err) // a question to a server that has ended would ask for ever
		ended <- err
	}()
	err = withServer(ctx, listeners.Storage.Addr().String(), listeners.Admin.Addr().String(), ask)
	stop()
	return errors.Join(err, <-ended)
}
