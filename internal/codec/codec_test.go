package codec_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"github.com/stoadb/stoa/internal/codec"
)

// Hashes and checksums are in files and name them: they are what they are for ever.
func TestHashesAreLaw(t *testing.T) {
	for _, c := range []struct {
		in     string
		hash   string
		hash64 uint64 // with seed 7
		crc    uint32
	}{
		{"", "99aa06d3014798d86001c324468d497f", 0x913ae0873e9b7eb8, 0},
		{"123456789", "33119477ede5dcd5e9716427681d5860", 0xd44565a47e51d7cd, 0xe3069283}, // the check value of CRC-32C
		{"a trace of spans", "b8dda11b3d208b94e012745be50dca16", 0x3d774ae97ab6f807, 0x4a0f48d5},
	} {
		got, err := codec.HashReader(strings.NewReader(c.in))
		if err != nil || got != codec.HashBytes([]byte(c.in)) {
			t.Errorf("%q: HashReader gives %v, %v", c.in, got, err)
		}
		if h, h64, crc := got.String(), codec.Hash64([]byte(c.in), 7), codec.CRC([]byte(c.in)); h != c.hash || h64 != c.hash64 || crc != c.crc {
			t.Errorf("{%q, %q, %#x, %#x},", c.in, h, h64, crc)
		}
		cut := len(c.in) / 2
		if crc := codec.CRCAppend(codec.CRC([]byte(c.in[:cut])), []byte(c.in[cut:])); crc != c.crc {
			t.Errorf("%q in two pieces: %#x", c.in, crc)
		}
	}
}

// An error of a place says it, is what it was before, and tells the file; others tell none.
func TestAnErrorTellsItsFile(t *testing.T) {
	err := fmt.Errorf("merge: %w", codec.At(codec.Corrupt("a page"), "7.seg", 12))
	if got, want := err.Error(), "merge: 7.seg: offset 12: corrupt data: a page"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if !errors.Is(err, codec.ErrCorrupt) || codec.FileOf(err) != "7.seg" {
		t.Errorf("corrupt %v, in %q", errors.Is(err, codec.ErrCorrupt), codec.FileOf(err))
	}
	if none := codec.FileOf(codec.Corrupt("a page")) + codec.FileOf(nil); none != "" {
		t.Errorf("no file is told, but %q", none)
	}
}

// samples are contents that compressors treat differently.
func samples() [][]byte {
	noise := make([]byte, 5000)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	return [][]byte{nil, {1}, noise, bytes.Repeat([]byte("service.name"), 3000), append(noise[:700:700], make([]byte, 70_000)...)}
}

func TestZstdRoundTrip(t *testing.T) {
	prefix := []byte("in front")
	for i, content := range samples() {
		packed := codec.AppendZstd(prefix, content)
		if !bytes.Equal(packed[:len(prefix)], prefix) || !bytes.Equal(packed[len(prefix):], codec.AppendZstd(nil, content)) {
			t.Fatalf("sample %d: does not append", i)
		}
		packed = packed[len(prefix):]
		got, err := codec.DecodeZstd(bytes.Clone(prefix), packed, len(content))
		if err != nil || !bytes.Equal(got, append(bytes.Clone(prefix), content...)) {
			t.Fatalf("sample %d: %d bytes, %v", i, len(got), err)
		}
		for _, size := range []int{-1, len(content) - 1, len(content) + 1, 1 << 40} {
			if got, err := codec.DecodeZstd(bytes.Clone(prefix), packed, size); !errors.Is(err, codec.ErrCorrupt) || !bytes.Equal(got, prefix) {
				t.Fatalf("sample %d of %d bytes read as %d: %v", i, len(content), size, err)
			}
		}
		for cut := 1; cut < len(packed); cut += 1 + cut/7 {
			if _, err := codec.DecodeZstd(nil, packed[:cut], len(content)); !errors.Is(err, codec.ErrCorrupt) {
				t.Fatalf("sample %d cut at %d of %d: %v", i, cut, len(packed), err)
			}
		}
	}
}

