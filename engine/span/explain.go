package span

import "sync/atomic"

// Explained is what an Explain has counted, as it goes over the wire.
type Explained struct {
	Segments           int64   `json:"segments"`
	SegmentsByTime     int64   `json:"segmentsByTime"`
	SegmentsByTerms    int64   `json:"segmentsByTerms"`
	SegmentsNotReached int64   `json:"segmentsNotReached"`
	Groups             int64   `json:"groups"`
	GroupsByTime       int64   `json:"groupsByTime"`
	GroupsByTemplate   int64   `json:"groupsByTemplate"`
	GroupsByFilter     int64   `json:"groupsByFilter"`
	GroupsNotReached   int64   `json:"groupsNotReached"`
	Batches            int64   `json:"batches"`
	BatchesByTime      int64   `json:"batchesByTime"`
	BatchesByTexts     int64   `json:"batchesByTexts"`
	Templates          int64   `json:"templates"`
	TemplatesMatched   int64   `json:"templatesMatched"`
	PagesRead          int64   `json:"pagesRead"`
	PagesKept          int64   `json:"pagesKept"`
	RowsByTemplate     int64   `json:"rowsByTemplate"`
	RowsRead           int64   `json:"rowsRead"`
	Milliseconds       float64 `json:"milliseconds"` // that the search took, by the clock of who asked for it
}

// Explained gives the counts of this moment.
func (e *Explain) Explained() Explained {
	return Explained{
		Segments: e.Segments.Load(), SegmentsByTime: e.SegmentsByTime.Load(), SegmentsByTerms: e.SegmentsByTerms.Load(),
		SegmentsNotReached: e.SegmentsNotReached.Load(),
		Groups:             e.Groups.Load(), GroupsByTime: e.GroupsByTime.Load(), GroupsByTemplate: e.GroupsByTemplate.Load(),
		GroupsByFilter: e.GroupsByFilter.Load(), GroupsNotReached: e.GroupsNotReached.Load(),
		Batches: e.Batches.Load(), BatchesByTime: e.BatchesByTime.Load(), BatchesByTexts: e.BatchesByTexts.Load(),
		Templates: e.Templates.Load(), TemplatesMatched: e.TemplatesMatched.Load(),
		PagesRead: e.PagesRead.Load(), PagesKept: e.PagesKept.Load(), RowsByTemplate: e.RowsByTemplate.Load(), RowsRead: e.RowsRead.Load(),
	}
}

// Explain counts what a search did, over all shards that took part. A query carries one
// where somebody asks. Shards tell each other what they have found (Together), so that what each
// reaches differs from run to run.
type Explain struct {
	Segments           atomic.Int64 // looked at
	SegmentsByTime     atomic.Int64 // passed over by their start range or longest duration
	SegmentsByTerms    atomic.Int64 // passed over because a term, name or service is not there
	SegmentsNotReached atomic.Int64 // older than the answer's last trace: not opened
	Groups             atomic.Int64 // row groups of the others
	GroupsByTime       atomic.Int64 // passed over by their start range or longest duration
	GroupsByTemplate   atomic.Int64 // passed over by the templates and resources they have, and how long those last
	GroupsByFilter     atomic.Int64 // passed over by the filters of columns
	GroupsNotReached   atomic.Int64 // older than the answer's last trace; batches are among them
	Batches            atomic.Int64 // batches in memory
	BatchesByTime      atomic.Int64 // passed over by their start range or longest duration
	BatchesByTexts     atomic.Int64 // passed over because a text that is asked for is not there
	Templates          atomic.Int64 // templates of the segments looked into
	TemplatesMatched   atomic.Int64 // of these, the ones that may satisfy the query
	PagesRead          atomic.Int64 // pages of row groups read from files
	PagesKept          atomic.Int64 // pages that were open already
	RowsByTemplate     atomic.Int64 // rows decided for without being read
	RowsRead           atomic.Int64 // rows read to be matched
}
