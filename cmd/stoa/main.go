// Command stoa is the one binary: the server, and the commands that ask it.
//
// A command is a file of its name: it reads its flags, asks, and prints. Those that ask
// (find, trace, graph, services, attributes, import) speak gRPC to a running server; with --data
// they open the folder instead and start the same server in this process on a loopback
// port of the system's choice, so that there is one way from a question to an answer.
//
// Goroutines: those of the rooms below, one for each listener, one that waits for a
// signal, and during an import one for each request under way.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// What the process answers with.
const (
	exitOK    = 0
	exitError = 1 // the work failed
	exitUsage = 2 // the command line makes no sense
)

// usageError marks what the person typed wrong.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func main() { os.Exit(run()) }

func run() int {
	// The first signal ends the work in order; a second one, restored to the default,
	// ends the process.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	root := newRoot()
	command, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", command.CommandPath(), err)
	if usage := (usageError{}); errors.As(err, &usage) {
		fmt.Fprintf(os.Stderr, "Run '%s --help' for how it is used.\n", command.CommandPath())
		return exitUsage
	}
	return exitError
}

// newRoot is the whole command line. Without a command it serves.
func newRoot() *cobra.Command {
	root := newServe()
	root.Use = "stoa"
	root.Short = "A database for distributed traces"
	root.Long = `Stoa keeps distributed traces: it takes OTLP, answers Jaeger's storage API, and finds,
draws and counts in the terminal. Without a command it serves, with data in ./stoa-data.`
	root.SilenceErrors = true
	root.SilenceUsage = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(newServe(), newImport(), newFind(), newTrace(), newGraph(), newServices(), newRed(), newAttributes(), newBench(), newInspect(), newAnalyze(), newVerify(), newRepair(), newVersion())
	root.InitDefaultCompletionCmd()
	for _, command := range root.Commands() {
		command.SilenceUsage = true
	}
	return root
}

// exactly takes n arguments and says what they are when there are others.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		if n == 0 {
			return usagef("unknown command or argument %q", args[0])
		}
		return usagef("want %s, got %d arguments", what, len(args))
	}
}