// A part is what DecodeZstd gives of it; a size that is not the content's, a part outside of
// it and a frame cut in front of its end are ErrCorrupt.
func TestZstdParts(t *testing.T) {
	long := bytes.Repeat([]byte("GET /orders took 13 ms;"), 20_000)
	for i, content := range append(samples()[2:], long) {
		packed, prefix := codec.AppendZstdText(nil, content), []byte("in front")
		for _, part := range [][2]int{{0, len(content)}, {0, 0}, {len(content), len(content)}, {0, 1}, {len(content) - 1, len(content)},
			{len(content) / 3, len(content) / 2}, {len(content) / 2, len(content)/2 + len(content)/9}} {
			got, err := codec.DecodeZstdPart(bytes.Clone(prefix), packed, len(content), part[0], part[1])
			if want := append(bytes.Clone(prefix), content[part[0]:part[1]]...); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("sample %d, part %v: %d bytes, %v", i, part, len(got), err)
			}
		}
		for _, c := range [][3]int{{len(content) + 1, 0, 1}, {len(content) - 1, 0, 0}, {len(content), 0, len(content) + 1}, {len(content), 1, 0}, {len(content), -1, 1}} {
			if got, err := codec.DecodeZstdPart(bytes.Clone(prefix), packed, c[0], c[1], c[2]); !errors.Is(err, codec.ErrCorrupt) || !bytes.Equal(got, prefix) {
				t.Fatalf("sample %d of %d bytes, part [%d, %d) of %d: %v", i, len(content), c[1], c[2], c[0], err)
			}
		}
		for cut := range min(len(packed), 2000) {
			if got, err := codec.DecodeZstdPart(bytes.Clone(prefix), packed[:cut], len(content), 0, len(content)); !errors.Is(err, codec.ErrCorrupt) || !bytes.Equal(got, prefix) {
				t.Fatalf("sample %d cut at %d of %d: %v", i, cut, len(packed), err)
			}
		}
	}
}

func TestS2RoundTrip(t *testing.T) {
	prefix := []byte("in front")
	for i, content := range samples() {
		packed := codec.AppendS2(bytes.Clone(prefix), content)[len(prefix):]
		if got, err := codec.DecodeS2(nil, packed); err != nil || !bytes.Equal(got, content) {
			t.Fatalf("sample %d: %d bytes, %v", i, len(got), err)
		}
		for cut := 0; cut < len(packed); cut += 1 + cut/7 {
			if _, err := codec.DecodeS2(nil, packed[:cut]); !errors.Is(err, codec.ErrCorrupt) {
				t.Fatalf("sample %d cut at %d of %d: %v", i, cut, len(packed), err)
			}
		}
	}
	if _, err := codec.DecodeS2(nil, []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0}); !errors.Is(err, codec.ErrCorrupt) {
		t.Fatalf("a block that claims 4 GiB: %v", err)
	}
}

