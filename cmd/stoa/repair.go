package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/internal/vfs"
)

func newRepair() *cobra.Command {
	var yes bool
	command := &cobra.Command{
		Use:   "repair DIR",
		Short: "Take what is damaged out of a data folder, so that it starts",
		Long: `Reads what verify reads, of a folder that no server holds, and tells what a repair drops.
Without --yes that is all: nothing is changed, and the exit code is 1 where something would be dropped. With --yes
it is done, and the folder is verified again.

Nothing is deleted. Files that go out are moved to repaired/TIME in the folder of their store, under the names
that they had. A repair that was stopped is run again, and goes on.

  the log       is begun anew with the entries that no segment holds yet. Of each shard those stay that follow each
                other; behind an entry that is damaged or missing none can be applied, and all go.
  segments      that are damaged or missing go whole, however little of them is damaged; where it is a few pages,
                a server starts and answers what does not need them. Segments beside them that no manifest names
                are moved aside, as a start would remove them.
  quarantine    parts that are not what their names say go.
  imports       the ledger of imports goes with any of log and segments: a file that is imported again stores
                what was dropped, and nothing twice.

Not repaired, because it would have to be guessed: a damaged epoch record; a manifest that is damaged, missing,
older than the log, or that names a missing segment while one that it does not name is there; what the disk does not give; what a newer Stoa wrote.`,
		Args: exactly(1, "one data folder"),
		RunE: func(cmd *cobra.Command, args []string) error {
			folders, err := folderStores(args[0])
			if err != nil {
				return err
			}
			errs := make([]error, len(folders))
			for i, folder := range folders {
				errs[i] = repairFolder(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), folder, yes)
				if errors.Is(errs[i], errInUse) || cmd.Context().Err() != nil {
					break
				}
			}
			return errors.Join(errs...)
		},
	}
	command.Flags().BoolVar(&yes, "yes", false, "do it; else only what would be dropped is told")
	return command
}

// folderStores is storeFolders of a folder that is there.
func folderStores(folder string) ([]string, error) {
	if info, err := os.Stat(folder); err != nil {
		return nil, err
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%s is not a folder", folder)
	}
	return storeFolders(folder)
}

// repairFolder repairs one store's folder.
func repairFolder(ctx context.Context, out, progress io.Writer, folder string, yes bool) error {
	disk, err := vfs.NewOS(folder)
	if err != nil {
		return err
	}
	fmt.Fprintf(progress, "repair: reading %s\n", folder)
	r, err := cluster.PlanRepair(disk, !yes, func(damage error) {
		fmt.Fprintf(out, "damage: %s/%s\n", folder, outline(damage))
	})
	if errors.Is(err, vfs.ErrLocked) {
		return fmt.Errorf("data folder %s %w", folder, errInUse)
	}
	if err != nil {
		return fmt.Errorf("data folder %s: %w", folder, err)
	}
	if r.Needed() {
		printRepair(out, disk, folder, r, yes)
	} else {
		fmt.Fprintf(out, "%s: no damage\n", folder)
	}
	if !r.Needed() || !yes {
		err := r.Close()
		if r.Needed() {
			err = errors.Join(fmt.Errorf("%s: %d damaged places; nothing was changed, --yes does what stands above", folder, r.Damages), err)
		}
		return err
	}
	err = r.Do(ctx, time.Now(), func(step string) { fmt.Fprintf(progress, "repair: %s\n", step) })
	if err = errors.Join(err, r.Close()); err != nil {
		return fmt.Errorf("data folder %s: the repair did not come to its end; run it again: %w", folder, err)
	}
	fmt.Fprintf(out, "%s: repaired; what was taken out is in %s/%s\n", folder, folder, r.Aside())
	fmt.Fprintf(progress, "repair: verifying %s\n", folder)
	return verifyFolder(out, folder)
}

// outline is the first line of a damage: a page that cannot be read brings many with it, which verify tells.
func outline(damage error) string {
	first, rest, more := strings.Cut(damage.Error(), "\n")
	if !more {
		return first
	}
	return fmt.Sprintf("%s (and %d more, which verify tells)", first, strings.Count(rest, "\n")+1)
}

// printRepair tells what is dropped.
func printRepair(w io.Writer, disk vfs.FS, folder string, r *cluster.Repair, yes bool) {
	would := "would be "
	if yes {
		would = ""
	}
	if r.Log != nil {
		printLogRepair(w, folder, r.Log, would)
	}
	for _, s := range r.Segments {
		fmt.Fprintf(w, "%staken out: %s/%s of %d spans in %d bytes, entries of Seq %d to %d%s\n",
			would, folder, s.File, s.Rows, s.Bytes, s.FirstSeq, s.LastSeq, segmentTimes(disk, s))
	}
	for _, stray := range r.Strays {
		fmt.Fprintf(w, "%smoved: %s/%s, which no manifest names: a start would remove it, and what a merge had read may stand in it\n", would, folder, stray)
	}
	for _, part := range r.Parts {
		fmt.Fprintf(w, "%staken out: %s/%s\n", would, folder, part.File)
	}
	if r.Ledger {
		fmt.Fprintf(w, "%staken out: %s/imports, so that files can be imported again\n", would, folder)
	}
}

func printLogRepair(w io.Writer, folder string, l *cluster.LogRepair, would string) {
	if l.Stopped {
		fmt.Fprintf(w, "%s: a repair was stopped behind the new log; what it drops it has told\n", folder)
	}
	for _, u := range l.Unread {
		fmt.Fprintf(w, "%sdropped: %s/%s: offset %d: %d bytes that nobody can read, or that were never acknowledged\n",
			would, folder, u.File, u.Offset, u.Bytes)
	}
	for _, s := range l.Streams {
		if s.First > 0 {
			fmt.Fprintf(w, "%sdropped: shard %d: Seq %d to %d%s\n", would, s.Shard, s.First, s.Last, entriesWhole(s))
		}
		if s.Begins && s.Anew == 0 {
			fmt.Fprintf(w, "shard %d: there are no segments, and the log has nothing that can stay; what it held in files that are missing is lost\n", s.Shard)
		}
		if s.Begins && s.Anew > 0 {
			fmt.Fprintf(w, "shard %d: segments hold all up to Seq %d, and the log nothing that can stay; were there newer entries in files that are missing, they are lost\n", s.Shard, s.Anew)
		}
	}
	fmt.Fprintf(w, "%smoved: %d log files; in their place one with the entries that stay:", would, len(l.Files))
	for _, s := range l.Streams {
		fmt.Fprintf(w, " shard %d: %d.", s.Shard, s.Kept)
	}
	fmt.Fprintln(w)
}

// entriesWhole tells what is known of entries that are dropped.
func entriesWhole(s cluster.LostEntries) string {
	text := fmt.Sprintf(", %d entries; %d of them are whole", s.Last-s.First+1, s.Entries-s.Unread)
	if s.Entries > s.Unread {
		text += fmt.Sprintf(" and hold %d spans, received %s to %s", s.Spans, instant(s.ReceivedMin), instant(s.ReceivedMax))
	}
	return text
}

// segmentTimes tells from when to when the spans of a damaged segment began, as far as that can be read.
func segmentTimes(disk vfs.FS, s *engine.DamagedSegment) string {
	from, to, ok := s.Times(disk)
	if !ok {
		return ", of times that nobody can read"
	}
	return fmt.Sprintf(", begun %s to %s", instant(int64(from)), instant(int64(to)))
}

// instant is a time of which only the unix nanoseconds are known.
func instant(nanos int64) string { return time.Unix(0, nanos).UTC().Format(time.RFC3339) }
