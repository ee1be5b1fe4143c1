package cluster_test

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
	"github.com/stoadb/stoa/wal"
)

var someImports = map[codec.Hash]uint64{{0x11}: 300, {0x01, 0x02}: 1}

// goldenImports are the bytes of docs/format/imports.md.
const goldenImports = "53544f41494d5054" + // magic STOAIMPT
	"01000000" + // version 1
	"02" + // two files
	"01020000000000000000000000000000" + "01" + // 1 record
	"11000000000000000000000000000000" + "ac02" + // 300 records
	"d77cd2c7" // CRC-32C

func TestImportLedgerKeepsItsBytes(t *testing.T) {
	b := cluster.AppendImports(nil, someImports)
	if got := hex.EncodeToString(b); got != goldenImports {
		t.Errorf("bytes\n%s, want\n%s", got, goldenImports)
	}
	if done, err := cluster.DecodeImports("imports", b); err != nil || !maps.Equal(done, someImports) {
		t.Errorf("DecodeImports = %v, %v", done, err)
	}
}

func TestImportLedgerReportsEveryCutAndFlip(t *testing.T) {
	b := cluster.AppendImports(nil, someImports)
	for cut := range len(b) {
		if _, err := cluster.DecodeImports("imports", b[:cut]); !errors.Is(err, codec.ErrCorrupt) {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
	for bit := range len(b) * 8 {
		flipped := append([]byte(nil), b...)
		flipped[bit/8] ^= 1 << (bit % 8)
		if _, err := cluster.DecodeImports("imports", flipped); !errors.Is(err, codec.ErrCorrupt) && !errors.Is(err, codec.ErrVersion) {
			t.Errorf("bit %d flipped: %v", bit, err)
		}
	}
}

// TestFullImportLedgerRefusesOneFileMore, and the folder goes on to start.
func TestFullImportLedgerRefusesOneFileMore(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: a million files, one after another")
	}
	const bytesMax, frameBytes, entryBytes = 16 << 20, 8 + 4 + 3 + 4, 17
	full := make(map[codec.Hash]uint64)
	for i := range uint32((bytesMax - frameBytes) / entryBytes) {
		var hash codec.Hash
		binary.BigEndian.PutUint32(hash[:], i)
		full[hash] = 1
	}
	disk := vfs.NewCrash(1)
	shut(t, open(t, small(disk)))
	if err := vfs.ReplaceFile(disk, "imports", cluster.AppendImports(nil, full)); err != nil {
		t.Fatal(err)
	}
	s := open(t, small(disk))
	more := codec.Hash{0xff}
	if err := s.Imports().SetRecords(more, 1); !errors.Is(err, cluster.ErrImportsFull) {
		t.Errorf("one file more: %v", err)
	}
	if n := s.Imports().Records(more); n != 0 {
		t.Errorf("the ledger says %d records of the file it refused", n)
	}
	if err := s.Imports().SetRecords(codec.Hash{}, 2); err != nil { // it takes no more bytes
		t.Errorf("more records of a file it knows: %v", err)
	}
	shut(t, s)
	s = open(t, small(disk))
	if n := s.Imports().Records(codec.Hash{}); n != 2 {
		t.Errorf("after the next start it says %d records, want 2", n)
	}
}

// TestTheLedgerNeverSaysMoreThanTheLogHolds: with a sync interval spans are acknowledged
// before they are durable, but what the ledger says is stored survives a power cut.
func TestTheLedgerNeverSaysMoreThanTheLogHolds(t *testing.T) {
	disk := vfs.NewCrash(1)
	ctx := context.Background()
	options := cluster.Options{FS: disk, Shards: 1, Log: wal.Options{SyncInterval: time.Minute, FileBytes: 1 << 20}}
	store, err := cluster.Open(ctx, options)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Write(ctx, enginetest.Numbered(1)); err != nil {
		t.Fatal(err)
	}
	if err := store.Imports().SetRecords(codec.HashBytes([]byte("a file")), 1); err != nil {
		t.Fatal(err)
	}
	options.FS = disk.Crash()
	again, err := cluster.Open(ctx, options)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := again.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	found, err := again.Find(ctx, span.AllTime())
	if err != nil {
		t.Fatal(err)
	}
	if records := again.Imports().Records(codec.HashBytes([]byte("a file"))); records != 1 || len(found) == 0 {
		t.Errorf("after a power cut the ledger says %d records are stored, and %d traces are there", records, len(found))
	}
}
