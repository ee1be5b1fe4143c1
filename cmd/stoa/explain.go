package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/stoadb/stoa/engine/span"
)

// printExplained says what a search did, in the order in which it did it: what was passed over
// and why, and what was left to be read.
func printExplained(w io.Writer, e span.Explained) error {
	var text strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&text, format+"\n", args...) }
	line("The search took %.3f ms, over all shards:", e.Milliseconds)
	line("  memory      %d batches, %d passed over by time or duration, %d by what is nowhere in them", e.Batches, e.BatchesByTime, e.BatchesByTexts)
	line("  segments    %d, passed over: %d by time or duration, %d by what is nowhere in them, %d older than the answer",
		e.Segments, e.SegmentsByTime, e.SegmentsByTerms, e.SegmentsNotReached)
	line("  templates   %d in the others, %d may match", e.Templates, e.TemplatesMatched)
	line("  row groups  %d in the others, passed over: %d by time or duration, %d by templates and resources and how long they last, %d by filters",
		e.Groups, e.GroupsByTime, e.GroupsByTemplate, e.GroupsByFilter)
	line("  not reached %d row groups and batches older than the answer", e.GroupsNotReached)
	line("  pages       %d read from files, %d open already", e.PagesRead, e.PagesKept)
	line("  rows        %d decided without being read, %d read", e.RowsByTemplate, e.RowsRead)
	_, err := io.WriteString(w, text.String())
	return err
}
