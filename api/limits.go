package api

import (
	"time"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// What one call may cost. Options can change the ones that depend on the machine.
const (
	// requestBytesMax is the largest message received, after decompression: writers send
	// what their batch processor made.
	requestBytesMax = otlp.RequestBytesMax

	// queryBytesMax is the largest request of a reading call: tracesMax ids with the times
	// beside them take half of it. Together with queriesMax it bounds what they hold while
	// they come; what decompressing one holds beyond it counts among the bytes in flight.
	queryBytesMax = 2 << 20

	// smallBytesMax is the largest request of health and reflection, which nothing else
	// bounds.
	smallBytesMax = 64 << 10

	// answerBytesMax bounds every message sent: a Jaeger client before 2.19 receives at
	// most 4 MiB, and cannot be told otherwise.
	answerBytesMax = otlp.ChunkBytesMax

	// bytesInFlightMax is the default of Options.BytesInFlightMax: requests received and
	// not yet answered. A request costs about four times its size until it is durable (its
	// bytes, its parts, its batch, its log entry); one request of the largest size and an
	// ordinary load beside it must fit.
	bytesInFlightMax = 96 << 20

	// receiveStepBytes is the step in which a request is received, and counted while it arrives
	// and inflates. Each call counts one before it receives anything: as many as fit may
	// receive at once.
	receiveStepBytes = 1 << 20

	// quickPeerTime is how long a question waits for its peer, to send the request or to take a
	// message, until others stop making way for it.
	quickPeerTime = 20 * time.Millisecond

	// spanBytesMax is the largest span that a writer of version 1 may send, after
	// decompression: what Jaeger's own servers of that version receive.
	spanBytesMax = 4 << 20

	// spanStepBytes is receiveStepBytes for a call that brings one span: a writer of version 1
	// has as many calls under way as it has workers, and does not send again what is refused.
	spanStepBytes = 64 << 10

	// streamSpansMax is how many spans of one stream of version 1 are written at once: they
	// share syncs of the disk, and a writer keeps tens of streams.
	streamSpansMax = 32

	// queriesMax is the default of Options.QueriesMax: reading calls at once. Each holds
	// up to a chunk and the row groups it reads.
	queriesMax = 64

	// tracesAheadMax is how many traces one answer reads ahead, readersAheadMax how many all
	// answers do: each may hold an encoder and two chunks, 14 MiB where its trace is huge.
	tracesAheadMax  = 3
	readersAheadMax = 8

	// tracesMax bounds the traces of one answer.
	tracesMax = span.TracesFoundMax

	// tagsMax bounds the tags of one search.
	tagsMax = span.TagsMax
)

// What one connection may cost.
const (
	// streamsMax is calls at once on one connection.
	streamsMax = 256

	// writeBufferBytes of answers are gathered for one write to a connection, beyond grpc's 32 KiB:
	// fewer writes, and fewer times that who reads is woken for one. Connections that send nothing have
	// none.
	writeBufferBytes = 128 << 10

	// streamWorkers is how many goroutines serve call after call: a new one for each call grows
	// its stack each time. Calls beyond them get one of their own.
	streamWorkers = 8

	// headerBytesMax is the headers of one call or admin request.
	headerBytesMax = 16 << 10

	// connectTimeMax is from accepted connection to finished HTTP/2 handshake.
	connectTimeMax = 10 * time.Second

	// A connection that says nothing for pingInterval is asked, and dropped when it does
	// not answer within pingTimeMax. A client may ping as often as clientPingInterval.
	pingInterval       = time.Minute
	pingTimeMax        = 20 * time.Second
	clientPingInterval = 10 * time.Second

	// adminReadTimeMax bounds how long an admin request takes to come in, adminIdleTimeMax
	// how long a connection waits for the next, adminBodyBytesMax the few that have a body.
	adminReadTimeMax  = 5 * time.Second
	adminIdleTimeMax  = time.Minute
	adminBodyBytesMax = 64 << 10

	// profileSecondsMax is how long the admin port takes a profile: that is paid by all.
	profileSecondsMax = 60
)

// How long a call may take.
const (
	// peerTimeMax is the default of Options.PeerTimeMax: how long a peer may take to send
	// its request or to take one message of the answer.
	peerTimeMax = 30 * time.Second

	// workTimeMax is the default of Options.WorkTimeMax: how long the store may work
	// between two messages of an answer.
	workTimeMax = time.Minute

	// retryDelayMin and retryDelaySpread say when a refused writer should come again; the
	// spread keeps refused writers from coming back all at once.
	retryDelayMin    = 500 * time.Millisecond
	retryDelaySpread = 1500 * time.Millisecond

	// complaintInterval is the least time between two log lines about bad requests.
	complaintInterval = time.Second
)
