package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
)

const analyzeLong = `Tells where the bytes of a data folder's segments went: by column and attribute, by
attribute key with how many values differ, and by segment with what its templates are worth
and what part of it the index takes. No server may hold the folder; nothing is changed.
Spans that stand in the log alone are not counted: a server that stops in order leaves none.
The folders of tenants are told of one after the other, after what lies beside them.

BYTES are those of the file; TEXT BYTES those of an attribute's texts as they came, and IN
TEMPLATES how many of its values cost no bytes of a column. Where a range of distinct values
is given, segments cannot tell which of theirs are the same.`

func newAnalyze() *cobra.Command {
	var output outputFlags
	var top int
	cmd := &cobra.Command{
		Use:     "analyze DIR",
		Short:   "Tell where the bytes of a data folder went, and which attributes vary most",
		Long:    analyzeLong,
		Example: "  stoa analyze ./stoa-data --top 10\n  stoa analyze ./stoa-data --output json",
		Args:    exactly(1, "one data folder"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if top < 0 {
				return usagef("--top %d: want how many, or 0 for all", top)
			}
			if info, err := os.Stat(args[0]); err != nil {
				return err
			} else if !info.IsDir() {
				return fmt.Errorf("%s is not a folder; stoa inspect reads files", args[0])
			}
			found, damages, err := analyzeFolder(cmd, args[0], top)
			if err != nil {
				return err
			}
			tenants, err := tenantsIn(args[0])
			if err != nil {
				return err
			}
			for _, name := range tenants {
				one, damaged, err := analyzeFolder(cmd, filepath.Join(args[0], tenantsFolder, name), top)
				if err != nil {
					return err
				}
				damages += damaged
				one.Tenant = name
				found.Tenants = append(found.Tenants, one)
			}
			if err := printAnalysis(cmd.OutOrStdout(), output.form, found); err != nil {
				return err
			}
			if damages > 0 {
				return fmt.Errorf("%s: %d damaged files are left out; stoa verify finds every damage", args[0], damages)
			}
			return nil
		},
	}
	output.add(cmd, "table", "json")
	cmd.Flags().IntVar(&top, "top", 20, "columns and keys to tell of, the largest first; 0 all")
	return cmd
}

// analyzeFolder analyzes one store's folder, and tells damage at once.
func analyzeFolder(cmd *cobra.Command, folder string, top int) (out analysisJSON, damages int, err error) {
	disk, err := vfs.NewOS(folder)
	if err != nil {
		return out, 0, err
	}
	found, err := cluster.Analyze(cmd.Context(), disk, func(damage error) {
		damages++
		fmt.Fprintf(cmd.ErrOrStderr(), "damage: %s/%v\n", folder, damage)
	})
	if errors.Is(err, vfs.ErrLocked) {
		return out, damages, fmt.Errorf("data folder %s is in use: stop the server that runs there, then analyze", folder)
	}
	if err != nil {
		return out, damages, fmt.Errorf("data folder %s: %w", folder, err)
	}
	return analysisToJSON(found, top), damages, nil
}

// analysisJSON is a cluster.Analysis as the command prints it.
type analysisJSON struct {
	Tenant       string                `json:"tenant,omitempty"`
	Shards       int                   `json:"shards"`
	Spans        int64                 `json:"spans"`
	Traces       int64                 `json:"traces"`
	Bytes        int64                 `json:"bytes"`
	BytesPerSpan float64               `json:"bytesPerSpan"`
	IndexBytes   int64                 `json:"indexBytes"`
	IndexShare   float64               `json:"indexShare"`
	LogBytes     int64                 `json:"logBytes"`
	Parts        []partJSON            `json:"parts"`
	PartsLeft    int                   `json:"partsLeft"`
	Keys         []keyJSON             `json:"keys"`
	KeysLeft     int                   `json:"keysLeft"`
	KeysCut      bool                  `json:"keysCut"`
	Segments     []segmentAnalysisJSON `json:"segments"`
	Tenants      []analysisJSON        `json:"tenants,omitempty"` // of the folder; not counted above
}

