package engine_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/internal/codec"
)

// TestAnEntryComesBackAsItWas holds for any parts, also empty and repeated ones.
func TestAnEntryComesBackAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := engine.Entry{Received: rapid.Int64().Draw(t, "received")}
		for _, payload := range rapid.SliceOfN(rapid.SliceOf(rapid.Byte()), 0, 6).Draw(t, "payloads") {
			e.Parts = append(e.Parts, engine.Part{Hash: codec.HashBytes(payload), Payload: payload})
		}
		prefix := []byte("before")
		data := e.AppendBinary(prefix)
		if !bytes.HasPrefix(data, prefix) {
			t.Fatal("AppendBinary does not append")
		}
		got, err := engine.DecodeEntry(data[len(prefix):])
		if err != nil {
			t.Fatal(err)
		}
		if got.Received != e.Received || len(got.Parts) != len(e.Parts) {
			t.Fatalf("got %d parts at %d, want %d at %d", len(got.Parts), got.Received, len(e.Parts), e.Received)
		}
		for i, p := range got.Parts {
			if p.Hash != e.Parts[i].Hash || !bytes.Equal(p.Payload, e.Parts[i].Payload) {
				t.Fatalf("part %d differs", i)
			}
		}
	})
}

// goldenEntry was written by the first version. The block's bytes may differ between
// builds of the compressor, so the test reads it and compares what stands before it.
const goldenEntry = "" +
	"01" + // version
	"0000faed51728618" + // received
	"02" + // parts
	"b5e9c1ad071b3e7fc779cfaa5e523818" + "05" + // hash and length of "hello"
	"99aa06d3014798d86001c324468d497f" + "00" + // and of nothing
	"051068656c6c6f" // S2 block

func TestGoldenEntry(t *testing.T) {
	parts := [][]byte{[]byte("hello"), {}}
	e := engine.Entry{Received: 1_767_225_600_000_000_000}
	for _, p := range parts {
		e.Parts = append(e.Parts, engine.Part{Hash: codec.HashBytes(p), Payload: p})
	}
	if got := hex.EncodeToString(e.AppendBinary(nil)); got[:88] != goldenEntry[:88] {
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
	if len(got.Parts) != 2 || string(got.Parts[0].Payload) != "hello" || len(got.Parts[1].Payload) != 0 || got.Received != e.Received {
		t.Fatalf("got %+v", got)
	}
}

// TestAWrongEntryIsAnError: cut anywhere or with any bit flipped it either says so or
// still has parts that are what their hashes say.
func TestAWrongEntryIsAnError(t *testing.T) {
	payload := bytes.Repeat([]byte("some payload that repeats "), 20)
	e := engine.Entry{Received: 5, Parts: []engine.Part{
		{Hash: codec.HashBytes(payload), Payload: payload},
		{Hash: codec.HashBytes(payload[:7]), Payload: payload[:7]},
	}}
	whole := e.AppendBinary(nil)
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
			if codec.HashBytes(p.Payload) != p.Hash || p.Hash != e.Parts[i].Hash {
				t.Fatalf("bit %d: part %d is another one", bit, i)
			}
		}
	}
}

func FuzzDecodeEntry(f *testing.F) {
	data, _ := hex.DecodeString(goldenEntry)
	f.Add(data)
	f.Add((&engine.Entry{Received: 1}).AppendBinary(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := engine.DecodeEntry(data)
		if err != nil {
			return
		}
		again, err := engine.DecodeEntry(e.AppendBinary(nil))
		if err != nil || len(again.Parts) != len(e.Parts) || again.Received != e.Received {
			t.Fatalf("decoded, encoded and decoded: %v", err)
		}
	})
}
