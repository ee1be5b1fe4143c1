package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/stoadb/stoa/api/client"
	"github.com/stoadb/stoa/api/pb/collectorv1"
	"github.com/stoadb/stoa/api/wire"
)

// sender sends requests over one connection, one at a time.
type sender interface {
	// send gives how many spans were rejected. An error that is a refusal asks to come
	// again.
	send(ctx context.Context, request []byte) (rejected int64, err error)
	close() error
}

// refusal is an answer after which a collector comes again.
type refusal struct {
	error
	after time.Duration // what the server asks for, 0 where it asks for nothing
}

func (r refusal) Unwrap() error { return r.error }

// newSender connects when it first sends.
func newSender(target string) (sender, error) {
	if !strings.Contains(target, "://") {
		if _, port, err := net.SplitHostPort(target); err != nil || port == "" {
			return nil, fmt.Errorf("target %q: want HOST:PORT of OTLP over gRPC, or http://HOST:PORT/v1/traces", target)
		}
		connection, err := grpc.NewClient("passthrough:///"+target,
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.ForceCodecV2(wire.Codec{})))
		return grpcSender{connection}, err
	}
	at, err := url.Parse(target)
	if err != nil || at.Scheme != "http" || at.Host == "" {
		return nil, fmt.Errorf("target %q: want a URL such as http://127.0.0.1:4318/v1/traces", target)
	}
	if at.Path == "" || at.Path == "/" {
		at.Path = "/v1/traces"
	}
	return httpSender{at.String(), &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1, MaxIdleConnsPerHost: 1}}}, nil
}

// patiently sends a request until it is taken, as the OpenTelemetry Collector does with
// what may be sent again: after the delay that the server names, else after 5 s, half as
// long again each time up to 30 s, give or take a half.
func (l Loading) patiently(ctx context.Context, to sender, request []byte) (rejected int64, retries int, err error) {
	begin, backoff := time.Now(), retryFirst
	for ; ; retries++ {
		rejected, err = to.send(ctx, request)
		var again refusal
		if !errors.As(err, &again) || ctx.Err() != nil {
			return rejected, retries, err
		}
		delay := again.after
		if delay == 0 {
			delay = backoff/2 + rand.N(backoff)
			backoff = min(backoff*3/2, retryMax)
			if time.Since(begin) >= l.Patience {
				return rejected, retries, again.error
			}
		}
		if l.Waiting != nil {
			l.Waiting(err)
		}
		select {
		case <-ctx.Done():
			return rejected, retries, errors.Join(context.Cause(ctx), err)
		case <-time.After(delay):
		}
	}
}

type grpcSender struct{ connection *grpc.ClientConn }

func (s grpcSender) close() error { return s.connection.Close() }

func (s grpcSender) send(ctx context.Context, request []byte) (int64, error) {
	message := wire.NewMessage(request)
	defer message.Free()
	answer := &collectorv1.ExportTraceServiceResponse{}
	err := s.connection.Invoke(ctx, collectorv1.TraceService_Export_FullMethodName, message, answer)
	if err == nil {
		return answer.GetPartialSuccess().GetRejectedSpans(), nil
	}
	delay, told := client.RetryAfter(err)
	switch status.Code(err) {
	case codes.ResourceExhausted:
		if !told { // the request itself is too large
			return 0, err
		}
	case codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.OutOfRange, codes.Unavailable, codes.DataLoss:
	default:
		return 0, err
	}
	return 0, refusal{err, delay}
}

type httpSender struct {
	url    string
	client *http.Client
}

func (s httpSender) close() error {
	s.client.CloseIdleConnections()
	return nil
}

func (s httpSender) send(ctx context.Context, request []byte) (int64, error) {
	call, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(request))
	if err != nil {
		return 0, err
	}
	call.Header.Set("Content-Type", "application/x-protobuf")
	answer, err := s.client.Do(call)
	if err != nil {
		return 0, refusal{err, 0}
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, answerBytesMax))
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return 0, refusal{err, 0}
	}
	switch answer.StatusCode {
	case http.StatusOK, http.StatusAccepted, http.StatusNoContent: // the latter two are not in OTLP, and in use
		return rejectedSpans(body)
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		seconds, _ := strconv.Atoi(answer.Header.Get("Retry-After")) // a date is none of ours
		return 0, refusal{fmt.Errorf("%s answers %s: %s", s.url, answer.Status, shown(body)), time.Duration(seconds) * time.Second}
	}
	return 0, fmt.Errorf("%s answers %s: %s", s.url, answer.Status, shown(body))
}

// rejectedSpans reads ExportTraceServiceResponse: 1 partial_success { 1 rejected_spans }.
// A server that answers no protobuf said that it took all.
func rejectedSpans(body []byte) (rejected int64, err error) {
	err = eachMessage(body, 1, func(partial []byte) error {
		return eachField(partial, func(f field) error {
			if f.is(1, varintWire) {
				rejected = int64(f.varint())
			}
			return nil
		})
	})
	if err != nil {
		return 0, nil //nolint:nilerr // see above
	}
	return rejected, nil
}

// shown is an answer as part of an error: its first line, not all of a page.
func shown(body []byte) string {
	line, _, _ := bytes.Cut(body, []byte("\n"))
	return strings.ToValidUTF8(string(line[:min(len(line), 300)]), "?")
}
