package span

import "sync/atomic"

// Explain counts what a search did, over all shards that took part. A query carries one
// where somebody asks.
type Explain struct {
	Segments         atomic.Int64 // looked at
	SegmentsByTime   atomic.Int64 // passed over by their start range or longest duration
	SegmentsByTerms  atomic.Int64 // passed over because a term, name or service is not there
	Groups           atomic.Int64 // row groups of the others
	GroupsByTime     atomic.Int64 // passed over by their start range or longest duration
	GroupsByTemplate atomic.Int64 // passed over by the templates and resources they have
	GroupsByFilter   atomic.Int64 // passed over by the filters of columns
	GroupsNotReached atomic.Int64 // older than the answer's last trace
	Templates        atomic.Int64 // templates of the segments looked into
	TemplatesMatched atomic.Int64 // of these, the ones that may satisfy the query
	PagesRead        atomic.Int64 // pages read from files
	PagesKept        atomic.Int64 // pages that were open already
	RowsByTemplate   atomic.Int64 // rows that templates and resources alone decided for
	RowsRead         atomic.Int64 // rows read to be matched
}