// A stream is read whole, damage in it is ErrCorrupt, and a window beyond the bound is
// refused before it is taken.
func TestZstdStream(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<20) // 16 MiB
	var packed bytes.Buffer
	w, err := zstd.NewWriter(&packed, zstd.WithWindowSize(16<<20), zstd.WithEncoderCRC(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	readAll := func(b []byte, windowBytesMax uint64) ([]byte, error) {
		r, err := codec.NewZstdReader(bytes.NewReader(b), windowBytesMax)
		if err != nil {
			return nil, err
		}
		defer func() { _ = r.Close() }()
		return io.ReadAll(r)
	}
	if got, err := readAll(packed.Bytes(), codec.FileWindowBytesMax); err != nil || !bytes.Equal(got, content) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if _, err := readAll(packed.Bytes(), codec.MessageWindowBytesMax); !errors.Is(err, codec.ErrCorrupt) {
		t.Fatalf("a window of 16 MiB in a message: %v", err)
	}
	damaged := bytes.Clone(packed.Bytes())
	damaged[len(damaged)-1] ^= 1 // in the content's checksum
	for _, b := range [][]byte{damaged, packed.Bytes()[:packed.Len()/2], []byte("no stream")} {
		if _, err := readAll(b, codec.FileWindowBytesMax); !errors.Is(err, codec.ErrCorrupt) {
			t.Fatalf("damage: %v", err)
		}
	}
}

// What keeps the bytes from coming is told as it is, wherever in the stream: only wrong
// bytes are ErrCorrupt.
func TestAWrittenZstdStreamIsReadBack(t *testing.T) {
	var all []byte
	for i, content := range append(samples(), bytes.Repeat([]byte("0123456789abcdef"), 1<<20)) {
		var streams [2]bytes.Buffer
		for s := range streams {
			w, err := codec.NewZstdWriter(&streams[s])
			if err != nil {
				t.Fatal(err)
			}
			for piece := range slices.Chunk(content, 1000*(s+1)) {
				if _, err := w.Write(piece); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(streams[0].Bytes(), streams[1].Bytes()) {
			t.Errorf("sample %d: the stream depends on the pieces that it was written in", i)
		}
		r, err := codec.NewZstdReader(&streams[0], codec.MessageWindowBytesMax)
		if err != nil {
			t.Fatal(err)
		}
		if all, err = io.ReadAll(r); err != nil || !bytes.Equal(all, content) {
			t.Errorf("sample %d: %d bytes of %d, %v", i, len(all), len(content), err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestZstdStreamTellsWhyItsSourceFailed(t *testing.T) {
	var packed bytes.Buffer
	w, err := zstd.NewWriter(&packed)
	if err == nil {
		_, err = w.Write(bytes.Repeat([]byte("0123456789abcdef"), 100))
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	for _, cause := range []error{errors.New("input/output error"), io.ErrUnexpectedEOF} {
		for cut := range packed.Len() + 1 {
			source := io.MultiReader(bytes.NewReader(packed.Bytes()[:cut]), iotest.ErrReader(cause))
			r, err := codec.NewZstdReader(source, codec.MessageWindowBytesMax)
			if err == nil {
				_, err = io.ReadAll(r)
				_ = r.Close()
			}
			if !errors.Is(err, cause) || errors.Is(err, codec.ErrCorrupt) {
				t.Fatalf("%v after %d bytes: %v", cause, cut, err)
			}
		}
	}
}

// Whatever a Reader is asked beyond its input fails, sticks, and gives zero values.
func TestReaderStaysInBounds(t *testing.T) {
	for name, read := range map[string]func(*codec.Reader) bool{
		"Uvarint":     func(r *codec.Reader) bool { return r.Uvarint() == 0 },
		"Varint":      func(r *codec.Reader) bool { return r.Varint() == 0 },
		"Count":       func(r *codec.Reader) bool { return r.Count(1) == 0 },
		"Bytes":       func(r *codec.Reader) bool { return r.Bytes(3) == nil },
		"less than 0": func(r *codec.Reader) bool { return r.Bytes(-1) == nil },
		"LengthBytes": func(r *codec.Reader) bool { return len(r.LengthBytes()) == 0 },
		"Uint32":      func(r *codec.Reader) bool { return r.Uint32() == 0 },
		"Uint64":      func(r *codec.Reader) bool { return r.Uint64() == 0 },
	} {
		r := codec.NewReader([]byte{0xff, 0xff}) // an open varint, and too short for the rest
		if !read(r) || !errors.Is(r.Err(), codec.ErrCorrupt) {
			t.Errorf("%s: %v", name, r.Err())
		}
		first := r.Err()
		if r.Uint8() != 0 || r.Bytes(0) == nil && r.Len() != 0 || r.Err() != first {
			t.Errorf("%s: the failure did not stick: %v", name, r.Err())
		}
	}
	r := codec.NewReader([]byte{200, 1, 9})
	if r.Count(1); r.Err() == nil {
		t.Error("200 things in one byte")
	}
	r = codec.NewReader(codec.AppendLengthBytes([]byte{7, 3}, []byte("abc")))
	if r.Uint8() != 7 || r.Varint() != -2 || string(r.LengthBytes()) != "abc" || r.Len() != 0 || r.Offset() != 6 || r.Err() != nil {
		t.Errorf("at %d: %v", r.Offset(), r.Err())
	}
}

func TestTextsUnderZstdTakeFewerBitsWhereNothingRepeats(t *testing.T) {
	r, digits := rand.New(rand.NewPCG(2, 2)), make([]byte, 8000)
	for i := range digits {
		digits[i] = '0' + byte(r.UintN(10))
	}
	packed := codec.AppendZstdText(nil, digits)
	got, err := codec.DecodeZstd(nil, packed, len(digits))
	if err != nil || !bytes.Equal(got, digits) || 2*len(packed) > len(digits) {
		t.Fatalf("%d digits take %d bytes, %v", len(digits), len(packed), err)
	}
}

// A second frame behind the first one is refused, whatever it says to hold.
func TestZstdContentBeyondItsSizeIsRefused(t *testing.T) {
	two := codec.AppendZstd(codec.AppendZstd(nil, []byte("what was promised")), make([]byte, 64<<20))
	if got, err := codec.DecodeZstd(nil, two, 17); !errors.Is(err, codec.ErrCorrupt) || cap(got) > 1<<20 {
		t.Fatalf("%d bytes, room for %d, %v", len(got), cap(got), err)
	}
	if _, err := codec.DecodeZstd(nil, two[:20], 200<<20); !errors.Is(err, codec.ErrCorrupt) {
		t.Fatal(err)
	}
}
