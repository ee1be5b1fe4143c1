package queryhttp

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"math"
	"time"
)

// family is an answer about metrics, Jaeger's MetricFamily. All series have their points at the
// same times.
type family struct {
	name, help  string
	first, step uint64 // unix nanoseconds
	series      []series
}

// MarshalJSON gives what write writes.
func (f *family) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	err := f.write(&b)
	return b.Bytes(), err
}

// write writes the family as protobuf's JSON spells it, which is how Jaeger does:
//
//	{"name":"service_call_rate","type":"GAUGE","help":"...","metrics":[
//	  {"labels":[{"name":"service_name","value":"web"}],
//	   "metricPoints":[{"gaugeValue":{"doubleValue":0.5},"timestamp":"2026-11-29T20:00:00Z"}, ...]}, ...]}
//
// The first label is the service, by which Jaeger's page names a graph; a value that is not
// there is "NaN", which the page leaves out.
func (f *family) write(to io.Writer) error {
	w := bufio.NewWriterSize(to, 64<<10)
	text := func(s string) { _, _ = w.WriteString(s) } // a failure stays, and Flush tells it
	quoted := func(s string) {
		b, _ := json.Marshal(s) // text cannot fail
		_, _ = w.Write(b)
	}
	text(`{"name":`)
	quoted(f.name)
	text(`,"type":"GAUGE","help":`)
	quoted(f.help)
	text(`,"metrics":[`)
	var b []byte
	for i, line := range f.series {
		if i > 0 {
			text(",")
		}
		text(`{"labels":[{"name":"service_name","value":`)
		quoted(line.service)
		if line.hasOperation {
			text(`},{"name":"operation","value":`)
			quoted(line.operation)
		}
		text(`}],"metricPoints":[`)
		for i, value := range line.values {
			if i > 0 {
				text(",")
			}
			b = append(b[:0], `{"gaugeValue":{"doubleValue":`...)
			b = appendDouble(b, value)
			b = append(b, `},"timestamp":"`...)
			b = appendTime(b, f.first+uint64(i)*f.step)
			b = append(b, `"}`...)
			_, _ = w.Write(b)
		}
		text("]}")
	}
	text("]}\n")
	return w.Flush()
}

func appendDouble(b []byte, value float64) []byte {
	if math.IsNaN(value) {
		return append(b, `"NaN"`...)
	}
	number, _ := json.Marshal(value) // nothing is infinite here: windows and counts are not 0
	return append(b, number...)
}

// appendTime spells a time of whole milliseconds with three digits after the second, or none.
func appendTime(b []byte, nanoseconds uint64) []byte {
	t := time.UnixMilli(int64(nanoseconds / 1e6)).UTC()
	if t.Nanosecond() == 0 {
		return t.AppendFormat(b, "2006-01-02T15:04:05Z")
	}
	return t.AppendFormat(b, "2006-01-02T15:04:05.000Z")
}
