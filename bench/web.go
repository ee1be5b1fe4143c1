package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/stoadb/stoa/engine/span"
)

// web is one connection to an API over HTTP. Nothing is compressed, as over gRPC: what
// is timed is the server's answer, not zlib. Its memory serves the next answer.
type web struct {
	root      string // URL without a slash at its end
	transport *http.Transport
	body      bytes.Buffer
}

// errNotFound is the status 404, which some APIs answer a search with that finds nothing.
var errNotFound = errors.New("404 Not Found")

// errRefused is an answer of a server that lives and refuses: 429, or 503 with the word to come
// again. It is what RESOURCE_EXHAUSTED, and UNAVAILABLE with RetryInfo, are over gRPC.
var errRefused = errors.New("refused")

// CheckURL tells why an address can be none of an API over HTTP.
func CheckURL(address string) error {
	_, err := rootOf(address)
	return err
}

// rootOf makes a URL of HOST:PORT, and takes one as it is.
func rootOf(address string) (string, error) {
	root := address
	if !strings.Contains(address, "://") {
		root = "http://" + address
	}
	u, err := url.Parse(root)
	isURL := root == address
	if err != nil || u.Scheme != "http" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" || !isURL && (u.Port() == "" || u.Path != "") {
		return "", fmt.Errorf("address %q: want HOST:PORT or http://HOST[:PORT]/PATH", address)
	}
	return strings.TrimRight(root, "/"), nil
}

func newWeb(address string) (*web, error) {
	root, err := rootOf(address)
	if err != nil {
		return nil, err
	}
	return &web{root: root, transport: &http.Transport{DisableCompression: true, MaxConnsPerHost: 1}}, nil
}

func (w *web) close() error {
	w.transport.CloseIdleConnections()
	return nil
}

// get asks for a path and gives the answer, which the next call overwrites. Pages for people,
// which some servers answer any path with that they do not know, are ErrNotServed.
func (w *web) get(ctx context.Context, path string, parameters url.Values) ([]byte, error) {
	return w.getAs(ctx, path, parameters, "application/json")
}

// getAs is get that says which form of answer it takes.
func (w *web) getAs(ctx context.Context, path string, parameters url.Values, accept string) ([]byte, error) {
	address := w.root + path
	if len(parameters) > 0 {
		address += "?" + parameters.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", accept)
	answer, err := w.transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }() // read to its end, or given up
	w.body.Reset()
	n, err := w.body.ReadFrom(io.LimitReader(answer.Body, webAnswerBytesMax+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("GET %s: %w", path, err)
	case n > webAnswerBytesMax:
		return nil, fmt.Errorf("GET %s: an answer of more than %d bytes", path, webAnswerBytesMax)
	}
	form, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type")) // none is none of those asked for
	switch code := answer.StatusCode; {
	case code == http.StatusOK && form == "text/html":
		return nil, fmt.Errorf("GET %s: %w: it answers a page", path, ErrNotServed)
	case code == http.StatusOK:
		return w.body.Bytes(), nil
	case code == http.StatusNotFound:
		return nil, fmt.Errorf("GET %s: %w: %.200q", path, errNotFound, bytes.TrimSpace(w.body.Bytes()))
	case code == http.StatusMethodNotAllowed || code == http.StatusNotImplemented ||
		code == http.StatusBadRequest && bytes.Contains(w.body.Bytes(), []byte("unsupported path")): // VictoriaTraces
		return nil, fmt.Errorf("GET %s: %w: %s", path, ErrNotServed, answer.Status)
	case code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable && answer.Header.Get("Retry-After") != "":
		return nil, fmt.Errorf("GET %s: %w: %s: %.200q", path, errRefused, answer.Status, bytes.TrimSpace(w.body.Bytes()))
	}
	return nil, fmt.Errorf("GET %s: %s: %.200q", address, answer.Status, bytes.TrimSpace(w.body.Bytes()))
}

// catalog is get for a path that there is something at, or the server does not know it.
func (w *web) catalog(ctx context.Context, path string, parameters url.Values) ([]byte, error) {
	body, err := w.get(ctx, path, parameters)
	if errors.Is(err, errNotFound) {
		err = fmt.Errorf("%w: %w", ErrNotServed, err)
	}
	return body, err
}

// traceAsker is an Asker whose API tells a trace that is not there by 404, as a server tells
// a path that it does not know.
type traceAsker interface {
	// trace gives the answer about one trace; errNotFound is either 404.
	trace(ctx context.Context, id span.TraceID) ([]byte, error)
}

// yieldFound hands on the answer about one trace, where there is one.
func yieldFound(ctx context.Context, w traceAsker, id span.TraceID, yield func(chunk []byte) error) error {
	body, err := w.trace(ctx, id)
	if errors.Is(err, errNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return yield(body)
}

// servesTraces asks for traces that are there, until one is not answered by 404: a server
// that may have lost one is not one that knows no such path. If all are, it is ErrNotServed.
func servesTraces(ctx context.Context, c Asker, there []span.TraceID) error {
	asker, ok := c.(traceAsker)
	if !ok || len(there) == 0 {
		return nil
	}
	var err error
	for _, id := range there {
		if _, err = asker.trace(ctx, id); !errors.Is(err, errNotFound) {
			return err
		}
	}
	return fmt.Errorf("%w: %d traces that are there: %w", ErrNotServed, len(there), err)
}
