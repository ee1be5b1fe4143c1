package cluster

// TakeWriterTurns takes all turns of requests to be walked, until free is called.
func TakeWriterTurns(s *Shared) (free func()) {
	for range cap(s.writers) {
		s.writers <- struct{}{}
	}
	return func() {
		for range cap(s.writers) {
			<-s.writers
		}
	}
}
