//go:build amd64 || arm64

package main

import (
	"os"
	"runtime/debug"
	"syscall"
)

// madvHugePage is MADV_HUGEPAGE of madvise(2).
const madvHugePage = 14

// askForHugePages asks the kernel to back so many bytes of the heap with huge pages, each 512 small
// ones: what is touched first then costs a fault for 2 MiB and not for 4 KiB (decision 0038).
//
// Advice is for addresses, and the runtime takes those from the kernel as the heap grows. So the heap is grown
// once, by an object that nothing writes to and that is freed at once: its addresses stay the heap's, and no
// memory is used for it. What the heap grows to beyond it has small pages.
//
// The runtime ends the process where the kernel refuses it addresses, so the kernel is asked before.
func askForHugePages(bytes int64) error {
	probe, err := syscall.Mmap(-1, 0, int(bytes+hugePagesProbeMore), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return os.NewSyscallError("mmap", err)
	}
	if err := syscall.Munmap(probe); err != nil {
		return os.NewSyscallError("munmap", err)
	}
	defer debug.FreeOSMemory() // until then the object would count as memory in use
	return os.NewSyscallError("madvise", syscall.Madvise(make([]byte, bytes), madvHugePage))
}
