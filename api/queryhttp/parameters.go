package queryhttp

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/stoadb/stoa/api/wire"
	"github.com/stoadb/stoa/engine/span"
)

// parameters reads the parameters of a request one by one; the first that cannot be read is err.
// An empty one is as one that is missing.
type parameters struct {
	values url.Values
	now    time.Time
	err    error
}

// parameters begins to read those of a request, whose query string can be parsed: New saw to it.
func (h *handler) parameters(r *http.Request) *parameters {
	return &parameters{values: r.URL.Query(), now: h.options.Now()}
}

// wrong says that a parameter cannot be read, in Jaeger's words.
func (p *parameters) wrong(name string, err error) {
	if p.err == nil {
		p.err = failure{http.StatusBadRequest, fmt.Errorf("unable to parse param '%s': %w", name, err)}
	}
}

// text gives a parameter as it is.
func (p *parameters) text(name string) string { return p.values.Get(name) }

// required gives a parameter that must not be missing.
func (p *parameters) required(name string) string {
	text := p.text(name)
	if text == "" && p.err == nil {
		p.err = failure{http.StatusBadRequest, fmt.Errorf("parameter '%s' is required", name)}
	}
	return text
}

func (p *parameters) bool(name string) bool {
	text := p.text(name)
	if text == "" {
		return false
	}
	b, err := strconv.ParseBool(text)
	if err != nil {
		p.wrong(name, err)
	}
	return b
}

// number gives a number from least to most.
func (p *parameters) number(name string, absent, least, most int64) int64 {
	text := p.text(name)
	if text == "" {
		return absent
	}
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil:
		p.wrong(name, err)
	case n < least || n > most:
		p.wrong(name, fmt.Errorf("want %d to %d", least, most))
	}
	return n
}

// milliseconds gives a duration that is told in milliseconds; least is the shortest.
func (p *parameters) milliseconds(name string, absent time.Duration, least int64) uint64 {
	return uint64(p.number(name, absent.Milliseconds(), least, timeMillisecondsMax)) * uint64(time.Millisecond)
}

// until gives the end of a range in nanoseconds, by endTs in milliseconds; now where it is missing.
func (p *parameters) until() uint64 {
	return uint64(p.number("endTs", p.now.UnixMilli(), 0, timeMillisecondsMax)) * uint64(time.Millisecond)
}

// nanoseconds gives a time in nanoseconds.
func (p *parameters) nanoseconds(name string, absent uint64) uint64 {
	text := p.text(name)
	if text == "" {
		return absent
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		p.wrong(name, err)
	}
	return n
}

// kinds gives the kinds that a list names; server where there is none.
func (p *parameters) kinds(name string) (kinds []int32) {
	list, ok := p.values[name]
	if !ok {
		return []int32{span.KindServer}
	}
	for _, text := range list {
		kind, isKnown := kindOf(text)
		if !isKnown {
			p.wrong(name, fmt.Errorf("unsupported span kind: '%s'", text))
		}
		kinds = append(kinds, kind)
	}
	return kinds
}

// kindOf reads one of Jaeger's names of kinds, which have a case.
func kindOf(name string) (kind int32, ok bool) {
	for _, kind := range []int32{span.KindUnspecified, span.KindInternal, span.KindServer, span.KindClient, span.KindProducer, span.KindConsumer} {
		if name == wire.KindName(kind) && name != "" || name == "unspecified" && kind == span.KindUnspecified {
			return kind, true
		}
	}
	return 0, false
}

// before gives the time that lies a duration before another, or 0.
func before(end, lookback uint64) uint64 { return end - min(end, lookback) }

var errNoService = errors.New("please provide at least one service name")

// metrics reads what all metrics are asked with.
func (p *parameters) metrics() metricsQuery {
	list, ok := p.values["service"]
	if !ok {
		p.wrong("service", errNoService)
	}
	q := metricsQuery{
		byOperation: p.bool("groupByOperation"),
		kinds:       p.kinds("spanKind"),
		end:         p.until(),
		lookback:    p.milliseconds("lookback", metricsLookback, 0),
		step:        p.milliseconds("step", metricsStep, 1),
		window:      p.milliseconds("ratePer", metricsWindow, 1),
	}
	seen := map[string]bool{}
	for _, service := range list {
		if !seen[service] {
			seen[service] = true
			q.services = append(q.services, service)
		}
	}
	if len(q.services) > servicesMax {
		p.wrong("service", fmt.Errorf("%d services, at most %d", len(q.services), servicesMax))
	}
	return q
}

// quantile reads the one of latencies, which has no default.
func (p *parameters) quantile() float64 {
	q, err := strconv.ParseFloat(p.text("quantile"), 64)
	if err == nil && !(q >= 0 && q <= 1) { // nor is NaN
		err = errors.New("want 0 to 1")
	}
	if err != nil {
		p.wrong("quantile", err)
	}
	return q
}
