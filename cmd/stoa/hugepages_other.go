//go:build !linux

package main

// askForHugePages does nothing where the kernel takes no such advice.
func askForHugePages(int64) error { return nil }
