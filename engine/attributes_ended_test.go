package engine_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stoadb/stoa/engine"
)

// TestACancelledCountReadsNoMore of a segment than the few pages of the row group at which it is, whatever it reads: codes
// of resources, columns of more keys than a segment counts, map columns. Nobody else who counts into the same place waits
// for a read.
func TestACancelledCountReadsNoMore(t *testing.T) {
	long := func(i int) string { return fmt.Sprintf("%d %s", i, strings.Repeat("long", 150)) }
	for name, request := range map[string][]byte{
		"two resources": ofTwoResources(12 * 4096),
		"many keys":     withKeys(8*4096, func(i int) string { return fmt.Sprint("key ", i%4500) }),
		"long keys":     withKeys(4500, long),
	} {
		w := newWorld(t, 1, 1)
		w.options.MemtableBytesMax = 1 << 30
		w.mustOpen()
		w.apply(request)
		if err := w.shard.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		_ = w.shard.Close()
		fs, s := onBrokenDisk(t, w)
		s.ReadTables(t.Context(), func() {})
		for what, key := range map[string]string{"keys": "", "values": "key 4321", "values of resources": "service.name"} {
			// count asks, ends the question at one of the reads, and tells how many there were.
			count := func(endAt int) (reads int, err error) {
				keys, values := engine.NewKeyCounter(), engine.NewValueCounter(key)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				fs.before = func(string, int64) error {
					if reads++; reads == endAt {
						cancel()
						mustNotWait(t, func() { keys.Keys(); values.Values(1) })
					}
					return nil
				}
				defer func() { fs.before = nil }()
				if what == "keys" {
					err = s.Keys(ctx, keys)
				} else {
					err = s.Values(ctx, values)
				}
				return reads, err
			}
			all, err := count(0)
			if err != nil {
				t.Fatal(err)
			}
			const pages = 3 // of a row group, in a read for each
			for _, endAt := range []int{1, 2, all / 3, all / 2} {
				if all <= 2*pages { // nothing of row groups
					continue
				}
				if reads, err := count(endAt); !errors.Is(err, context.Canceled) || reads > endAt+pages {
					t.Errorf("%s, %s, cancelled at read %d of %d: %d reads, %v", name, what, endAt, all, reads, err)
				}
			}
		}
		_ = s.Close()
	}
}

// mustNotWait fails where work is not done soon.
func mustNotWait(t *testing.T, work func()) {
	done := make(chan struct{})
	go func() { work(); close(done) }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Error("who counts into the same place waits for a read")
	}
}

// ofTwoResources is a request of so many traces, of one service and another in turn.
func ofTwoResources(n int) (request []byte) {
	field := func(dst []byte, number uint64, content []byte) []byte {
		return append(binary.AppendUvarint(binary.AppendUvarint(dst, number<<3|2), uint64(len(content))), content...)
	}
	for service := range 2 {
		name := field(field(nil, 1, []byte("service.name")), 2, field(nil, 1, fmt.Append(nil, "service ", service)))
		var spans []byte
		for i := service; i < n; i += 2 {
			id := binary.BigEndian.AppendUint64(bytes.Repeat([]byte{1}, 8), uint64(i+1))
			spans = field(spans, 2, field(field(nil, 1, id), 2, id[8:]))
		}
		request = field(request, 1, field(field(nil, 1, field(nil, 1, name)), 2, spans))
	}
	return request
}
