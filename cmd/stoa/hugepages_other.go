//go:build !linux || !(amd64 || arm64)

package main

// askForHugePages does nothing where the kernel takes no such advice, or addresses are few.
func askForHugePages(int64) error { return nil }
