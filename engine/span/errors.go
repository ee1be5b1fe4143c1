package span

import "errors"

// The kinds of refusal that an asker must be able to tell apart. Rooms below wrap them
// with the particulars; api turns them into the protocol's codes.
var (
	// ErrInvalid: the request can never succeed; do not send it again.
	ErrInvalid = errors.New("invalid request")
	// ErrUnavailable: not now; the same request may succeed later.
	ErrUnavailable = errors.New("unavailable")
	// ErrTooMuch: the request exceeds a limit, which the message names.
	ErrTooMuch = errors.New("limit exceeded")
)