type partJSON struct {
	Part         string  `json:"part"`
	Pages        int     `json:"pages"`
	Bytes        int64   `json:"bytes"`
	BytesPerSpan float64 `json:"bytesPerSpan"`
	Share        float64 `json:"share"`
	Values       uint64  `json:"values"`
	InTemplates  uint64  `json:"inTemplates"`
	TextBytes    uint64  `json:"textBytes"`
}

type segmentAnalysisJSON struct {
	Segment      string          `json:"segment"`
	Spans        int             `json:"spans"`
	Traces       int             `json:"traces"`
	Bytes        int64           `json:"bytes"`
	BytesPerSpan float64         `json:"bytesPerSpan"`
	IndexBytes   int64           `json:"indexBytes"`
	IndexShare   float64         `json:"indexShare"`
	Templates    []templatesJSON `json:"templates"`
}

type templatesJSON struct {
	Level         string  `json:"level"`
	Templates     int     `json:"templates"`
	OfRowGroups   int     `json:"ofRowGroups"`
	Items         uint64  `json:"items"`
	PerTemplate   float64 `json:"itemsPerTemplate"`
	MostUsedShare float64 `json:"mostUsedShare"` // items of the 10 most used templates
	OwnShare      float64 `json:"ofRowGroupsShare"`
}

// share is part of whole, 0 of nothing.
func share[N int | int64 | uint64](part, whole N) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

func analysisToJSON(a cluster.Analysis, top int) analysisJSON {
	out := analysisJSON{Shards: a.Shards, LogBytes: a.LogBytes, KeysCut: a.Keys.Cut, Parts: []partJSON{}, Keys: []keyJSON{}, Segments: []segmentAnalysisJSON{}}
	for _, s := range a.Segments {
		out.Spans += int64(s.Info.Rows)
		out.Traces += int64(s.Info.Traces)
		out.Bytes += s.Info.Bytes
		out.IndexBytes += s.IndexBytes
		out.Segments = append(out.Segments, segmentToJSON(s))
	}
	out.BytesPerSpan, out.IndexShare = share(out.Bytes, out.Spans), share(out.IndexBytes, out.Bytes)
	for _, p := range a.Parts {
		out.Parts = append(out.Parts, partJSON{p.What, p.Pages, p.Bytes, share(p.Bytes, out.Spans), share(p.Bytes, out.Bytes), p.Values, p.Folded, p.TextBytes})
	}
	out.Keys = keysToJSON(a.Keys, nil).Keys
	slices.SortStableFunc(out.Keys, func(a, b keyJSON) int {
		return cmp.Or(cmp.Compare(b.DistinctMax, a.DistinctMax), cmp.Compare(b.TextBytes, a.TextBytes))
	})
	out.Parts, out.PartsLeft = topOf(out.Parts, top)
	out.Keys, out.KeysLeft = topOf(out.Keys, top)
	return out
}

// topOf gives the first ones of a list, all for 0, and how many are left.
func topOf[T any](list []T, top int) (first []T, left int) {
	if top == 0 || top >= len(list) {
		return list, 0
	}
	return list[:top], len(list) - top
}

func segmentToJSON(s segment.Analysis) segmentAnalysisJSON {
	out := segmentAnalysisJSON{
		Segment: s.Info.Name, Spans: s.Info.Rows, Traces: s.Info.Traces, Bytes: s.Info.Bytes, BytesPerSpan: share(s.Info.Bytes, int64(s.Info.Rows)),
		IndexBytes: s.IndexBytes, IndexShare: share(s.IndexBytes, s.Info.Bytes), Templates: []templatesJSON{},
	}
	for level, t := range s.Templates {
		if t.Items == 0 {
			continue
		}
		out.Templates = append(out.Templates, templatesJSON{
			Level: span.Level(level).String(), Templates: t.Shared, OfRowGroups: t.Own, Items: t.Items,
			PerTemplate: share(t.Items, uint64(t.Shared+t.Own)), MostUsedShare: share(t.MostUsed, t.Items), OwnShare: share(t.OwnItems, t.Items),
		})
	}
	return out
}

