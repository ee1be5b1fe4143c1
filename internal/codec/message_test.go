package codec_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"github.com/stoadb/stoa/internal/codec"
)

// zstdFrame packs content with a window, as a stream that does not say how long it is.
func zstdFrame(t *testing.T, content []byte, windowBytes int) []byte {
	t.Helper()
	var packed bytes.Buffer
	w, err := zstd.NewWriter(&packed, zstd.WithWindowSize(windowBytes), zstd.WithEncoderConcurrency(1))
	if err == nil {
		_, err = w.Write(content[:len(content)/2])
	}
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		_, err = w.Write(content[len(content)/2:])
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func readMessage(packed []byte, take func(bytes int64) error) ([]byte, error) {
	r, err := codec.NewZstdMessage(bytes.NewReader(packed), take)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(r)
	return content, errors.Join(err, r.Close())
}

// numbers are texts that pack well, and not to nothing.
func numbers(length int) []byte {
	var content []byte
	for i := 0; len(content) < length; i++ {
		content = fmt.Appendf(content, "%d %x, ", i*i, i*7919)
	}
	return content[:length]
}

func liveBytes() int64 {
	var stats runtime.MemStats
	for range 3 { // pools let go of what they hold after two
		runtime.GC()
	}
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// A message takes no more memory than it asked for, and asks for little more than it takes: that
// of a stream with any window, and that of a frame that says how long it is.
func TestAZstdMessageHoldsWhatItAskedFor(t *testing.T) {
	const readers = 8
	content := numbers(700_000)
	frames := map[string][]byte{"one segment": codec.AppendZstd(nil, content), "one small segment": codec.AppendZstd(nil, content[:2000])}
	for windowBytes := 1 << 10; windowBytes <= codec.MessageWindowBytesMax; windowBytes *= 2 {
		frames[fmt.Sprintf("a window of %d", windowBytes)] = zstdFrame(t, content, windowBytes)
	}
	for name, packed := range frames {
		var told int64
		take := func(bytes int64) error { told += bytes; return nil }
		before := liveBytes()
		var open []io.ReadCloser
		for range readers {
			r, err := codec.NewZstdMessage(bytes.NewReader(packed), take)
			if err == nil {
				_, err = io.ReadFull(r, make([]byte, 1500))
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			open = append(open, r)
		}
		held := (liveBytes() - before) / readers
		if told /= readers; held > told || told > held+held/2+(2<<20) {
			t.Errorf("%s: holds %d bytes and asked for %d", name, held, told)
		}
		for _, r := range open {
			rest, err := io.ReadAll(r)
			if err = errors.Join(err, r.Close()); err != nil || !bytes.HasSuffix(content, rest) && name != "one small segment" {
				t.Errorf("%s: %d bytes more, %v", name, len(rest), err)
			}
		}
	}
}

// Frames of one message are read to the last one, none of them with a larger window than the first;
// where that is to be skipped its message asks for the most.
func TestFramesOfAZstdMessage(t *testing.T) {
	content := numbers(20_000)
	small, large, tooLarge := zstdFrame(t, content, 16<<10), zstdFrame(t, content, 8<<20), zstdFrame(t, content, 16<<20)
	skipped := []byte("\x50\x2a\x4d\x18\x03\x00\x00\x00abc")
	var told int64
	take := func(bytes int64) error { told = bytes; return nil }
	for name, c := range map[string]struct {
		packed []byte
		copies int // of the content; -1: damage
		told   int64
	}{
		"nothing": {nil, 0, 0}, "one": {small, 1, 16 << 10}, "two": {append(bytes.Clone(small), small...), 2, 16 << 10},
		"a small one behind a large one": {append(bytes.Clone(large), small...), 2, 8 << 20},
		"a large one behind a small one": {append(bytes.Clone(small), large...), -1, 16 << 10},
		"one behind what is skipped":     {append(bytes.Clone(skipped), small...), 1, 8 << 20},
		"half a header":                  {small[:5], -1, 0}, "no frame": {[]byte("plain text of some length"), -1, 0}, "too large a window": {tooLarge, -1, 0},
	} {
		told = 0
		got, err := readMessage(c.packed, take)
		switch {
		case c.copies < 0 && !errors.Is(err, codec.ErrCorrupt):
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		case c.copies >= 0 && (err != nil || !bytes.Equal(got, bytes.Repeat(content, c.copies))):
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		if told < c.told || told > c.told+(2<<20) {
			t.Errorf("%s: asked for %d bytes, the window is %d", name, told, c.told)
		}
	}
	refused := errors.New("no room")
	if _, err := readMessage(large, func(int64) error { return refused }); !errors.Is(err, refused) {
		t.Errorf("without room: %v", err)
	}
}

// What keeps a message from coming is told as it is, wherever it is cut.
func TestAZstdMessageTellsWhyItsSourceFailed(t *testing.T) {
	packed := zstdFrame(t, numbers(300), 1<<10)
	for _, cause := range []error{errors.New("input/output error"), io.ErrUnexpectedEOF} {
		for cut := range len(packed) + 1 {
			source := io.MultiReader(bytes.NewReader(packed[:cut]), iotest.ErrReader(cause))
			r, err := codec.NewZstdMessage(source, func(int64) error { return nil })
			if err == nil {
				_, err = io.ReadAll(r)
				_ = r.Close() // it was read as far as it goes
			}
			if !errors.Is(err, cause) || errors.Is(err, codec.ErrCorrupt) {
				t.Fatalf("%v after %d bytes: %v", cause, cut, err)
			}
		}
	}
}
