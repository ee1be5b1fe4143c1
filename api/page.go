package api

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/stoadb/stoa/api/pb/storagev2"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// A page token says where the next page begins, and of which question. Nothing is kept for
// it on our side, so it outlives restarts. It stands, in base64 for URLs without padding, as
//
//	version u8       1
//	kind u8          1: of traces, 2: of spans
//	question u64     a hash of all that the question asks, but for the size of the page, and of
//	                 the tenant who asks where there are tenants
//	place            of traces: start u64, trace id 16
//	                 of spans: start u64, duration u64, trace id 16, span id 8, tie u64
//	checksum u32     of all before
//
// with big-endian numbers. The place is that of the page's last answer.
const (
	tokenVersion = 1
	tokenTraces  = 1
	tokenSpans   = 2
	// tokenTextMax is longer than any token.
	tokenTextMax = 128
)

const (
	tokenHeadBytes  = 1 + 1 + 8
	tracePlaceBytes = 8 + 16
	checksumBytes   = 4
)

func appendToken(kind byte, question uint64, place []byte) string {
	b := binary.BigEndian.AppendUint64([]byte{tokenVersion, kind}, question)
	b = append(b, place...)
	b = binary.BigEndian.AppendUint32(b, codec.CRC(b))
	return base64.RawURLEncoding.EncodeToString(b)
}

// placeOf gives the place in a token of this kind and question.
func placeOf(token string, kind byte, question uint64, placeBytes int) ([]byte, error) {
	bad := func(why string) ([]byte, error) {
		return nil, status.Errorf(codes.InvalidArgument, "pagination.page_token: %s", why)
	}
	if len(token) > tokenTextMax {
		return bad("it was not given out here")
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) < tokenHeadBytes+checksumBytes || base64.RawURLEncoding.EncodeToString(b) != token {
		return bad("it was not given out here")
	}
	body := b[:len(b)-checksumBytes]
	switch {
	case codec.CRC(body) != binary.BigEndian.Uint32(b[len(body):]):
		return bad("it is damaged")
	case body[0] != tokenVersion:
		return bad("it is of another version of the server")
	case body[1] != kind || binary.BigEndian.Uint64(body[2:]) != question || len(body) != tokenHeadBytes+placeBytes:
		return bad("it belongs to another query")
	}
	return body[tokenHeadBytes:], nil
}

// questionOf hashes all that a search asks. Texts stand quoted, so no two questions are
// written alike.
func questionOf(tenant string, q *span.Query, order []span.SpanOrder) uint64 {
	text := strconv.AppendQuote(nil, q.Service)
	text = strconv.AppendQuote(text, q.Name)
	text = fmt.Appendf(text, " %d %d %d %d", q.StartMin, q.StartMax, q.DurationMin, q.DurationMax)
	for _, tag := range q.Tags {
		text = strconv.AppendQuote(append(text, ' '), tag.Key)
		text = strconv.AppendQuote(append(text, '='), tag.Value)
	}
	if q.Filter != nil {
		text = append(append(text, " filter "...), q.Filter.String()...)
	}
	for _, term := range order {
		text = fmt.Appendf(text, " %d %t", term.Field, term.Descending)
	}
	if tenant != "" {
		text = strconv.AppendQuote(append(text, " tenant "...), tenant)
	}
	return codec.Hash64(text, tokenVersion)
}

// sizeOf checks a page and its size.
func sizeOf(page *storagev2.Pagination, most int, limit string) (int, error) {
	if err := known("pagination", page); err != nil {
		return 0, err
	}
	switch size := page.GetPageSize(); {
	case size == 0:
		return 0, status.Error(codes.InvalidArgument, "pagination.page_size is required")
	case size > uint32(most):
		return 0, fmt.Errorf("%w: pagination.page_size is %d, a page holds at most %d (%s)", span.ErrTooMuch, size, most, limit)
	default:
		return int(size), nil
	}
}

// pageOf makes q one for a page of traces.
func pageOf(tenant string, q *span.Query, page *storagev2.Pagination) (err error) {
	if q.Limit, err = sizeOf(page, tracesMax, "TracesFoundMax"); err != nil || page.GetPageToken() == "" {
		return err
	}
	place, err := placeOf(page.GetPageToken(), tokenTraces, questionOf(tenant, q, nil), tracePlaceBytes)
	if err != nil {
		return err
	}
	q.After = &span.Found{Start: binary.BigEndian.Uint64(place), TraceID: span.TraceID(place[8:])}
	return nil
}

// nextTraces gives the token for what follows the traces found on a page.
func nextTraces(tenant string, q *span.Query, found []span.Found) string {
	last := found[len(found)-1]
	place := append(binary.BigEndian.AppendUint64(nil, last.Start), last.TraceID[:]...)
	return appendToken(tokenTraces, questionOf(tenant, q, nil), place)
}
