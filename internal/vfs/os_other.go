//go:build !linux

package vfs

import "os"

// dataSync is a full sync where fdatasync is not to be had.
func dataSync(f *os.File) error { return f.Sync() }

// preallocate sets the length; blocks are found while writing.
func preallocate(f *os.File, size int64) error { return f.Truncate(size) }
