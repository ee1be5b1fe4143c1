package engine_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/internal/codec"
)

// TestAnEntryComesBackAsItWas holds for any parts, also empty and repeated ones.
func TestAnEntryComesBackAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := engine.Entry{Received: rapid.Int64().Draw(t, "received")}
		for _, form := range rapid.SliceOfN(rapid.SliceOf(rapid.Byte()), 0, 6).Draw(t, "forms") {
			e.Parts = append(e.Parts, engine.Part{Hash: codec.HashBytes(form), Bytes: rapid.IntRange(0, 256<<20).Draw(t, "bytes"), Form: form})
		}
		prefix := []byte("before")
		data := e.AppendBinary(prefix)
		if !bytes.HasPrefix(data, prefix) {
			t.Fatal("AppendBinary does not append")
		}
		room := make([]byte, 0, e.EncodedBytesMax())
		if cap(e.AppendBinary(room)) != cap(room) {
			t.Fatalf("%d bytes took more than the %d told beforehand", len(data)-len(prefix), cap(room))
		}
		got, err := engine.DecodeEntry(data[len(prefix):])
		if err != nil {
			t.Fatal(err)
		}
		if got.Received != e.Received || len(got.Parts) != len(e.Parts) {
			t.Fatalf("got %d parts at %d, want %d at %d", len(got.Parts), got.Received, len(e.Parts), e.Received)
		}
		for i, p := range got.Parts {
			if want := &e.Parts[i]; p.Hash != want.Hash || p.Bytes != want.Bytes || !bytes.Equal(p.Form, want.Form) || p.Request != nil || p.Batch != nil {
				t.Fatalf("part %d differs", i)
			}
		}
	})
}

// goldenEntry was written by the first version that holds forms. The block's bytes may differ
// between builds of the compressor, so the test reads it and compares what stands before it.
const goldenEntry = "" +
	"02" + // version
	"0000faed51728618" + // received
	"02" + // parts
	"5ce99bf9d55c256fa2adef48bfd59c8e" + "5a" + "5e" + // hash, bytes and length of the form of a request of one span
	"99aa06d3014798d86001c324468d497f" + "00" + "00" + // and of nothing
	"5e34010405008c60010300020101010005011001020201301500060c310000300900b4310000c084a5f09eca9cc31800f4030100010000736572766963652e6e616d656e756d62657265647370616e2031" // S2 block

// goldenRequests is an entry of version 1, which held requests.
const goldenRequests = "" +
	"01" + // version
	"0000faed51728618" + // received
	"02" + // parts
	"b5e9c1ad071b3e7fc779cfaa5e523818" + "05" + // hash and length of "hello"
	"99aa06d3014798d86001c324468d497f" + "00" + // and of nothing
	"051068656c6c6f" // S2 block

// entryOfRequests is an entry as version 1 wrote it.
func entryOfRequests(received int64, requests ...[]byte) []byte {
	data := binary.LittleEndian.AppendUint64([]byte{1}, uint64(received))
	data = binary.AppendUvarint(data, uint64(len(requests)))
	for _, r := range requests {
		hash := codec.HashBytes(r)
		data = binary.AppendUvarint(append(data, hash[:]...), uint64(len(r)))
	}
	return codec.AppendS2(data, bytes.Join(requests, nil))
}

func TestGoldenEntry(t *testing.T) {
	e := engine.Entry{Received: 1_767_225_600_000_000_000, Parts: []engine.Part{partOf(enginetest.Numbered(1)), {Hash: codec.HashBytes(nil)}}}
	block := 1 + 8 + 1 + 2*(16+1+1)
	if got := hex.EncodeToString(e.AppendBinary(nil)); len(goldenEntry) < 2*block || got[:2*block] != goldenEntry[:2*block] {
		t.Fatalf("the format changed:\n got %s\nwant %s", got, goldenEntry)
	}
	data, err := hex.DecodeString(goldenEntry)
	if err != nil {
		t.Fatal(err)
	}
	got, err := engine.DecodeEntry(data)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range got.Parts {
		if want := &e.Parts[i]; len(got.Parts) != 2 || p.Bytes != want.Bytes || !bytes.Equal(p.Form, want.Form) || got.Received != e.Received {
			t.Fatalf("got %+v", got)
		}
	}
}

