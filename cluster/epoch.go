package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// Epoch says how the traces of a folder are spread: a trace placed by another count or
// another hash would be looked for in the wrong shard. The record is written once, when
// the folder is made. The file (docs/format/epoch.md):
//
//	magic "STOAEPCH" | version u32 | shards u32 | length u8, name of the hash | CRC-32C u32
//
// Integers are little endian; the checksum is over everything before it.
type Epoch struct {
	Shards int
	Hash   string
}

const (
	epochFile    = "epoch"
	epochMagic   = "STOAEPCH"
	epochVersion = 1
)

// AppendBinary appends the record of version 1.
func (e Epoch) AppendBinary(dst []byte) []byte {
	begin := len(dst)
	dst = append(dst, epochMagic...)
	dst = binary.LittleEndian.AppendUint32(dst, epochVersion)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(e.Shards))
	dst = append(append(dst, byte(len(e.Hash))), e.Hash...)
	return binary.LittleEndian.AppendUint32(dst, codec.CRC(dst[begin:]))
}

// DecodeEpoch reads what AppendBinary wrote. A newer version is codec.ErrVersion, all
// else that is wrong codec.ErrCorrupt; file names the bytes in the error.
func DecodeEpoch(file string, b []byte) (Epoch, error) {
	r := codec.NewReader(b)
	if magic := r.Bytes(len(epochMagic)); r.Err() != nil || string(magic) != epochMagic {
		return Epoch{}, codec.At(codec.Corrupt("not an epoch record"), file, 0)
	}
	version := r.Uint32()
	if r.Err() == nil && version > epochVersion {
		return Epoch{}, codec.At(fmt.Errorf("%w: version %d, this Stoa reads up to %d",
			codec.ErrVersion, version, epochVersion), file, int64(len(epochMagic)))
	}
	e := Epoch{Shards: int(r.Uint32())}
	e.Hash = string(r.Bytes(int(r.Uint8())))
	end := r.Offset()
	sum := r.Uint32()
	switch {
	case r.Err() != nil:
		return Epoch{}, codec.At(r.Err(), file, int64(r.Offset()))
	case sum != codec.CRC(b[:end]):
		return Epoch{}, codec.At(codec.Corrupt("checksum"), file, int64(end))
	case r.Len() != 0:
		return Epoch{}, codec.At(codec.Corrupt("%d bytes too many", r.Len()), file, int64(r.Offset()))
	case version == 0 || e.Shards < 1 || e.Shards > ShardsMax:
		return Epoch{}, codec.At(codec.Corrupt("version %d with %d shards", version, e.Shards), file, int64(len(epochMagic)))
	}
	return e, nil
}

// openEpoch reads the folder's record, or writes it into a folder that holds nothing
// yet. shards 0 takes what the folder says.
func openEpoch(disk vfs.FS, shards int) (Epoch, error) {
	b, err := vfs.ReadFile(disk, epochFile, fileBytesMax)
	if errors.Is(err, fs.ErrNotExist) {
		return newEpoch(disk, shards)
	}
	if err != nil {
		return Epoch{}, err
	}
	e, err := DecodeEpoch(epochFile, b)
	switch {
	case err != nil:
		return Epoch{}, err
	case e.Hash != placeHash:
		return Epoch{}, fmt.Errorf("%s: traces are placed by %q, this Stoa knows %q only", epochFile, e.Hash, placeHash)
	case shards != 0 && shards != e.Shards:
		return Epoch{}, fmt.Errorf("the folder has %d shards, %d were asked for: "+
			"the number is fixed when a folder is made; leave it out, or use another folder", e.Shards, shards)
	}
	return e, nil
}

// ShardsDefault is the number of shards of a new folder where nobody asks for one: half as many as
// the machine has processors for us, rounded up, 1 to 16. The shards of a store flush one after another,
// which takes about half of what a span costs, while requests are walked on the other processors. More
// shards cut requests into smaller parts and memtables into smaller segments, fewer leave a search with
// nobody to share it with: docs/decisions/0035-half-as-many-shards.md has what that costs.
func ShardsDefault() int {
	return min(max((processors+1)/2, shardsDefaultMin), shardsDefaultMax)
}

func newEpoch(disk vfs.FS, shards int) (Epoch, error) {
	if shards == 0 {
		shards = ShardsDefault()
	}
	if shards < 0 || shards > ShardsMax {
		return Epoch{}, fmt.Errorf("%d shards: want 1 to %d", shards, ShardsMax)
	}
	e := Epoch{Shards: shards, Hash: placeHash}
	return e, vfs.ReplaceFile(disk, epochFile, e.AppendBinary(nil))
}

// ErrForeign marks a folder that is not Stoa's: it is refused before a byte in it changes.
var ErrForeign = errors.New("this is not a Stoa data folder")

// beforeEpoch is what a folder may hold without being anybody else's: what a start leaves
// that is killed before its record is durable, what ext4 keeps at a disk's root, and what repairs took
// out of a folder that was given up since.
var beforeEpoch = []string{lockFile, epochFile + vfs.NewSuffix, "lost+found", RepairedFolder}

// checkFolder tells by its names alone whether a folder is Stoa's, or free to become so.
// It takes no lock, because that would leave a file: a start that makes the folder at this
// moment is told from the outside by its record, or by nothing but beforeEpoch.
func checkFolder(disk vfs.FS, create bool) error {
	names, err := disk.List(".")
	if err != nil {
		return err
	}
	if slices.Contains(names, epochFile) {
		return nil
	}
	if slices.Contains(names, logDir) && slices.Contains(names, shardDir(0)) {
		return fmt.Errorf("%s is missing, but the folder holds a log and shards: without it nobody knows how many there are", epochFile)
	}
	if !create {
		return fmt.Errorf("%w: it holds no file %q", ErrForeign, epochFile)
	}
	for _, name := range names {
		if !slices.Contains(beforeEpoch, name) {
			return fmt.Errorf("%w, nor is it empty: it holds %q; name another, or a new one", ErrForeign, name)
		}
	}
	return nil
}
