package main

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/stoadb/stoa/engine/span"
)

// Widths of a waterfall, in characters: together a line fits in a wide terminal.
const (
	barWidth       = 40
	labelWidth     = 72
	indentWidthMax = 40 // of a deep trace; deeper spans say their depth
)

const (
	colourError = "\x1b[31m"
	colourFaint = "\x1b[2m"
	colourOff   = "\x1b[0m"
)

// waterfall is a trace laid out for printing.
type waterfall struct {
	rows     []span.Row
	children [][]int32 // by row, in order
	tops     []int32   // roots and orphans, in order
	orphan   []bool
	start    uint64 // of the trace
	length   uint64 // from there to the latest end, at least 1
	errors   int
	services int
}

// printWaterfall prints every span under its parent, in the order of time.
func printWaterfall(w io.Writer, id span.TraceID, rows []span.Row, colour bool) error {
	f := newWaterfall(rows)
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "trace %s\n%s UTC, %s, %s, %s, %s\n\n", id, timeText(f.start), durationText(f.length),
		counted(len(rows), "span"), counted(f.services, "service"), counted(f.errors, "error"))
	// An explicit stack: a trace may be a million spans deep.
	type visit struct {
		row    int32
		prefix string // of the row's children
		branch string // of the row itself
		depth  int
	}
	var stack []visit
	push := func(list []int32, prefix string, depth int, top bool) {
		for i := len(list) - 1; i >= 0; i-- {
			v := visit{list[i], prefix + "│ ", prefix + "├ ", depth}
			if i == len(list)-1 {
				v.prefix, v.branch = prefix+"  ", prefix+"└ "
			}
			if top {
				v.prefix, v.branch = "", ""
			}
			stack = append(stack, v)
		}
	}
	push(f.tops, "", 0, true)
	for len(stack) > 0 {
		v := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if utf8.RuneCountInString(v.branch) > indentWidthMax {
			v.branch = fmt.Sprintf("%*s ", indentWidthMax-1, fmt.Sprintf("depth %d", v.depth))
			v.prefix = strings.Repeat(" ", indentWidthMax+1)
		}
		fmt.Fprintln(out, f.line(v.row, v.branch, colour))
		push(f.children[v.row], v.prefix, v.depth+1, false)
	}
	return out.Flush()
}

func newWaterfall(rows []span.Row) *waterfall {
	f := &waterfall{rows: rows, children: make([][]int32, len(rows)), orphan: make([]bool, len(rows)), start: math.MaxUint64}
	ids, parents, kinds := make([]span.SpanID, len(rows)), make([]span.SpanID, len(rows)), make([]int32, len(rows))
	services := make(map[string]bool)
	end := uint64(0)
	for i, row := range rows {
		ids[i], parents[i], kinds[i] = row.SpanID(), row.ParentID(), row.Kind()
		services[string(row.Service())] = true
		f.start = min(f.start, row.Start())
		end = max(end, row.Start()+row.Duration())
		if row.StatusCode() == span.StatusError {
			f.errors++
		}
	}
	f.length, f.services = max(end-f.start, 1), len(services)
	resolved := span.ResolveParents(nil, ids, parents, kinds)
	cutRings(resolved)
	for i, parent := range resolved {
		if parent >= 0 {
			f.children[parent] = append(f.children[parent], int32(i))
			continue
		}
		f.orphan[i] = parent != span.NoParent
		f.tops = append(f.tops, int32(i))
	}
	return f
}

// cutRings breaks every ring of parents, which only wrong ids can make: one row of each
// becomes an orphan, so that no span is left out of the picture. Each row is walked over
// twice at most.
func cutRings(parents []int32) {
	const onPath, done = 1, 2
	state := make([]uint8, len(parents))
	for i := range parents {
		at, last := int32(i), int32(-1)
		for at >= 0 && state[at] == 0 {
			state[at] = onPath
			at, last = parents[at], at
		}
		if at >= 0 && state[at] == onPath {
			parents[last] = span.Orphan
		}
		for at = int32(i); at >= 0 && state[at] == onPath; at = parents[at] {
			state[at] = done
		}
	}
}

// line is the text of one row: name in the tree, begin, duration, bar.
func (f *waterfall) line(i int32, branch string, colour bool) string {
	row := f.rows[i]
	failed := row.StatusCode() == span.StatusError
	mark, on, off := " ", "", ""
	if failed {
		mark = "!"
	}
	if colour {
		off = colourOff
		if on = colourFaint; failed {
			on = colourError
		}
	}
	label := printable(string(row.Service())) + "  " + printable(string(row.Name()))
	if f.orphan[i] {
		label += " (parent " + row.ParentID().String() + " is missing)"
	}
	label = fitted(branch+label, labelWidth)
	name := label
	if failed {
		name = on + label + off
	}
	note := ""
	if row.End() < row.Start() {
		note = "  ends before it starts"
	}
	if failed {
		if message := row.Batch.Bytes(row.Batch.StatusMessages[row.Pos]); len(message) > 0 {
			note += "  " + printable(string(message))
		}
	}
	return fmt.Sprintf("%s %s %10s %10s  |%s%s%s|%s", mark, name, "+"+durationText(row.Start()-f.start),
		durationText(row.Duration()), on, f.bar(row), off, note)
}

// bar shows where in the trace the span stands.
func (f *waterfall) bar(row span.Row) string {
	place := func(t uint64) int { return int(float64(t-f.start) / float64(f.length) * barWidth) }
	begin := min(place(row.Start()), barWidth-1)
	end := min(max(place(row.Start()+row.Duration()), begin+1), barWidth)
	return strings.Repeat(" ", begin) + strings.Repeat("━", end-begin) + strings.Repeat(" ", barWidth-end)
}

// fitted pads or cuts text to width characters.
func fitted(text string, width int) string {
	n := utf8.RuneCountInString(text)
	if n <= width {
		return text + strings.Repeat(" ", width-n)
	}
	return string([]rune(text)[:width-1]) + "…"
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
