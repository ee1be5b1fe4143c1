package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/internal/vfs"
)

func newVerify() *cobra.Command {
	return &cobra.Command{
		Use:   "verify DIR",
		Short: "Read every byte of a data folder and report damage",
		Long: `Reads the log, the manifests and the segments of a folder that no server holds, checks
every checksum and count, changes nothing, and reports each damage with file and offset.`,
		Args: exactly(1, "one data folder"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if info, err := os.Stat(args[0]); err != nil {
				return err
			} else if !info.IsDir() {
				return fmt.Errorf("%s is not a folder", args[0])
			}
			if err := verifyFolder(cmd.OutOrStdout(), args[0]); err != nil {
				return err
			}
			archive := filepath.Join(args[0], archiveFolder)
			if _, err := os.Stat(archive); err != nil {
				return nil // a folder that no server has opened since there are archives
			}
			return verifyFolder(cmd.OutOrStdout(), archive)
		},
	}
}

// verifyFolder verifies one store's folder.
func verifyFolder(w io.Writer, folder string) error {
	disk, err := vfs.NewOS(folder)
	if err != nil {
		return err
	}
	damages := 0
	checked, err := cluster.Verify(disk, func(damage error) {
		damages++
		fmt.Fprintf(w, "damage: %s/%v\n", folder, damage)
	})
	if errors.Is(err, vfs.ErrLocked) {
		return fmt.Errorf("data folder %s is in use: stop the server that runs there, then verify", folder)
	}
	if err != nil {
		return fmt.Errorf("data folder %s: %w", folder, err)
	}
	if damages > 0 {
		return fmt.Errorf("%s: %d damaged places", folder, damages)
	}
	printVerified(w, folder, checked)
	return nil
}

func printVerified(w io.Writer, folder string, v cluster.Verified) {
	fmt.Fprintf(w, "%s: %d shards, %d segments with %d spans in %d bytes, %d log entries in %d bytes: no damage\n",
		folder, v.Shards, v.Segments, v.Rows, v.SegmentBytes, v.LogEntries, v.LogBytes)
	if v.LogTornBytes > 0 {
		fmt.Fprintf(w, "the log was killed while it wrote: the next start cuts %d bytes that were never acknowledged\n", v.LogTornBytes)
	}
	if v.Quarantined > 0 {
		fmt.Fprintf(w, "%d parts stand in quarantine: they were acknowledged, but could not be applied\n", v.Quarantined)
	}
}
