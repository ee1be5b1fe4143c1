package wal

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/stoadb/stoa/internal/codec"
	"github.com/stoadb/stoa/internal/vfs"
)

// payloadBytesPrinted is how much of a payload Print spells out; the checksum in the
// record's line stands for the rest.
const payloadBytesPrinted = 64

// Print writes every byte range of one log file with a note of what it is: offset, the
// bytes, the meaning. It ends where the commits end and says what follows.
func Print(out io.Writer, fsys vfs.FS, dir, name string) error {
	return PrintPart(out, fsys, dir, name, payloadBytesPrinted)
}

// PrintPart is Print with at most hexBytes of each part, all where that is negative. A file of
// another name, a copy, is taken for the one that its first header says.
func PrintPart(out io.Writer, fsys vfs.FS, dir, name string, hexBytes int) error {
	file := path.Join(dir, name)
	f, err := fsys.Open(file)
	if err != nil {
		return err
	}
	w, err := newWalk(0, file, f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	if id, ok := parseFileName(name); ok {
		w.id = id
	} else if begin, err := w.in.bytes(0, headerBytes); err == nil && len(begin) == headerBytes {
		w.id = binary.LittleEndian.Uint64(begin[8:])
	}
	p := printer{out: out, hexBytes: hexBytes}
	return errors.Join(p.file(w), p.err, f.Close())
}

// IsLogFile reports whether a file that begins so is one of the log.
func IsLogFile(begin []byte) bool {
	return len(begin) > len(magic) && string(begin[:len(magic)]) == magic
}

// printer writes lines until the first error.
type printer struct {
	out      io.Writer
	hexBytes int
	err      error
}

func (p *printer) line(offset int64, b []byte, format string, args ...any) {
	if p.hexBytes >= 0 {
		b = b[:min(len(b), p.hexBytes)]
	}
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.out, "%08x  %-24s  %s\n", offset, hex.EncodeToString(b), fmt.Sprintf(format, args...))
	}
}

// fields prints consecutive byte ranges of b, each with its note.
func (p *printer) fields(offset int64, b []byte, fields []field) {
	at := 0
	for _, f := range fields {
		p.line(offset+int64(at), b[at:at+f.bytes], "%s", f.note)
		at += f.bytes
	}
}

type field struct {
	bytes int
	note  string
}

func note(bytes int, format string, args ...any) field {
	return field{bytes, fmt.Sprintf(format, args...)}
}

func (p *printer) file(w *walk) error {
	for {
		at := w.at
		records, err := w.next()
		if errors.Is(err, io.EOF) {
			p.line(at, nil, "end of the commits; %d bytes of zeros follow", max(0, w.in.size-at))
			return nil
		}
		if err != nil {
			p.line(at, nil, "%v", err)
			return codec.At(err, w.path, at)
		}
		p.header(w.last, at, w)
		end := at + headerBytes + w.last.bodyBytes
		for i := range records {
			if err := p.record(w, &records[i]); err != nil {
				return err
			}
		}
		p.line(end, nil, "zero padding, %d bytes", w.at-end)
	}
}

func (p *printer) header(h header, at int64, w *walk) {
	b, err := w.in.bytes(at, headerBytes)
	if err != nil {
		p.err = errors.Join(p.err, err)
		return
	}
	p.fields(at, b, []field{
		note(7, "commit: magic %q", b[:7]),
		note(1, "version %d", b[7]),
		note(8, "file id %d", h.fileID),
		note(8, "offset %d", h.offset),
		note(8, "synced up to %d", h.syncedUpTo),
		note(4, "%d bytes of records", h.bodyBytes),
		note(4, "%d records", h.records),
		note(20, "zero"),
		note(4, "CRC-32C of the header"),
	})
}

func (p *printer) record(w *walk, r *placed) error {
	at := int64(r.offset)
	b, err := w.in.bytes(at, int64(r.length))
	if err != nil {
		return err
	}
	p.fields(at, b, []field{
		note(4, "record: length %d", r.length),
		note(4, "CRC-32C"),
		note(4, "shard %d", r.shard),
		note(1, "kind: %v", r.kind),
		note(1, "type %d", r.typ),
		note(2, "zero"),
		note(8, "term %d", r.term),
		note(8, "Seq %d", r.seq),
		note(8, "appended at %d", r.appendedAt),
		note(8, "commit %d", r.commit),
		note(4, "%d bytes of extensions", len(r.extensions)),
	})
	body := b[recordHeaderBytes:]
	if n := len(r.extensions); n > 0 {
		p.line(at+recordHeaderBytes, body[:n], "extensions")
	}
	payload := body[len(r.extensions):]
	if len(payload) > 0 {
		at += int64(recordHeaderBytes + len(r.extensions))
		p.line(at, payload, "payload, %d bytes%s", len(payload), describe(r, payload))
	}
	return nil
}

// describe reads the payloads that are the log's own.
func describe(r *placed, payload []byte) string {
	switch r.kind {
	case kindSet:
		rd := codec.NewReader(payload)
		return fmt.Sprintf(": stable key %q", rd.LengthBytes())
	case kindState:
		states, err := parseState(payload)
		if err != nil {
			return ": " + err.Error()
		}
		text := ": the state of all streams"
		for _, st := range states {
			text += fmt.Sprintf("; shard %d holds Seq %d to %d, commit %d, %d keys",
				st.shard, st.bounds.first, st.bounds.last, st.commit, len(st.keys))
		}
		return text
	}
	return ""
}
