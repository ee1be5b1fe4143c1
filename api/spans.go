package api

import (
	"fmt"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/stoadb/stoa/api/pb/storagev2"
	"github.com/stoadb/stoa/api/wire"
	"github.com/stoadb/stoa/engine/span"
)

// FindSpans sends the spans on which a filter holds, each with its resource and scope, in the
// order asked for; the token for the next page stands on the last chunk. A chunk may hold
// spans of many traces.
func (r traceReader) FindSpans(request *storagev2.FindSpansRequest, stream grpc.ServerStreamingServer[storagev2.FindSpansResponse]) error {
	q, err := spanQueryOf(r.server.tenant, request.GetQuery())
	if err != nil || isEmpty(q.Query) {
		return err
	}
	sender := foundSender{stream: stream}
	told := r.server.explaining(stream.Context(), &q.Query)
	more, err := r.server.store.FindSpans(stream.Context(), q, sender.add)
	told()
	if err != nil {
		return err
	}
	if more {
		place := sender.last.AppendBinary(nil)
		sender.next = appendToken(tokenSpans, questionOf(r.server.tenant, &q.Query, q.Order), place)
	}
	return sender.flush()
}

// spanQueryOf reads the parameters of a search for spans.
func spanQueryOf(tenant string, p *storagev2.SpanQueryParameters) (q span.SpanQuery, err error) {
	if err := known("SpanQueryParameters", p); err != nil {
		return q, err
	}
	if !isTimeGiven(p.GetStartTimeMin()) || !isTimeGiven(p.GetStartTimeMax()) {
		return q, status.Error(codes.InvalidArgument, "start_time_min and start_time_max are required")
	}
	if q.StartMin, q.StartMax, err = rangeOf("start_time_min", p.GetStartTimeMin(), "start_time_max", p.GetStartTimeMax()); err != nil {
		return q, err
	}
	if p.GetFilter() != nil {
		if q.Filter, err = filterOf(p.GetFilter()); err != nil {
			return q, err
		}
	}
	if q.Order, err = orderOf(p.GetOrderBy()); err != nil {
		return q, err
	}
	page := p.GetPagination()
	if page == nil {
		return q, status.Error(codes.InvalidArgument, "pagination.page_size is required: it is what bounds a search for spans")
	}
	if q.Limit, err = sizeOf(page, span.SpansFoundMax, "SpansFoundMax"); err != nil || page.GetPageToken() == "" {
		return q, err
	}
	place, err := placeOf(page.GetPageToken(), tokenSpans, questionOf(tenant, &q.Query, q.Order), span.SpanPlaceBytes)
	if err == nil {
		behind := span.SpanPlaceOf(place)
		q.Behind = &behind
	}
	return q, err
}

// orders are the fields that spans can be ordered by.
var orders = map[span.Reference]span.SpanField{
	span.SpanStartTime: span.OrderStart, span.SpanDuration: span.OrderDuration,
	span.SpanTraceID: span.OrderTraceID, span.SpanSpanID: span.OrderSpanID,
}

// orderOf reads the terms of an order.
func orderOf(terms []*storagev2.SpanSortOrder) ([]span.SpanOrder, error) {
	if len(terms) > span.OrderFields {
		return nil, refuse("order_by", "%d terms, want up to %d", len(terms), span.OrderFields)
	}
	var list []span.SpanOrder
	for i, term := range terms {
		path := fmt.Sprintf("order_by[%d]", i)
		if err := known(path, term); err != nil {
			return nil, err
		}
		if term.GetExpression() == nil {
			return nil, refuse(path, "a term without an expression")
		}
		reference, err := referenceOf(path, term.GetExpression())
		if err != nil {
			return nil, err
		}
		field, ok := orders[reference]
		if !ok {
			return nil, refuse(path, "%v is none of span.startTime, span.duration, span.traceID, span.spanID", reference)
		}
		if slices.ContainsFunc(list, func(known span.SpanOrder) bool { return known.Field == field }) {
			return nil, refuse(path, "%v comes twice", reference)
		}
		switch term.GetDirection() {
		case "", "asc", "desc":
		default:
			return nil, refuse(path, "direction %.100q is neither asc nor desc", term.GetDirection())
		}
		list = append(list, span.SpanOrder{Field: field, Descending: term.GetDirection() == "desc"})
	}
	return span.FullOrder(list), nil
}

// foundSender gathers spans into messages of limited size. TracesData messages join by
// concatenation, so each span stays the bytes it is.
type foundSender struct {
	stream grpc.ServerStreamingServer[storagev2.FindSpansResponse]
	traces []byte
	next   string
	last   span.SpanPlace
}

// The fields of FindSpansResponse.
const (
	foundSpansField     = 1
	nextPageTokenField  = 3
	foundOverheadsBytes = 2*fieldBytesMax + tokenTextMax
)

func (s *foundSender) add(f span.FoundSpan) error {
	if len(s.traces) > 0 && len(s.traces)+len(f.Traces)+foundOverheadsBytes > answerBytesMax {
		if err := s.flush(); err != nil {
			return err
		}
	}
	s.traces = append(s.traces, f.Traces...)
	s.last = f.SpanPlace
	return nil
}

// flush sends what is gathered; nothing where there is nothing.
func (s *foundSender) flush() error {
	if len(s.traces) == 0 {
		return nil
	}
	b := protowire.AppendTag(make([]byte, 0, len(s.traces)+foundOverheadsBytes), foundSpansField, protowire.BytesType)
	b = protowire.AppendBytes(b, s.traces)
	if s.next != "" {
		b = protowire.AppendString(protowire.AppendTag(b, nextPageTokenField, protowire.BytesType), s.next)
	}
	s.traces = s.traces[:0]
	message := wire.NewMessage(b)
	if err := s.stream.SendMsg(message); err != nil {
		return err // the message is left to the collector: a send cut off may still read it
	}
	message.Free()
	return nil
}
