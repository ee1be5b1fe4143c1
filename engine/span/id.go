package span

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
)

// TraceID is 16 bytes, big endian; a 64-bit id is left-padded with zeros.
type TraceID [16]byte

// SpanID is 8 bytes, big endian. All zeros means "none".
type SpanID [8]byte

// ParseTraceID reads 1 to 32 hex digits, left-padding short ones with zeros.
func ParseTraceID(text string) (TraceID, error) {
	var id TraceID
	if len(text) == 0 || len(text) > 32 {
		return id, fmt.Errorf("trace id %q: want 1 to 32 hex digits", text)
	}
	if _, err := hex.Decode(id[:], []byte(strings.Repeat("0", 32-len(text))+text)); err != nil {
		return id, fmt.Errorf("trace id %q: %w", text, err)
	}
	return id, nil
}

// String gives 32 hex digits.
func (t TraceID) String() string { return hex.EncodeToString(t[:]) }

// Compare orders ids as big-endian numbers.
func (t TraceID) Compare(other TraceID) int {
	if c := cmp.Compare(binary.BigEndian.Uint64(t[:8]), binary.BigEndian.Uint64(other[:8])); c != 0 {
		return c
	}
	return cmp.Compare(binary.BigEndian.Uint64(t[8:]), binary.BigEndian.Uint64(other[8:]))
}

// String gives 16 hex digits.
func (s SpanID) String() string { return hex.EncodeToString(s[:]) }

// Compare orders ids as big-endian numbers.
func (s SpanID) Compare(other SpanID) int {
	return cmp.Compare(binary.BigEndian.Uint64(s[:]), binary.BigEndian.Uint64(other[:]))
}

// IsZero reports the id that means "none".
func (s SpanID) IsZero() bool { return s == SpanID{} }