func printAnalysis(w io.Writer, form string, a analysisJSON) error {
	if form == "json" {
		return printJSON(w, a)
	}
	if err := printAnalysisTables(w, a); err != nil {
		return err
	}
	for _, tenant := range a.Tenants {
		fmt.Fprintf(w, "\nTenant %s: ", tenant.Tenant)
		if err := printAnalysisTables(w, tenant); err != nil {
			return err
		}
	}
	return nil
}

func printAnalysisTables(w io.Writer, a analysisJSON) error {
	fmt.Fprintf(w, "%d spans in %d traces, %d segments of %d shards: %d bytes, %.2f a span; the index takes %s\n",
		a.Spans, a.Traces, len(a.Segments), a.Shards, a.Bytes, a.BytesPerSpan, percent(a.IndexShare))
	fmt.Fprintf(w, "The log takes %d bytes; spans that stand there alone are not counted.\n", a.LogBytes)
	if len(a.Segments) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	if err := printParts(w, a); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if err := printVarying(w, a); err != nil {
		return err
	}
	fmt.Fprintln(w)
	return printSegments(w, a.Segments)
}

func percent(share float64) string { return strconv.FormatFloat(100*share, 'f', 1, 64) + " %" }

func printParts(w io.Writer, a analysisJSON) error {
	rows := make([][]string, len(a.Parts))
	for i, p := range a.Parts {
		rows[i] = []string{
			p.Part, strconv.FormatInt(p.Bytes, 10), strconv.FormatFloat(p.BytesPerSpan, 'f', 3, 64), percent(p.Share), strconv.Itoa(p.Pages),
			dash(p.Values), dash(p.InTemplates), dash(p.TextBytes),
		}
	}
	if err := printTable(w, []string{"PART", "BYTES", "A SPAN", "SHARE", "PAGES", "VALUES", "IN TEMPLATES", "TEXT BYTES"}, rows); err != nil {
		return err
	}
	return printLeft(w, a.PartsLeft, "smaller parts")
}

// dash is a number, or a dash for 0.
func dash(n uint64) string {
	if n == 0 {
		return "-"
	}
	return strconv.FormatUint(n, 10)
}

func printLeft(w io.Writer, left int, what string) error {
	if left == 0 {
		return nil
	}
	_, err := fmt.Fprintf(w, "and %d %s (--top 0 tells of all)\n", left, what)
	return err
}

func printVarying(w io.Writer, a analysisJSON) error {
	rows := make([][]string, len(a.Keys))
	for i, k := range a.Keys {
		rows[i] = []string{k.Level, k.Key, k.Type, distinctText(k.DistinctMin, k.DistinctMax), strconv.FormatUint(k.Values, 10), dash(k.TextBytes)}
	}
	if err := printTable(w, []string{"LEVEL", "KEY", "TYPE", "DISTINCT", "VALUES", "TEXT BYTES"}, rows); err != nil {
		return err
	}
	return printLeft(w, a.KeysLeft, "keys with fewer distinct values")
}

func printSegments(w io.Writer, segments []segmentAnalysisJSON) error {
	var rows [][]string
	for _, s := range segments {
		rows = append(rows, []string{
			s.Segment, strconv.Itoa(s.Spans), strconv.FormatInt(s.Bytes, 10), strconv.FormatFloat(s.BytesPerSpan, 'f', 2, 64), percent(s.IndexShare),
		})
	}
	if err := printTable(w, []string{"SEGMENT", "SPANS", "BYTES", "A SPAN", "INDEX"}, rows); err != nil {
		return err
	}
	fmt.Fprintln(w)
	rows = nil
	for _, s := range segments {
		for _, t := range s.Templates {
			rows = append(rows, []string{
				s.Segment, t.Level, strconv.Itoa(t.Templates), strconv.Itoa(t.OfRowGroups), strconv.FormatUint(t.Items, 10),
				strconv.FormatFloat(t.PerTemplate, 'f', 1, 64), percent(t.MostUsedShare), percent(t.OwnShare),
			})
		}
	}
	return printTable(w, []string{"SEGMENT", "LEVEL", "TEMPLATES", "OF ROW GROUPS", "ITEMS", "A TEMPLATE", "IN THE 10 MOST USED", "IN THOSE OF ROW GROUPS"}, rows)
}
