package main

import (
	"os"
	"runtime/debug"
	"syscall"
)

// madvHugePage is MADV_HUGEPAGE of madvise(2).
const madvHugePage = 14

// askForHugePages asks the kernel to back so many bytes of the heap with huge pages, each 512 small
// ones. Whatever walks, flushes, merges and collects goes through all of the heap, and of small pages that
// has more than a processor remembers the places of (decision 0038).
//
// Advice is for addresses, and the runtime takes those from the kernel as the heap grows. So the heap is grown
// once, by an object that nothing writes to and that is freed at once: its addresses stay the heap's, and no
// memory is used for it. What the heap grows to beyond it has small pages.
func askForHugePages(bytes int64) error {
	defer debug.FreeOSMemory() // until then the object would count as memory in use
	return os.NewSyscallError("madvise", syscall.Madvise(make([]byte, bytes), madvHugePage))
}
