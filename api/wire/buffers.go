package wire

import (
	"google.golang.org/grpc/mem"

	"github.com/stoadb/stoa/internal/codec"
)

// buffers is where requests that came in pieces are put together, and where answers wait to
// be sent. grpc's pool clears each buffer before it hands it out, all of it and not just what
// is asked for; these are written over to the last byte by the one who gets them, see
// Unmarshal and NewMessage, so nothing of another message can be seen in them.
var buffers mem.BufferPool = &codec.Buffers
