package bench

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
)

//go:embed report.html
var reportText string

// reportTemplate is one page that needs nothing from anywhere: styles within, plots as
// SVG. All texts of records are escaped.
var reportTemplate = template.Must(template.New("report").Parse(reportText))

// page is what the template prints.
type page struct {
	Title   string
	Records []pageRecord
	Charts  []chart
	Rows    []pageRow
}

type pageRecord struct {
	Record
	Colour string
}

type pageRow struct {
	Group, Name, Unit string // Group only in its first row
	Cells             []pageCell
	Must, Goal        string
}

type pageCell struct{ Text, Verdict string }

// colours are how many classes of colour the page has; more records begin anew.
const colours = 6

func colour(i int) string { return fmt.Sprintf("c%d", i%colours) }

// WriteHTML prints records as one page with plots.
func WriteHTML(w io.Writer, title string, records []Record) error {
	p := page{Title: title, Charts: charts(records), Rows: rowsOf(records)}
	for i, r := range records {
		p.Records = append(p.Records, pageRecord{r, colour(i)})
	}
	return reportTemplate.Execute(w, p)
}

// rowsOf lines up the figures of all records: those of the first in their order, then
// what others have besides.
func rowsOf(records []Record) []pageRow {
	var order []Metric
	values := make([]map[string]Metric, len(records))
	seen := make(map[string]bool)
	for i, r := range records {
		values[i] = make(map[string]Metric)
		for _, m := range r.Metrics() {
			values[i][m.Key()] = m
			if !seen[m.Key()] {
				seen[m.Key()] = true
				order = append(order, m)
			}
		}
	}
	order = groupedMetrics(order)
	var rows []pageRow
	group := ""
	for _, m := range order {
		row := pageRow{Name: m.Name, Unit: m.Unit}
		if m.Group != group {
			group, row.Group = m.Group, m.Group
		}
		for i := range records {
			cell := pageCell{}
			if own, ok := values[i][m.Key()]; ok {
				cell = pageCell{own.Text(), own.Verdict()}
				if own.Must != 0 || own.Goal != 0 {
					row.Must, row.Goal = Number(own.Must), Number(own.Goal)
				}
			}
			row.Cells = append(row.Cells, cell)
		}
		rows = append(rows, row)
	}
	return rows
}

// groupedMetrics puts the figures of a group together, groups in the order of their first.
func groupedMetrics(metrics []Metric) []Metric {
	place := make(map[string]int)
	for _, m := range metrics {
		if _, known := place[m.Group]; !known {
			place[m.Group] = len(place)
		}
	}
	grouped := slices.Clone(metrics)
	slices.SortStableFunc(grouped, func(a, b Metric) int { return place[a.Group] - place[b.Group] })
	return grouped
}
