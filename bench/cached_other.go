//go:build !linux

package bench

import "errors"

// DropCached is for Linux.
func DropCached(string) error {
	return errors.New("the kernel's cache of files is dropped on Linux only")
}
