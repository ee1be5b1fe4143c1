package main

import (
	"runtime"
	"syscall"
)

// lowerPriority lets the calling goroutine, for the rest of its life, have the processor only as
// far as requests and questions leave it: it keeps a thread of its own, and the kernel gives that a
// tenth of the weight of the others. Where flushes fall behind, Apply waits, and writes with it, so
// that they catch up.
func lowerPriority() {
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	// On Linux 0 is the calling thread. It always may; should it not, all is as without.
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, backgroundNice)
}
