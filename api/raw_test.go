package api_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net/http"
	"strconv"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// call makes a gRPC call whose body is the given bytes, as no library of gRPC would
// send them, and gives the status of the answer.
func call(t testing.TB, address, method, encoding string, body []byte) error {
	t.Helper()
	return post(t, address, method, encoding, bytes.NewReader(body))
}

// callSlowly is call with a body that begins and does not go on.
func callSlowly(t testing.TB, address, method, begin string) error {
	t.Helper()
	reader, writer := io.Pipe()
	defer writer.Close()
	go io.WriteString(writer, begin)
	return post(t, address, method, "", reader)
}

func post(t testing.TB, address, method, encoding string, body io.Reader) error {
	t.Helper()
	transport := &http.Transport{Protocols: &http.Protocols{}}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+method, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/grpc")
	request.Header.Set("Te", "trailers")
	if encoding != "" {
		request.Header.Set("Grpc-Encoding", encoding)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
	answer := response.Trailer
	if answer.Get("Grpc-Status") == "" {
		answer = response.Header
	}
	code, err := strconv.Atoi(answer.Get("Grpc-Status"))
	if err != nil {
		t.Fatalf("no status: %v %v", response.Header, response.Trailer)
	}
	return status.Error(codes.Code(code), answer.Get("Grpc-Message"))
}

// frame is a message as gRPC frames it.
func frame(isCompressed bool, message []byte) []byte {
	head := []byte{0}
	if isCompressed {
		head[0] = 1
	}
	return append(binary.BigEndian.AppendUint32(head, uint32(len(message))), message...)
}
