package codec

import "sync"

// Held keeps what is dear to make for those who come again soon: Most of them for good, and more as long as
// the collector leaves them. A sync.Pool alone is empty after two collections, and of what grows with
// its work, as an encoder does with the largest trace, the growing is most of what there is to collect. It serves any
// number of goroutines; New and Most are set before the first Get.
type Held[T any] struct {
	New  func() *T
	Most int

	mu   sync.Mutex
	held []*T
	more sync.Pool
}

// Get gives one that was put back, or a new one.
func (h *Held[T]) Get() *T {
	h.mu.Lock()
	if n := len(h.held); n > 0 {
		last := h.held[n-1]
		h.held[n-1] = nil
		h.held = h.held[:n-1]
		h.mu.Unlock()
		return last
	}
	h.mu.Unlock()
	if v, ok := h.more.Get().(*T); ok {
		return v
	}
	return h.New()
}

// Put takes one back that nobody uses any more.
func (h *Held[T]) Put(v *T) {
	h.mu.Lock()
	holds := len(h.held) < h.Most
	if holds {
		h.held = append(h.held, v)
	}
	h.mu.Unlock()
	if !holds {
		h.more.Put(v)
	}
}
