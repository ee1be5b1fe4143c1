package vfs

import (
	"errors"
	"fmt"
	"io"
	"path"
)

// ErrTooLarge is what ReadFile answers for a file that nobody wrote so large.
var ErrTooLarge = errors.New("file is larger than anything written there")

// ReadFile reads a small file whole; one of more than bytesMax is ErrTooLarge.
func ReadFile(disk FS, name string, bytesMax int64) ([]byte, error) {
	f, err := disk.Open(name)
	if err != nil {
		return nil, err
	}
	content, err := readWhole(f, name, bytesMax)
	return content, errors.Join(err, f.Close())
}

func readWhole(f File, name string, bytesMax int64) ([]byte, error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > bytesMax {
		return nil, fmt.Errorf("%s: %w: %d bytes, at most %d expected", name, ErrTooLarge, size, bytesMax)
	}
	content := make([]byte, size)
	if n, err := f.ReadAt(content, 0); n < len(content) || (err != nil && !errors.Is(err, io.EOF)) {
		return nil, fmt.Errorf("%s: offset %d: %d bytes wanted: %w", name, n, size, errors.Join(err, io.ErrUnexpectedEOF))
	}
	return content, nil
}

// NewSuffix ends the temporary name under which ReplaceFile writes: a crash may leave it.
const NewSuffix = ".new"

// ReplaceFile puts content under name so that a crash leaves the old content or the
// new: a temporary file is synced and renamed, then the folder is synced.
func ReplaceFile(disk FS, name string, content []byte) error {
	temporary := name + NewSuffix
	if err := writeSynced(disk, temporary, content); err != nil {
		return fmt.Errorf("write %s: %w", temporary, err)
	}
	if err := disk.Rename(temporary, name); err != nil {
		return fmt.Errorf("rename %s: %w", temporary, err)
	}
	if err := disk.SyncDir(path.Dir(name)); err != nil {
		return fmt.Errorf("sync the folder of %s: %w", name, err)
	}
	return nil
}

func writeSynced(disk FS, name string, content []byte) error {
	f, err := disk.Create(name)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(content, 0)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