func TestAGoldenEntryOfRequestsIsRead(t *testing.T) {
	data, err := hex.DecodeString(goldenRequests)
	if err != nil {
		t.Fatal(err)
	}
	got, err := engine.DecodeEntry(data)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Parts) != 2 || string(got.Parts[0].Request) != "hello" || got.Parts[0].Bytes != 5 || got.Parts[0].Form != nil ||
		len(got.Parts[1].Request) != 0 || got.Received != 1_767_225_600_000_000_000 {
		t.Fatalf("got %+v", got)
	}
	if again := entryOfRequests(got.Received, []byte("hello"), nil); hex.EncodeToString(again)[:88] != goldenRequests[:88] {
		t.Fatalf("the test writes version 1 otherwise: %x", again)
	}
}

// What only version 1 could hold would be lost in this one.
func TestAnEntryOfRequestsIsNotWritten(t *testing.T) {
	data, err := hex.DecodeString(goldenRequests)
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.DecodeEntry(data)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("an entry of a request was written without it")
		}
	}()
	e.AppendBinary(nil)
}

func TestAnEntryOfALaterVersionIsNoDamage(t *testing.T) {
	later := (&engine.Entry{Received: 1}).AppendBinary(nil)
	later[0]++
	if _, err := engine.DecodeEntry(later); !errors.Is(err, codec.ErrVersion) || errors.Is(err, codec.ErrCorrupt) {
		t.Fatal(err)
	}
}

// TestAWrongEntryIsAnError: cut anywhere or with any bit flipped it either says so or
// still has parts that are what their hashes say.
func TestAWrongEntryIsAnError(t *testing.T) {
	content := bytes.Repeat([]byte("some content that repeats "), 20)
	e := engine.Entry{Received: 5, Parts: []engine.Part{
		{Hash: codec.HashBytes(content), Bytes: 300, Form: content},
		{Hash: codec.HashBytes(content[:7]), Bytes: 2, Form: content[:7]},
	}}
	for name, whole := range map[string][]byte{"forms": e.AppendBinary(nil), "requests": entryOfRequests(5, content, content[:7])} {
		t.Run(name, func(t *testing.T) {
			for cut := range whole {
				if _, err := engine.DecodeEntry(whole[:cut]); !errors.Is(err, codec.ErrCorrupt) {
					t.Fatalf("cut at %d: %v", cut, err)
				}
			}
			for bit := range len(whole) * 8 {
				data := bytes.Clone(whole)
				data[bit/8] ^= 1 << (bit % 8)
				got, err := engine.DecodeEntry(data)
				if err != nil {
					if !errors.Is(err, codec.ErrCorrupt) && !errors.Is(err, codec.ErrVersion) {
						t.Fatalf("bit %d: %v", bit, err)
					}
					continue
				}
				for i, p := range got.Parts {
					if codec.HashBytes(append(p.Request, p.Form...)) != p.Hash || p.Hash != e.Parts[i].Hash {
						t.Fatalf("bit %d: part %d is another one", bit, i)
					}
				}
			}
		})
	}
}

func FuzzDecodeEntry(f *testing.F) {
	for _, golden := range []string{goldenEntry, goldenRequests} {
		data, _ := hex.DecodeString(golden)
		f.Add(data)
	}
	f.Add((&engine.Entry{Received: 1}).AppendBinary(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := engine.DecodeEntry(data)
		if err != nil || data[0] == 1 {
			return
		}
		again, err := engine.DecodeEntry(e.AppendBinary(nil))
		if err != nil || len(again.Parts) != len(e.Parts) || again.Received != e.Received {
			t.Fatalf("decoded, encoded and decoded: %v", err)
		}
	})
}
