package segment_test

import (
	"io"
	"io/fs"
	"slices"

	"github.com/stoadb/stoa/internal/vfs"
)

// memory is files in memory; call, where set, is asked before every call and may fail it.
type memory struct {
	vfs.FS // what a segment never calls stays nil
	files  map[string]*[]byte
	call   func() error
}

func newMemory() *memory { return &memory{files: map[string]*[]byte{}} }

func (m *memory) allow() error {
	if m.call == nil {
		return nil
	}
	return m.call()
}

func (m *memory) Create(name string) (vfs.File, error) {
	if err := m.allow(); err != nil {
		return nil, err
	}
	m.files[name] = new([]byte)
	return &memoryFile{m: m, data: m.files[name]}, nil
}

func (m *memory) Open(name string) (vfs.File, error) {
	if err := m.allow(); err != nil {
		return nil, err
	}
	if m.files[name] == nil {
		return nil, fs.ErrNotExist
	}
	return &memoryFile{m: m, data: m.files[name]}, nil
}

func (m *memory) Remove(name string) error {
	delete(m.files, name) // never fails here: what it leaves behind is told by the test of vfs.Crash
	return nil
}

type memoryFile struct {
	vfs.File
	m    *memory
	data *[]byte
}

func (f *memoryFile) ReadAt(p []byte, offset int64) (int, error) {
	if err := f.m.allow(); err != nil {
		return 0, err
	}
	n := copy(p, (*f.data)[min(offset, int64(len(*f.data))):])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memoryFile) WriteAt(p []byte, offset int64) (int, error) {
	if err := f.m.allow(); err != nil {
		return 0, err
	}
	if end := int(offset) + len(p); end > len(*f.data) {
		*f.data = append(*f.data, make([]byte, end-len(*f.data))...)
	}
	return copy((*f.data)[offset:], p), nil
}

func (f *memoryFile) Close() error         { return f.m.allow() }
func (f *memoryFile) Size() (int64, error) { return int64(len(*f.data)), f.m.allow() }
func (f *memoryFile) Sync() error          { return f.m.allow() }

// with gives a file system that holds one file with these bytes.
func with(name string, data []byte) *memory {
	m := newMemory()
	data = slices.Clone(data)
	m.files[name] = &data
	return m
}
