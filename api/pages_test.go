package api_test

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"slices"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/api/pb/storagev2"
	"github.com/stoadb/stoa/engine/span"
)

// pageReader asks for pages of traces, by ids and by summaries.
type pageReader struct {
	t      *testing.T
	reader storagev2.TraceReaderClient
}

func (r pageReader) ids(p *storagev2.TraceQueryParameters) (ids []span.TraceID, next string, err error) {
	answer, err := r.reader.FindTraceIDs(r.t.Context(), &storagev2.FindTraceIDsRequest{Query: p})
	for _, one := range answer.GetTraceIds() {
		ids = append(ids, span.TraceID(one.GetTraceId()))
	}
	return ids, answer.GetNextPageToken(), err
}

// summaries checks that the token stands on the last chunk only.
func (r pageReader) summaries(p *storagev2.TraceQueryParameters) (ids []span.TraceID, next string, err error) {
	r.t.Helper()
	stream, err := r.reader.FindTraceSummaries(r.t.Context(), &storagev2.FindTraceSummariesRequest{Query: p})
	for err == nil {
		var chunk *storagev2.FindTraceSummariesResponse
		if chunk, err = stream.Recv(); err != nil {
			break
		}
		if next != "" {
			r.t.Error("a chunk after the one with the token")
		}
		next = chunk.GetNextPageToken()
		for _, one := range chunk.GetSummaries() {
			ids = append(ids, span.TraceID(one.GetTraceId()))
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return ids, next, err
}

func paged(size uint32, token string) *storagev2.Pagination {
	return &storagev2.Pagination{PageSize: size, PageToken: token}
}

// TestPagesTogetherAreTheWholeAnswer, of ids and of summaries, at any size; the last page has
// no token.
func TestPagesTogetherAreTheWholeAnswer(t *testing.T) {
	server, _ := storing(t)
	for n := range 23 {
		export(t, server, trace(id(n+1), "walked", 2))
	}
	r := pageReader{t, storagev2.NewTraceReaderClient(server.connection)}
	whole, _, err := r.ids(&storagev2.TraceQueryParameters{ServiceName: "walked"})
	if err != nil || len(whole) != 23 {
		t.Fatalf("%d traces, %v", len(whole), err)
	}
	for name, ask := range map[string]func(*storagev2.TraceQueryParameters) ([]span.TraceID, string, error){"ids": r.ids, "summaries": r.summaries} {
		for _, size := range []uint32{1, 2, 7, 22, 23, 24, 19_999, 20_000} {
			var walked []span.TraceID
			token := ""
			for page := 0; page == 0 || token != ""; page++ {
				ids, next, err := ask(&storagev2.TraceQueryParameters{ServiceName: "walked", Pagination: paged(size, token)})
				if err != nil || len(ids) == 0 || len(ids) > int(size) || next != "" && len(ids) < int(size) {
					t.Fatalf("%s, size %d, page %d: %d traces, %v", name, size, page, len(ids), err)
				}
				walked, token = append(walked, ids...), next
			}
			if !slices.Equal(walked, whole) {
				t.Errorf("%s, size %d: %d traces, want %d, or another order", name, size, len(walked), len(whole))
			}
		}
	}
	if ids, next, err := r.ids(&storagev2.TraceQueryParameters{ServiceName: "nobody", Pagination: paged(1, "")}); err != nil || len(ids) > 0 || next != "" {
		t.Errorf("nothing to find: %v, %q, %v", ids, next, err)
	}
}

// TestAWalkOfTheLargestPagesGoesOn to the end: of a page of 20,000 nobody knows whether there is
// more, since no store may be asked for more.
func TestAWalkOfTheLargestPagesGoesOn(t *testing.T) {
	for _, traces := range []int{39_999, 40_000, 40_001} {
		server := start(t, &scripted{find: func(_ context.Context, q span.Query) (found []span.Found, err error) {
			if q.Limit > span.TracesFoundMax {
				t.Errorf("%d traces are asked for", q.Limit)
			}
			begin := 0
			if q.After != nil {
				begin = traces - int(q.After.Start) + 1
			}
			for n := begin; n < min(begin+q.Limit, traces); n++ {
				found = append(found, span.Found{TraceID: id(n + 1), Start: uint64(traces - n)})
			}
			return found, nil
		}}, api.Options{})
		r := pageReader{t, storagev2.NewTraceReaderClient(server.connection)}
		for _, size := range []int{19_999, 20_000} {
			walked, token := 0, ""
			for page := 0; page == 0 || token != ""; page++ {
				ids, next, err := r.ids(&storagev2.TraceQueryParameters{Pagination: paged(uint32(size), token)})
				if err != nil || next != "" && len(ids) < size {
					t.Fatalf("page %d: %d traces, %v", page, len(ids), err)
				}
				walked, token = walked+len(ids), next
			}
			if walked != traces {
				t.Errorf("pages of %d show %d traces, want %d", size, walked, traces)
			}
		}
	}
}

// TestAPageWhoseTracesAreGoneKeepsItsToken: retention may take the traces of a page between the
// search and their summaries. Those behind are still there.
func TestAPageWhoseTracesAreGoneKeepsItsToken(t *testing.T) {
	server := start(t, &scripted{find: func(_ context.Context, q span.Query) ([]span.Found, error) {
		return []span.Found{{TraceID: id(1), Start: 2}, {TraceID: id(2), Start: 1}}, nil
	}}, api.Options{})
	r := pageReader{t, storagev2.NewTraceReaderClient(server.connection)}
	if ids, next, err := r.summaries(&storagev2.TraceQueryParameters{Pagination: paged(1, "")}); err != nil || len(ids) > 0 || next == "" {
		t.Errorf("%d summaries, token %q, %v", len(ids), next, err)
	}
}

// TestATokenBelongsToItsQuery: one of another query, of spans, cut anywhere or with any bit
// changed is InvalidArgument.
func TestATokenBelongsToItsQuery(t *testing.T) {
	server, _ := storing(t)
	r := pageReader{t, storagev2.NewTraceReaderClient(server.connection)}
	_, token, err := r.ids(&storagev2.TraceQueryParameters{Pagination: paged(1, "")})
	if err != nil || token == "" {
		t.Fatalf("token %q, %v", token, err)
	}
	refused := func(what, token string, p *storagev2.TraceQueryParameters) {
		t.Helper()
		p.Pagination = paged(1, token)
		if _, _, err := r.ids(p); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s, ids: %v", what, err)
		}
		if _, _, err := r.summaries(p); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s, summaries: %v", what, err)
		}
	}
	for what, p := range map[string]*storagev2.TraceQueryParameters{
		"service": {ServiceName: "shop"}, "name": {OperationName: "x"}, "tag": {Attributes: []*storagev2.KeyValue{text("a", "b")}},
		"time": {StartTimeMin: &timestamppb.Timestamp{Seconds: 1}}, "until": {StartTimeMax: &timestamppb.Timestamp{Seconds: 1 << 31}},
		"duration": {DurationMin: durationpb.New(1)}, "duration up to": {DurationMax: durationpb.New(1 << 60)},
		"filter": {Filter: exists(attr("", "env")).GetCall()},
	} {
		refused(what, token, p)
	}
	for cut := 1; cut < len(token); cut++ {
		refused("cut", token[:cut], &storagev2.TraceQueryParameters{})
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range 8 * len(b) {
		changed := slices.Clone(b)
		changed[bit/8] ^= 1 << (bit % 8)
		refused("changed", base64.RawURLEncoding.EncodeToString(changed), &storagev2.TraceQueryParameters{})
	}
	spans := askSpans(t, r.reader, allSpans(1))
	if spans.err != nil || spans.token == "" {
		t.Fatalf("token of spans %q, %v", spans.token, spans.err)
	}
	refused("of spans", spans.token, &storagev2.TraceQueryParameters{})
	if ids, _, err := r.summaries(&storagev2.TraceQueryParameters{Pagination: paged(5, token)}); err != nil || len(ids) != 2 {
		t.Errorf("the token itself, at another size: %v, %v", ids, err)
	}
}

// FuzzTokens: whatever a token is, the answer is a page or InvalidArgument.
func FuzzTokens(f *testing.F) {
	server := start(f, memory(), apiOptions())
	reader := storagev2.NewTraceReaderClient(server.connection)
	export(f, server, trace(id(1), "one", 1), trace(id(2), "one", 1))
	answer, err := reader.FindTraceIDs(f.Context(), &storagev2.FindTraceIDsRequest{Query: &storagev2.TraceQueryParameters{Pagination: paged(1, "")}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(answer.GetNextPageToken())
	f.Add("")
	f.Add("AQE")
	f.Fuzz(func(t *testing.T, token string) {
		for _, p := range []*storagev2.TraceQueryParameters{{Pagination: paged(1, token)}, {ServiceName: "one", Pagination: paged(1, token)}} {
			_, err := reader.FindTraceIDs(t.Context(), &storagev2.FindTraceIDsRequest{Query: p})
			isText := status.Code(err) == codes.Internal // grpc's client refuses what is no UTF-8
			if err != nil && status.Code(err) != codes.InvalidArgument && !isText {
				t.Errorf("%q: %v", token, err)
			}
		}
	})
}
