package wal

import (
	"errors"
	"io"

	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// window reads a file through a buffer that moves forward.
type window struct {
	file vfs.File
	size int64
	buf  []byte
	from int64 // file offset of buf[0]
}

// bytes returns up to n bytes at offset, fewer only at the end of the file. The slice
// is valid until the next call.
func (w *window) bytes(offset, n int64) ([]byte, error) {
	n = min(n, w.size-offset)
	if n <= 0 {
		return nil, nil
	}
	if offset < w.from || offset+n > w.from+int64(len(w.buf)) {
		want := min(max(n, scanBytes), w.size-offset)
		if int64(cap(w.buf)) < want {
			w.buf = make([]byte, want)
		}
		w.buf, w.from = w.buf[:want], offset
		if got, err := w.file.ReadAt(w.buf, offset); err != nil && (!errors.Is(err, io.EOF) || int64(got) < want) {
			w.buf = w.buf[:0]
			return nil, err
		}
	}
	return w.buf[offset-w.from:][:n], nil
}

// walk goes through the commits of one file, front to back.
type walk struct {
	id   uint64
	path string
	in   window
	at   int64 // where the next commit starts
	last header

	records []placed // of the commit at hand
}

// placed is a record and where it stands.
type placed struct {
	record
	position
}

func newWalk(id uint64, path string, f vfs.File) (*walk, error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	return &walk{id: id, path: path, in: window{file: f, size: size}}, nil
}

// next checks the commit at w.at whole and steps behind it. The records are valid until
// the next call. io.EOF: only zeros, or nothing, are left. codec.ErrCorrupt: the bytes at
// w.at are no commit; rest tells whether that is a torn tail. Other errors are the disk's.
func (w *walk) next() ([]placed, error) {
	head, err := w.in.bytes(w.at, headerBytes)
	if err != nil {
		return nil, err
	}
	h, err := parseHeader(head, w.id, w.at)
	if errors.Is(err, codec.ErrCorrupt) {
		if rest, restErr := w.rest(); restErr != nil {
			return nil, restErr
		} else if rest.used == w.at {
			return nil, io.EOF
		}
	}
	if err != nil {
		return nil, err
	}
	end := w.at + headerBytes + h.bodyBytes
	if end > w.in.size {
		return nil, codec.Corrupt("commit of %d bytes ends behind the file", h.bodyBytes)
	}
	block, err := w.in.bytes(w.at, aligned(end)-w.at)
	if err != nil {
		return nil, err
	}
	body, padding := block[headerBytes:end-w.at], block[end-w.at:]
	if used(padding) > 0 {
		return nil, codec.Corrupt("padding is not zero")
	}
	if err := w.parseBody(h, body); err != nil {
		return nil, err
	}
	w.last, w.at = h, aligned(end)
	return w.records, nil
}

// parseBody decodes the records of one commit: as many as its header says, and no byte
// more.
func (w *walk) parseBody(h header, body []byte) error {
	w.records = w.records[:0]
	offset := h.offset + headerBytes
	for len(body) > 0 {
		r, length, err := parseRecord(body)
		if err != nil {
			return err
		}
		w.records = append(w.records, placed{r, position{h.fileID, uint32(offset), uint32(length)}})
		body, offset = body[length:], offset+int64(length)
	}
	if len(w.records) != h.records {
		return codec.Corrupt("%d records, the header says %d", len(w.records), h.records)
	}
	return nil
}

// remainder is what stands behind the last good commit of a file.
type remainder struct {
	used  int64  // end of the last byte that is not zero
	later header // the first later header that claims to know better, if found
	found bool
	next  int64 // the first later header of any kind; 0 without one
	any   bool  // a header stands somewhere, w.at included; of a newer version, too
	newer error // says where a newer Stoa's header stands, if one does
}

// rest reads everything from w.at on. A later header proves the bytes at w.at to be
// damage if more than them was synced when it was written.
//
// A file is of one version: a newer header behind a commit that this build can read is
// an entry's own bytes, and not reported.
func (w *walk) rest() (remainder, error) {
	r := remainder{used: w.at}
	for at := w.at; at < w.in.size; at += commitAlign {
		block, err := w.in.bytes(at, commitAlign)
		if err != nil {
			return r, err
		}
		n := used(block)
		if n == 0 {
			continue
		}
		r.used = at + n
		h, err := parseHeader(block, w.id, at)
		if errors.Is(err, codec.ErrVersion) && w.at == 0 {
			r.any = true
			if r.newer == nil {
				r.newer = codec.At(err, w.path, at)
			}
		}
		if err != nil {
			continue
		}
		r.any = true
		if r.next == 0 && at > w.at {
			r.next = at
		}
		if !r.found && h.syncedUpTo > w.at {
			r.later, r.found = h, true
		}
	}
	return r, nil
}

// used is the length of b without the zeros at its end.
func used(b []byte) int64 {
	n := len(b)
	for n >= 8 && string(b[n-8:n]) == string(zeros[:8]) {
		n -= 8
	}
	for n > 0 && b[n-1] == 0 {
		n--
	}
	return int64(n)
}
