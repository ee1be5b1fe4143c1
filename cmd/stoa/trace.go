package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

func newTrace() *cobra.Command {
	var target targetFlags
	var output outputFlags
	cmd := &cobra.Command{
		Use:   "trace ID",
		Short: "Show one trace as a waterfall",
		Long: `Shows one trace, by its id of up to 32 hex digits: every span under its parent, when it
began, how long it took, and which failed.`,
		Args: exactly(1, "one trace id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := span.ParseTraceID(args[0])
			if err != nil {
				return usageError{err}
			}
			return withStore(cmd, target, func(ctx context.Context, s asked) error {
				rows, err := traceRows(ctx, s, id)
				if err != nil {
					return err
				}
				return printTrace(cmd.OutOrStdout(), output.form, id, rows)
			})
		},
	}
	target.add(cmd)
	output.add(cmd, "waterfall", "json", "jsonl")
	return cmd
}

// traceRows asks for a trace and gives its spans in the order of span.Compare.
func traceRows(ctx context.Context, s asked, id span.TraceID) ([]span.Row, error) {
	var rows []span.Row
	err := s.GetTraces(ctx, []span.TraceID{id}, func(chunk []byte) error {
		b, _, err := otlp.Walk(chunk)
		if err != nil {
			return fmt.Errorf("the answer: %w", err)
		}
		for pos := range b.Len() {
			rows = append(rows, span.Row{Batch: b, Pos: pos})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("trace %s not found", id)
	}
	slices.SortFunc(rows, span.Compare) // an answer has them by resource
	return rows, nil
}

func printTrace(w io.Writer, form string, id span.TraceID, rows []span.Row) error {
	if form == "waterfall" {
		return printWaterfall(w, id, rows, colours())
	}
	documents := make([]spanJSON, len(rows))
	for i, row := range rows {
		documents[i] = spanToJSON(row)
	}
	if form == "jsonl" {
		return printJSONLines(w, documents)
	}
	return printJSON(w, documents)
}

// spanJSON is a span as the commands print it. Attributes are a list: keys may repeat.
// Values are text, spelled as searches compare them.
type spanJSON struct {
	TraceID       string          `json:"traceId"`
	SpanID        string          `json:"spanId"`
	ParentID      string          `json:"parentSpanId,omitempty"`
	Service       string          `json:"service"`
	Name          string          `json:"name"`
	Kind          string          `json:"kind,omitempty"`
	Start         string          `json:"start"`
	StartUnixNano string          `json:"startUnixNano"`
	EndUnixNano   string          `json:"endUnixNano"`
	Status        string          `json:"status,omitempty"`
	StatusMessage string          `json:"statusMessage,omitempty"`
	Attributes    []attributeJSON `json:"attributes"`
	Resource      []attributeJSON `json:"resource"`
	Events        []eventJSON     `json:"events,omitempty"`
	Links         []linkJSON      `json:"links,omitempty"`
}

type attributeJSON struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

type eventJSON struct {
	TimeUnixNano string          `json:"timeUnixNano"`
	Name         string          `json:"name"`
	Attributes   []attributeJSON `json:"attributes"`
}

type linkJSON struct {
	TraceID    string          `json:"traceId"`
	SpanID     string          `json:"spanId"`
	Attributes []attributeJSON `json:"attributes"`
}

var statusNames = map[int32]string{span.StatusUnset: "", span.StatusOK: "ok", span.StatusError: "error"}

func spanToJSON(row span.Row) spanJSON {
	b := row.Batch
	id, traceID := row.SpanID(), row.TraceID()
	out := spanJSON{
		TraceID: traceID.String(), SpanID: id.String(), Service: string(row.Service()), Name: string(row.Name()),
		Kind: kindName(row.Kind()), Start: timeOf(row.Start()).Format(time.RFC3339Nano),
		StartUnixNano: strconv.FormatUint(row.Start(), 10), EndUnixNano: strconv.FormatUint(row.End(), 10),
		StatusMessage: b.String(b.StatusMessages[row.Pos]),
		Attributes:    attributesJSON(b, row.AppendAttrs(nil)),
		Resource:      attributesJSON(b, b.ResourceAttrsOf(b.ResourceIDs[row.Pos])),
	}
	if parent := row.ParentID(); !parent.IsZero() {
		out.ParentID = parent.String()
	}
	status, ok := statusNames[row.StatusCode()]
	if !ok {
		status = fmt.Sprint(row.StatusCode())
	}
	out.Status = status
	for i, end := row.EventRange(); i < end; i++ {
		e := b.Events[i]
		out.Events = append(out.Events, eventJSON{strconv.FormatUint(e.Time, 10), b.String(e.Name), attributesJSON(b, b.EventAttrsOf(i))})
	}
	for i, end := row.LinkRange(); i < end; i++ {
		l := b.Links[i]
		out.Links = append(out.Links, linkJSON{hex.EncodeToString(l.TraceID[:]), hex.EncodeToString(l.SpanID[:]), attributesJSON(b, b.LinkAttrsOf(i))})
	}
	return out
}

func attributesJSON(b *span.Batch, attrs []span.Attr) []attributeJSON {
	out := make([]attributeJSON, 0, len(attrs))
	for _, a := range attrs {
		out = append(out, attributeJSON{b.String(a.Key), string(otlp.AppendText(nil, b, a))})
	}
	return out
}
