package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// WriteMarkdown prints records side by side as one table, for documents: a column for each
// label, which a load and questions may share, and for each API besides gRPC that it was asked
// over; a row for each figure of a load and each class, p50 / p99 of right answers in
// milliseconds. Beside them stands how many were wrong.
func WriteMarkdown(w io.Writer, records []Record) error {
	var t markdown
	for _, r := range records {
		t.add(r)
	}
	var text strings.Builder
	for _, line := range t.about {
		fmt.Fprintf(&text, "%s\n", line)
	}
	fmt.Fprintf(&text, "\n| | %s |\n|---|%s\n", strings.Join(t.columns, " | "), strings.Repeat("--:|", len(t.columns)))
	for _, row := range t.rows {
		fmt.Fprintf(&text, "| %s |", row)
		for _, column := range t.columns {
			fmt.Fprintf(&text, " %s |", t.cells[[2]string{row, column}])
		}
		text.WriteByte('\n')
	}
	if len(t.notes) > 0 {
		text.WriteByte('\n')
	}
	for _, note := range t.notes {
		fmt.Fprintf(&text, "- %s: %s\n", strings.Join(t.of[note], "; "), note)
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// markdown is a table while it grows; rows, columns and lines are in the order in which they
// first came.
type markdown struct {
	about, columns, rows, notes []string
	cells                       map[[2]string]string // by row and column
	of                          map[string][]string  // columns by note
}

func (t *markdown) add(r Record) {
	column := inline(r.Label)
	if r.API != "" && r.API != StorageGRPC {
		column += ", " + string(r.API)
	}
	once(&t.columns, column)
	once(&t.about, inline(fmt.Sprintf("%s; %d processors, %s, %s, %s", r.Source.Name, r.Machine.Processors, r.Machine.Model, r.Machine.System, r.Machine.Go)))
	for _, m := range r.Metrics() {
		if m.Group == "load" && slices.Contains(markdownFigures, m.Name) {
			t.set("load: "+m.Name+", "+m.Unit, column, m.Text())
		}
	}
	if r.Load != nil {
		if r.Load.Rejected > 0 {
			t.note(column, fmt.Sprintf("%d of %d spans rejected", r.Load.Rejected, r.Load.Spans))
		}
		t.set("load: others used, % of the machine", column, fmt.Sprintf("%.0f", 100*r.Load.Settled.OthersShare))
		switch r.Load.SettledBy {
		case "", "quiet":
		case "not quiet":
			t.note(column, "was not quiet when it was read")
		default:
			t.note(column, "settled: "+r.Load.SettledBy)
		}
	}
	if r.Asking != nil {
		t.set("questions: others used, % of the machine", column, fmt.Sprintf("%.0f", 100*r.Asking.OthersShare))
	}
	for _, q := range r.Queries {
		cell := noFigure
		if q.Timed() {
			cell = Number(q.MS.P50) + " / " + Number(q.MS.P99)
		}
		if q.Wrong > 0 {
			cell += fmt.Sprintf(" (**%d of %d wrong**)", q.Wrong, q.Asked)
			t.note(column, fmt.Sprintf("%d of %d wrong, the first: %s", q.Wrong, q.Asked, q.FirstWrong))
		}
		t.set(q.Group()+", ms", column, cell)
	}
	var reasons []string
	classes := make(map[string][]string) // not asked, by reason
	for _, note := range r.Notes {
		class, why, ok := strings.Cut(note, notAsked("", ""))
		if !ok {
			t.note(column, note)
			continue
		}
		once(&reasons, why)
		classes[why] = append(classes[why], class)
	}
	for _, why := range reasons {
		t.note(column, notAsked(strings.Join(classes[why], ", "), why))
	}
}

// note adds a line about a column; columns share one that says the same.
func (t *markdown) note(column, text string) {
	if t.of == nil {
		t.of = make(map[string][]string)
	}
	text = inline(text)
	once(&t.notes, text)
	t.of[text] = append(t.of[text], column)
}

// markdownFigures are the figures of a load that say something beside another store's.
var markdownFigures = []string{"spans", "CPU accepted", "CPU settled", "RssAnon peak", "disk", "written"}

func (t *markdown) set(row, column, cell string) {
	if t.cells == nil {
		t.cells = make(map[[2]string]string)
	}
	row = inline(row)
	once(&t.rows, row)
	t.cells[[2]string{row, column}] = cell
}

// inline spells a text from elsewhere so that it stays in its cell, or line, of the document.
func inline(text string) string {
	return strings.NewReplacer(`\`, `\\`, "|", `\|`, "\r\n", " ", "\n", " ", "\r", " ").Replace(text)
}

// once adds a line that is not there yet.
func once(lines *[]string, line string) {
	if !slices.Contains(*lines, line) {
		*lines = append(*lines, line)
	}
}
