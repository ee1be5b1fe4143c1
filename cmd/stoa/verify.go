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
every checksum and count, changes nothing but the lock file, and reports each damage with file and offset.
The archive in it and the folders of tenants are read too.`,
		Args: exactly(1, "one data folder"),
		RunE: func(cmd *cobra.Command, args []string) error {
			folders, err := folderStores(args[0])
			if err != nil {
				return err
			}
			errs := make([]error, len(folders))
			for i, folder := range folders {
				if errs[i] = verifyFolder(cmd.OutOrStdout(), folder); errors.Is(errs[i], errInUse) {
					break // and so is what lies in it
				}
			}
			return errors.Join(errs...)
		},
	}
}

// storeFolders lists the folders of a data folder's stores: its own, those of its tenants, and
// the archive of each. A folder that no server has opened since there are archives has none.
func storeFolders(data string) ([]string, error) {
	tenants, err := tenantsIn(data)
	if err != nil {
		return nil, err
	}
	mains := []string{data}
	for _, name := range tenants {
		mains = append(mains, filepath.Join(data, tenantsFolder, name))
	}
	var folders []string
	for _, folder := range mains {
		folders = append(folders, folder)
		if archive := filepath.Join(folder, archiveFolder); isFolder(archive) {
			folders = append(folders, archive)
		}
	}
	return folders, nil
}

func isFolder(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

var errInUse = errors.New("is in use: stop the server that runs there first")

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
		return fmt.Errorf("data folder %s %w", folder, errInUse)
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
		fmt.Fprintf(w, "the log was killed while it wrote: the next start cuts %d bytes that no sync had covered\n", v.LogTornBytes)
	}
	if v.Quarantined > 0 {
		fmt.Fprintf(w, "%d parts stand in quarantine: they were acknowledged, but could not be applied\n", v.Quarantined)
	}
}
