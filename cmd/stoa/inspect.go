package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/internal/vfs"
)

const inspectLong = `Prints a file of a data folder front to back: a segment, a log file, a manifest, the epoch
record or the ledger of imports. Every part has a line with its offset, its length and what
it means, and beneath it the bytes. docs/format has a page for each kind.

It changes nothing, and a server may hold the folder: segments never change, and of a log
file it prints what is written so far. Of a damaged file it prints what can be read and
says in place what cannot.`

func newInspect() *cobra.Command {
	var hexBytes int
	cmd := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Print a file of a data folder, byte by byte, with what each part means",
		Long:  inspectLong,
		Example: `  stoa inspect stoa-data/shard-000/MANIFEST
  stoa inspect stoa-data/shard-000/00000001.seg --hex 0
  stoa inspect stoa-data/log/0000000000000001.log --hex -1`,
		Args: exactly(1, "one file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if hexBytes < -1 {
				return usagef("--hex %d: want how many bytes, 0 for none, -1 for all", hexBytes)
			}
			if info, err := os.Stat(args[0]); err != nil {
				return err
			} else if !info.Mode().IsRegular() {
				return fmt.Errorf("%s is not a file; stoa analyze and stoa verify read folders", args[0])
			}
			disk, err := vfs.NewOS(filepath.Dir(args[0]))
			if err != nil {
				return err
			}
			out := bufio.NewWriter(cmd.OutOrStdout())
			if err = cluster.Print(out, disk, filepath.Base(args[0]), hexBytes); err != nil {
				err = fmt.Errorf("in %s: %w", filepath.Dir(args[0]), err)
			}
			return errors.Join(out.Flush(), err)
		},
	}
	cmd.Flags().IntVar(&hexBytes, "hex", 32, "at most this many bytes of each part; 0 none, -1 all")
	return cmd
}
