package api_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/api/pb/storagev2"
	"github.com/stoadb/stoa/engine/span"
)

func TestServicesAreListedWithTheEmptyNameAndValidUTF8(t *testing.T) {
	server := start(t, &scripted{services: []string{"", "a", "b\xfe", "b\xff", "c"}}, api.Options{})
	services, err := server.Services(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"", "a", "b\uFFFD", "c"}, services); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
}

func TestOperationsAreDistinctPairsByKind(t *testing.T) {
	store := &scripted{operations: []span.Operation{
		{Service: "s", Name: "b", Kind: span.KindServer}, {Service: "s", Name: "a", Kind: span.KindClient},
		{Service: "s", Name: "a", Kind: span.KindUnspecified}, {Service: "other", Name: "a", Kind: span.KindClient},
		{Service: "s", Name: "p\xff", Kind: span.KindProducer}, {Service: "s", Name: "c", Kind: span.KindConsumer},
		{Service: "s", Name: "i", Kind: span.KindInternal}, {Service: "s", Name: "odd", Kind: 77},
	}}
	server := start(t, store, api.Options{})
	reader := storagev2.NewTraceReaderClient(server.connection)
	for kind, want := range map[string][]string{
		"":         {"a/", "a/client", "b/server", "c/consumer", "i/internal", "odd/", "p\uFFFD/producer"},
		"server":   {"b/server"},
		"SERVER":   {"b/server"},
		"client":   {"a/client"},
		"producer": {"p\uFFFD/producer"},
		"nonsense": nil,
	} {
		answer, err := reader.GetOperations(t.Context(), &storagev2.GetOperationsRequest{Service: "s", SpanKind: kind})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, operation := range answer.GetOperations() {
			got = append(got, operation.GetName()+"/"+operation.GetSpanKind())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("kind %q (-want +got):\n%s", kind, diff)
		}
		if store.service != "s" {
			t.Errorf("asked for service %q", store.service)
		}
	}
	if operations, err := server.Operations(t.Context(), "s"); err != nil || len(operations) != 7 || operations[1].Kind != span.KindClient {
		t.Errorf("client: %v, %v", operations, err)
	}
}

// TestUnaryAnswersFitOrAreRefused: a client receives at most 4 MiB; a list beyond is
// refused with the limit's name, never shortened.
func TestUnaryAnswersFitOrAreRefused(t *testing.T) {
	store := &scripted{find: func(context.Context, span.Query) ([]span.Found, error) {
		found := make([]span.Found, 20_000)
		for i := range found {
			found[i].TraceID = id(i)
		}
		return found, nil
	}}
	long := strings.Repeat("n", 1000)
	for i := range 3_000 {
		store.services = append(store.services, fmt.Sprintf("%s%d", long, i))
		store.operations = append(store.operations, span.Operation{Name: fmt.Sprintf("%s%d", long, i)})
		store.edges = append(store.edges, span.Edge{Parent: fmt.Sprintf("p%d", i), Child: long, Calls: 1})
	}
	server := start(t, store, api.Options{})
	answer, err := storagev2.NewTraceReaderClient(server.connection).FindTraceIDs(t.Context(),
		&storagev2.FindTraceIDsRequest{Query: &storagev2.TraceQueryParameters{SearchDepth: 20_000}})
	if err != nil || len(answer.GetTraceIds()) != 20_000 {
		t.Errorf("20,000 ids: %d, %v", len(answer.GetTraceIds()), err)
	}
	if services, err := server.Services(t.Context()); err != nil || len(services) != 3_000 {
		t.Errorf("3 MB of services: %d, %v", len(services), err)
	}

	for i := range 3_000 {
		store.services = append(store.services, fmt.Sprintf("%s%d", long, i+3_000))
		store.operations = append(store.operations, span.Operation{Name: fmt.Sprintf("%s%d", long, i+3_000)})
		store.edges = append(store.edges, span.Edge{Parent: fmt.Sprintf("p%d", i+3_000), Child: long, Calls: 1})
	}
	_, services := server.Services(t.Context())
	_, operations := server.Operations(t.Context(), "")
	_, edges := server.Dependencies(t.Context(), 0, math.MaxUint64)
	for name, err := range map[string]error{"services": services, "operations": operations, "dependencies": edges} {
		if !errors.Is(err, span.ErrTooMuch) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "ChunkBytesMax") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDependenciesAreCallsBetweenServices with both ends of the range inclusive.
func TestDependenciesAreCallsBetweenServices(t *testing.T) {
	edges := []span.Edge{
		{Parent: "", Child: "a", Calls: 1}, {Parent: "a", Child: "a", Calls: 9}, {Parent: "a", Child: "b", Calls: 2},
		{Parent: "a", Child: "c\xfe", Calls: 3}, {Parent: "a", Child: "c\xff", Calls: 4},
	}
	want := []*storagev2.Dependency{
		{Parent: "", Child: "a", CallCount: 1, Source: "jaeger"},
		{Parent: "a", Child: "a", CallCount: 9, Source: "jaeger"},
		{Parent: "a", Child: "b", CallCount: 2, Source: "jaeger"},
		{Parent: "a", Child: "c\uFFFD", CallCount: 7, Source: "jaeger"},
	}
	for _, selfCalls := range []bool{false, true} {
		store := &scripted{edges: edges}
		server := start(t, store, api.Options{SelfCalls: selfCalls})
		reader := storagev2.NewDependencyReaderClient(server.connection)
		answer, err := reader.GetDependencies(t.Context(), &storagev2.GetDependenciesRequest{
			StartTime: &timestamppb.Timestamp{Seconds: 1}, EndTime: &timestamppb.Timestamp{Seconds: 2, Nanos: 5},
		})
		if err != nil {
			t.Fatal(err)
		}
		expected := want
		if !selfCalls {
			expected = []*storagev2.Dependency{want[0], want[2], want[3]}
		}
		if diff := cmp.Diff(expected, answer.GetDependencies(), protocmp.Transform()); diff != "" {
			t.Errorf("self calls %v (-want +got):\n%s", selfCalls, diff)
		}
		yearOne := &timestamppb.Timestamp{Seconds: -62135596800}
		for _, request := range []*storagev2.GetDependenciesRequest{{}, {StartTime: yearOne, EndTime: yearOne}} {
			if _, err := reader.GetDependencies(t.Context(), request); err != nil {
				t.Fatal(err)
			}
		}
		// An empty range is answered without asking.
		empty, err := reader.GetDependencies(t.Context(), &storagev2.GetDependenciesRequest{StartTime: &timestamppb.Timestamp{Seconds: 9}, EndTime: &timestamppb.Timestamp{Seconds: 8}})
		if err != nil || len(empty.GetDependencies()) != 0 {
			t.Errorf("empty range: %v, %v", empty, err)
		}
		all := [2]uint64{0, math.MaxUint64}
		if diff := cmp.Diff([][2]uint64{{1_000_000_000, 2_000_000_005}, all, all}, store.edgeRanges); diff != "" {
			t.Errorf("ranges asked (-want +got):\n%s", diff)
		}
		if _, err := reader.GetDependencies(t.Context(), &storagev2.GetDependenciesRequest{StartTime: &timestamppb.Timestamp{Nanos: -1}}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("malformed time: %v", err)
		}
	}
}
