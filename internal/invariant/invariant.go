// Package invariant is the one place where Stoa panics: wrong code stops here,
// wrong bytes never do (they return an error that names file and offset, see
// internal/codec).
package invariant

import "fmt"

// Check panics with the formatted message when ok is false. It states what the
// code around it relies on; it is not for input, files or peers.
func Check(ok bool, format string, args ...any) {
	if !ok {
		panic("invariant broken: " + fmt.Sprintf(format, args...))
	}
}
