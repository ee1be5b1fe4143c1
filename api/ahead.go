package api

import (
	"context"
	"sync"

	"github.com/stoadb/stoa/api/wire"
	"github.com/stoadb/stoa/engine/span"
)

// readAhead reads the traces of one answer in their order. While one of them is read and
// sent, the next ones are read on goroutines of their own, as far as the process has room
// for it: what is read and not sent holds memory, for as long as a slow peer likes.
type readAhead struct {
	server *Server
	method string
	ctx    context.Context
	cancel context.CancelFunc
	ids    []span.TraceID // neither given nor begun
	begun  []*aheadTrace  // and not given, in order
	work   sync.WaitGroup
}

// aheadTrace is a trace whose chunks come before they are asked for.
type aheadTrace struct {
	messages chan *wire.Message // closed behind the last
	err      error              // why the last is not the trace's; good once messages is closed
}

func (s *Server) newReadAhead(ctx context.Context, method string, ids []span.TraceID) *readAhead {
	a := &readAhead{server: s, method: method, ids: ids}
	a.ctx, a.cancel = context.WithCancel(ctx)
	return a
}

// next gives the chunks of the next trace to send, which owns them.
func (a *readAhead) next(send func(*wire.Message) error) error {
	if len(a.begun) > 0 {
		first := a.begun[0]
		a.begun = a.begun[1:]
		a.begin()
		defer func() { <-a.server.ahead }()
		for message := range first.messages {
			if err := send(message); err != nil {
				return err
			}
		}
		return first.err
	}
	id := a.ids[0]
	a.ids = a.ids[1:]
	a.begin()
	return a.server.store.Get(a.ctx, id, func(chunk span.Chunk) error { return send(messageOf(chunk)) })
}

// begin begins to read as many traces as there is room for.
func (a *readAhead) begin() {
	for len(a.begun) < tracesAheadMax && len(a.ids) > 0 {
		select {
		case a.server.ahead <- struct{}{}:
		default:
			return
		}
		t := &aheadTrace{messages: make(chan *wire.Message, 1)}
		id := a.ids[0]
		a.begun, a.ids = append(a.begun, t), a.ids[1:]
		a.work.Go(func() { a.read(id, t) })
	}
}

func (a *readAhead) read(id span.TraceID, t *aheadTrace) {
	defer close(t.messages)
	defer a.server.recoverCall(a.method, &t.err)
	t.err = a.server.store.Get(a.ctx, id, func(chunk span.Chunk) error {
		message := messageOf(chunk)
		select {
		case t.messages <- message:
			return nil
		case <-a.ctx.Done():
			message.Free()
			return a.ctx.Err()
		}
	})
}

// messageOf gives a chunk in a form that grpc may read for as long as it likes.
func messageOf(chunk span.Chunk) *wire.Message {
	switch {
	case chunk.Buffer != nil:
		return wire.Owned(chunk.Buffer)
	case chunk.Stays:
		return wire.Lent(chunk.Bytes)
	}
	return wire.NewMessage(chunk.Bytes)
}

// close ends what is still read, and gives its room back.
func (a *readAhead) close() {
	a.cancel()
	a.work.Wait()
	for range a.begun {
		<-a.server.ahead
	}
}
