package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/stoadb/stoa/api/wire"
	"github.com/stoadb/stoa/engine/span"
)

func newServices() *cobra.Command {
	var target targetFlags
	var output outputFlags
	cmd := &cobra.Command{
		Use:   "services [SERVICE]",
		Short: "List the services, or the operations of one",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("want at most one service, got %d arguments", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return withStore(cmd, target, func(ctx context.Context, s asked) error {
				if len(args) == 1 {
					operations, err := s.Operations(ctx, args[0])
					if err != nil {
						return err
					}
					return printOperations(cmd.OutOrStdout(), output.form, operations)
				}
				services, err := s.Services(ctx)
				if err != nil {
					return err
				}
				return printServices(cmd.OutOrStdout(), output.form, services)
			})
		},
	}
	target.add(cmd)
	output.add(cmd, "table", "json", "jsonl", "csv")
	return cmd
}

// printServices prints names; in a table the empty name stands as "".
func printServices(w io.Writer, form string, services []string) error {
	if services == nil {
		services = []string{}
	}
	rows := make([][]string, len(services))
	for i, s := range services {
		rows[i] = []string{s}
	}
	switch form {
	case "json":
		return printJSON(w, services)
	case "jsonl":
		return printJSONLines(w, services)
	case "csv":
		return printCSV(w, []string{"service"}, rows)
	}
	if len(services) == 0 {
		_, err := fmt.Fprintln(w, "no service found")
		return err
	}
	for i, s := range services {
		if s == "" {
			rows[i] = []string{`""`}
		}
	}
	return printTable(w, []string{"SERVICE"}, rows)
}

// operationJSON is a span.Operation as the commands print it.
type operationJSON struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
}

// kindName spells a kind as the storage API does; a number that OTLP does not know stays one.
func kindName(kind int32) string {
	if name := wire.KindName(kind); name != "" || kind == span.KindUnspecified {
		return name
	}
	return strconv.Itoa(int(kind))
}

func printOperations(w io.Writer, form string, operations []span.Operation) error {
	documents := make([]operationJSON, len(operations))
	rows := make([][]string, len(operations))
	for i, o := range operations {
		documents[i] = operationJSON{o.Name, kindName(o.Kind)}
		rows[i] = []string{o.Name, documents[i].Kind}
	}
	switch form {
	case "json":
		return printJSON(w, documents)
	case "jsonl":
		return printJSONLines(w, documents)
	case "csv":
		return printCSV(w, []string{"name", "kind"}, rows)
	}
	if len(operations) == 0 {
		_, err := fmt.Fprintln(w, "no operation found")
		return err
	}
	return printTable(w, []string{"NAME", "KIND"}, rows)
}
