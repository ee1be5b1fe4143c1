package api

import (
	"fmt"
	"math"
	"math/bits"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/stoadb/stoa/api/pb/storagev2"
	"github.com/stoadb/stoa/engine/span"
)

// yearOne is the seconds of Go's zero time: what Jaeger sends for "not given".
const yearOne = -62135596800

// queryOf reads the parameters of a search, legacy or with a filter, whole or a page of it.
// What cannot be answered is refused: answering a part of a question would be a wrong answer.
func queryOf(tenant string, p *storagev2.TraceQueryParameters) (span.Query, error) {
	q := span.Query{Service: p.GetServiceName(), Name: p.GetOperationName()}
	err := known("TraceQueryParameters", p)
	if err != nil {
		return q, err
	}
	if err = checkBeyond(p); err != nil {
		return q, err
	}
	if q.StartMin, q.StartMax, err = rangeOf("start_time_min", p.GetStartTimeMin(), "start_time_max", p.GetStartTimeMax()); err != nil {
		return q, err
	}
	if q.DurationMin, err = durationOf("duration_min", p.GetDurationMin()); err != nil {
		return q, err
	}
	if q.DurationMax, err = durationOf("duration_max", p.GetDurationMax()); err != nil {
		return q, err
	}
	if q.Tags, err = tagsOf(p.GetAttributes()); err != nil {
		return q, err
	}
	if p.GetFilter() != nil {
		if q.Filter, err = filterOf(p.GetFilter()); err != nil {
			return q, err
		}
	}
	if page := p.GetPagination(); page != nil {
		if p.GetSearchDepth() != 0 {
			return q, status.Error(codes.InvalidArgument, "pagination excludes search_depth")
		}
		return q, pageOf(tenant, &q, page)
	}
	q.Limit = int(p.GetSearchDepth())
	if q.Limit <= 0 {
		q.Limit = span.LimitDefault
	}
	return q, nil
}

// checkBeyond refuses what a filter excludes.
func checkBeyond(p *storagev2.TraceQueryParameters) error {
	if p.GetFilter() != nil {
		if p.GetServiceName() != "" || p.GetOperationName() != "" || len(p.GetAttributes()) > 0 ||
			isGiven(p.GetDurationMin()) || isGiven(p.GetDurationMax()) {
			return status.Error(codes.InvalidArgument, "filter excludes service_name, operation_name, attributes and duration_min/max")
		}
	}
	return nil
}

func isGiven(d *durationpb.Duration) bool { return d.GetSeconds() != 0 || d.GetNanos() != 0 }

// rangeOf reads a time range, inclusive on both sides. A side not given is open. An
// empty range has least > most.
func rangeOf(leastName string, least *timestamppb.Timestamp, mostName string, most *timestamppb.Timestamp) (uint64, uint64, error) {
	from, until := uint64(0), uint64(math.MaxUint64)
	if isTimeGiven(least) {
		nanos, _, err := nanosOf(leastName, least)
		if err != nil {
			return 0, 0, err
		}
		from = nanos
	}
	if isTimeGiven(most) {
		nanos, isBefore, err := nanosOf(mostName, most)
		if err != nil {
			return 0, 0, err
		}
		if isBefore { // no span starts before 1970
			return 1, 0, nil
		}
		until = nanos
	}
	return from, until, nil
}

func isTimeGiven(t *timestamppb.Timestamp) bool { return t != nil && t.GetSeconds() > yearOne }

// nanosOf gives t in unix nanoseconds, as near as a uint64 comes: 1970 to 2554. Before
// tells of a time before 1970.
func nanosOf(name string, t *timestamppb.Timestamp) (nanos uint64, isBefore bool, err error) {
	if t.GetNanos() < 0 || t.GetNanos() >= 1e9 {
		return 0, false, fmt.Errorf("%w: %s has %d nanoseconds", span.ErrInvalid, name, t.GetNanos())
	}
	if t.GetSeconds() < 0 {
		return 0, true, nil
	}
	return nanosUpTo(t.GetSeconds(), t.GetNanos()), false, nil
}

// durationOf gives d in nanoseconds; nothing, {} and 0 are all 0: not given.
func durationOf(name string, d *durationpb.Duration) (uint64, error) {
	if d.GetSeconds() < 0 || d.GetNanos() < 0 || d.GetNanos() >= 1e9 {
		return 0, fmt.Errorf("%w: %s is %ds %dns: negative or malformed", span.ErrInvalid, name, d.GetSeconds(), d.GetNanos())
	}
	return nanosUpTo(d.GetSeconds(), d.GetNanos()), nil
}

func nanosUpTo(seconds int64, nanos int32) uint64 {
	high, low := bits.Mul64(uint64(seconds), 1e9)
	sum, carry := bits.Add64(low, uint64(nanos), 0)
	if high+carry > 0 {
		return math.MaxUint64
	}
	return sum
}
