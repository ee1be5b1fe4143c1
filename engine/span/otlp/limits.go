package otlp

// Limits of what is taken in and given out. What exceeds a limit of a request is
// refused with an error; what exceeds a limit of a value is cut and counted.
const (
	// RequestBytesMax is the longest request, uncompressed: what a collector's batch
	// processor makes stays far below, a decompression bomb does not.
	RequestBytesMax = 64 << 20
	// PartBytesMax is how many bytes the spans of a part take, unless one span with its
	// resource and scope takes more: raft wants entries it can send within one heartbeat,
	// and a follower holds several in flight. The log keeps an eighth of that, see span.Batch's
	// form, and less the more spans share a part's traces, resources and texts.
	PartBytesMax = 2 << 20
	// ChunkBytesMax is the longest answer message: Jaeger before 2.19 receives 4 MiB at
	// most, less the framing around us.
	ChunkBytesMax = 3_500 << 10
	// DepthMax is how many lists (arrays and maps) a value may hold one inside the
	// other. Readers recurse over values, Jaeger's among them.
	DepthMax = 64
	// DepthRefused is the depth of lists or groups beyond which the request is refused:
	// no sender means that, and the walk itself recurses.
	DepthRefused = 1000
	// StubsMax is how many attributes, events and links of next to no bytes a request may
	// hold. In a batch they take up to 24 times what they take on the wire: 64 MiB of
	// them would be a gigabyte. No sender makes them.
	StubsMax = 1 << 20
	// ValueBytesMax is the longest attribute value kept whole.
	ValueBytesMax = 1 << 20
	// KeyBytesMax is the longest attribute key kept whole: a key becomes a column.
	KeyBytesMax = 1 << 10
)

// TooDeep is the text that stands for a value nested deeper than DepthMax.
const TooDeep = "(nested too deep)"

// TruncatedSuffix after an attribute's key names the attribute, true, that follows one
// whose value was cut to ValueBytesMax.
const TruncatedSuffix = ".truncated"

// What is shorter, without its framing, counts as a stub: its entry in a batch takes more
// than four times its bytes.
const (
	stubAttrBytes  = 4
	stubEventBytes = 6
	stubLinkBytes  = 12
)
