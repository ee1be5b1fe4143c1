package span

// AttributeKey tells of all values that an attribute key has on one level in one type. It
// counts what is stored: a value of a resource or a scope once for each of its spans, and a
// span that was received twice and not merged yet twice.
type AttributeKey struct {
	Level     Level
	Key       string
	Type      ValueType
	Values    uint64
	TextBytes uint64 // of the values together, 0 where they are numbers
	// DistinctMin and DistinctMax bound how many values differ. They are equal where that is
	// known; beyond a thousand both are estimates.
	DistinctMin, DistinctMax uint64
}

// AttributeKeys are all keys, by level, key and type.
type AttributeKeys struct {
	Keys []AttributeKey
	Cut  bool // there are more keys than are kept while counting
}

// AttributeValue is one value of a key, spelled as searches compare it.
type AttributeValue struct {
	Level Level
	Type  ValueType
	Text  string
	Count uint64 // as AttributeKey counts
}

// AttributeValues are the values of one key, most frequent first.
type AttributeValues struct {
	Values   []AttributeValue
	Distinct uint64 // how many there are, with those that the limit left out
	Total    uint64 // their counts together
	// Cut says that there are more distinct values than are kept while counting: the others
	// are in Total only, and which ones they are depends on what came first.
	Cut bool
}
