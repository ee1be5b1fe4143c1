package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/stoadb/stoa/bench/workload"
)

// Record is what one run measured, as it is kept in files. Parts that were not measured
// are absent.
type Record struct {
	Format  int     `json:"format"` // recordFormat
	Label   string  `json:"label"`  // of what was measured: "stoa", "jaeger memory"
	Version string  `json:"version,omitempty"`
	API     API     `json:"api,omitempty"` // over which Queries were asked; "" is StorageGRPC
	Time    string  `json:"time"`          // RFC 3339
	Machine Host    `json:"machine"`
	Source  Sourced `json:"source"`

	Load    *LoadRecord   `json:"load,omitempty"`
	Open    *OpenRecord   `json:"open,omitempty"`
	Queries []QueryRecord `json:"queries,omitempty"`
	// Asking is of all Queries together, where the server's process was known; of a run those but
	// of ingest, whose sender would count with the others.
	Asking    *Cost        `json:"asking,omitempty"`
	Baselines []SinkRecord `json:"baselines,omitempty"`
	Zstd      []ZstdRecord `json:"zstd,omitempty"`
	Notes     []string     `json:"notes,omitempty"` // what was skipped, and why
}

// recordFormat is the version of Record: a reader refuses a greater one.
const recordFormat = 1

// Host is the machine that measured.
type Host struct {
	Processors int    `json:"processors"`
	Model      string `json:"model"`
	System     string `json:"system"`
	Go         string `json:"go"`
}

// Sourced is what was sent.
type Sourced struct {
	Name     string           `json:"name"`
	Spans    int64            `json:"spans"`
	Bytes    int64            `json:"bytes"` // of OTLP
	Workload *workload.Config `json:"workload,omitempty"`
	Times    int              `json:"times,omitempty"` // copies, where amplified
}

// NewRecord begins a record about spans that were counted.
func NewRecord(label, version string, source *Source, spans, bytes int64) Record {
	return Record{
		Format: recordFormat, Label: label, Version: version, Time: time.Now().UTC().Format(time.RFC3339), Machine: thisHost(),
		Source: Sourced{Name: source.Name(), Spans: spans, Bytes: bytes, Workload: source.workload, Times: source.amplify.Times},
	}
}

func thisHost() Host {
	h := Host{Processors: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version()}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, model, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				h.Model = strings.TrimSpace(model)
				break
			}
		}
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		h.System += ", Linux " + strings.TrimSpace(string(b))
	}
	return h
}

// LoadRecord is what a load took.
type LoadRecord struct {
	Target       string  `json:"target"`
	Connections  int     `json:"connections"`
	SpansASecond float64 `json:"paced,omitempty"` // the rate asked for
	Requests     int     `json:"requests"`
	Spans        int64   `json:"spans"` // sent, rejected ones too
	Bytes        int64   `json:"bytes"`
	Rejected     int64   `json:"rejected"` // spans
	Retries      int     `json:"retries"`
	Seconds      float64 `json:"seconds"` // until the last request was acknowledged
	Export       Spread  `json:"export_ms"`
	Accepted     Cost    `json:"accepted"` // of the load alone
	Settled      Cost    `json:"settled"`  // of the load and what came after it
	// How the server settled: "flushed and merged by policy", "flushed and compacted", "quiet",
	// "not quiet" or "not waited for".
	SettledBy  string `json:"settled_by"`
	DiskBytes  int64  `json:"disk_bytes"`  // 0 where no folder was given
	DiskBlocks int64  `json:"disk_blocks"` // bytes that the disk gave for them
}

// Spread is how long calls took, in milliseconds.
type Spread struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// SpreadOf gives the quantiles of times.
func SpreadOf(t Times) Spread {
	ms := func(q float64) float64 { return t.Quantile(q).Seconds() * 1e3 }
	return Spread{ms(0.5), ms(0.9), ms(0.99), ms(1)}
}

// OpenRecord is how long a start with what was loaded took.
type OpenRecord struct {
	MS float64 `json:"ms"` // from the start of the process to the first 200 of /ready
}

// QueryRecord is what the questions of one class took.
type QueryRecord struct {
	Class   string `json:"class"`
	State   string `json:"state"` // cold, warm or ingest
	Clients int    `json:"clients"`
	Asked   int    `json:"asked"`
	Wrong   int    `json:"wrong"` // answers, refusals too
	// FirstWrong says how the first wrong answer differs from the truth.
	FirstWrong string `json:"first_wrong,omitempty"`
	// What follows is of right answers, and absent where none was: see Timed. In records of before
	// wrong answers are among it.
	MS      Spread  `json:"ms,omitzero"`
	ASecond float64 `json:"a_second,omitzero"` // questions, of all clients together
	Answers float64 `json:"answers"`           // traces or other things of an answer, mean
	// IngestSpansASecond is what arrived meanwhile, of all classes of the state together.
	IngestSpansASecond float64 `json:"ingest_spans_a_second,omitempty"`
}

// Timed tells whether there are figures: an answer that was timed was right.
func (q QueryRecord) Timed() bool {
	noneRight := q.Wrong > 0 && q.Wrong >= q.Asked // records of before have figures then too
	return !noneRight && q.MS != (Spread{})
}

// Shown gives the median and the 99th percentile as text, "-" where there is none.
func (q QueryRecord) Shown() (p50, p99 string) {
	if !q.Timed() {
		return noFigure, noFigure
	}
	return Number(q.MS.P50), Number(q.MS.P99)
}

// wrongText says how many answers were wrong, and how the first.
func (q QueryRecord) wrongText() string {
	return fmt.Sprintf("%s: %d of %d answers, the first: %s", q.Group(), q.Wrong, q.Asked, q.FirstWrong)
}

// WrongAnswers is how many there were to all questions.
func (r Record) WrongAnswers() (wrong int) {
	for _, q := range r.Queries {
		wrong += q.Wrong
	}
	return wrong
}

// SinkRecord is what a server took that decodes requests and drops them.
type SinkRecord struct {
	Sink    string  `json:"sink"` // raw, walk or pdata
	Spans   int64   `json:"spans"`
	Seconds float64 `json:"seconds"`
	Cost    Cost    `json:"cost"`
}

// ZstdRecord is what zstd makes of the records as they stand in a file.
type ZstdRecord struct {
	Flags      string  `json:"flags"`
	Spans      int64   `json:"spans"`
	Bytes      int64   `json:"bytes"`
	CPUSeconds float64 `json:"cpu_seconds"`
}

// WriteRecord writes a record to a file.
func WriteRecord(name string, record Record) error {
	b, err := json.MarshalIndent(record, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(b, '\n'), 0o644)
}

// ReadRecord reads a record from a file.
func ReadRecord(name string) (Record, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return Record{}, err
	}
	var record Record
	if err := json.Unmarshal(b, &record); err != nil {
		return Record{}, fmt.Errorf("%s is no record of bench: %w", name, err)
	}
	if record.Format < 1 || record.Format > recordFormat {
		return Record{}, fmt.Errorf("%s has format %d, this binary reads 1 to %d", name, record.Format, recordFormat)
	}
	return record, nil
}
