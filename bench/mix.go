package bench

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/stoadb/stoa/engine/span"
)

// mixSeed makes all runs over the same spans ask the same questions.
const mixSeed = 8

// mixLimit is the number of traces that every search of the mix asks for.
const mixLimit = 20

// rareKeys are attributes of which few traces share a value, in workloads and in
// recordings; the first that there is serves.
var rareKeys = []string{"app.order.id", "param.driverID", "app.session.id", "app.user.id", "k8s.pod.name", "http.url", "url.path"}

// Mix is the fixed questions about some spans, and the right answers.
type Mix struct {
	Classes []Class
	Spans   int
	Traces  int
	Notes   []string // classes that the spans have no questions for, or that are not served
}

// MixOptions say what is asked, and what is right.
type MixOptions struct {
	// API is over which the questions go: what it cannot be asked is a note of the mix, and
	// searches bound times as closely as it can say. "" is StorageGRPC.
	API API
	// Rare is the key of the attribute that few traces share a value of; "" looks for one.
	Rare string
	// AnyOrder is for servers that promise no order: any traces that match are right, and
	// summaries are not asked for. All time ends a second around the spans then. Tempo
	// promises none.
	AnyOrder bool
}

// NewMix works out the truth over all requests, which are gone through twice, and the
// questions of each class.
func NewMix(requests iter.Seq2[[]byte, error], options MixOptions) (*Mix, error) {
	rare, keys := options.Rare, rareKeys
	if rare != "" {
		keys = []string{rare}
	}
	rareTags, err := rareOf(requests, keys)
	if err != nil {
		return nil, err
	}
	failed := span.Tag{Key: "error", Value: "true"}
	status := span.Tag{Key: "http.response.status_code", Value: "500"}
	truth, err := NewTruth(append([]span.Tag{failed, status}, rareTags...))
	if err != nil {
		return nil, err
	}
	if options.API != "" {
		truth.Over(options.API)
	}
	for request, err := range requests {
		if err == nil {
			err = truth.Add(request)
		}
		if err != nil {
			return nil, err
		}
	}
	if truth.Spans() == 0 {
		return nil, errors.New("there are no spans to ask for")
	}
	m := &Mix{Spans: truth.Spans(), Traces: truth.Traces()}
	if len(rareTags) == 0 && rare != "" {
		m.Notes = append(m.Notes, fmt.Sprintf("no value of %s is rare", rare))
	}
	picks := NewPicks(truth, mixSeed)
	if err := m.addCatalog(truth, picks); err != nil {
		return m, err
	}
	return m, m.addSearches(truth, picks, failed, status, rareTags, options.AnyOrder)
}

// rareOf looks for rare values in the first requests.
func rareOf(requests iter.Seq2[[]byte, error], keys []string) ([]span.Tag, error) {
	var head [][]byte
	bytes := 0
	for request, err := range requests {
		if err != nil {
			return nil, err
		}
		head = append(head, slices.Clone(request))
		if bytes += len(request); bytes > rareBytesMax {
			break
		}
	}
	for _, key := range keys {
		tags, err := RareTags(head, key, rareTracesMax, rareTagsMax)
		if err != nil || len(tags) > 0 {
			return tags, err
		}
	}
	return nil, nil
}

// addCatalog makes the classes that are no searches.
func (m *Mix) addCatalog(truth *Truth, picks *Picks) error {
	classes := []Class{TruthServices("services", truth), TruthOperations("operations", truth)}
	if truth.api.asksNames() {
		classes = append(classes, TruthOperationNames("operation-names", truth))
	}
	for _, class := range append(classes, TruthGraph("graph", truth)) {
		if why := truth.api.notAsked(class.Name); why != "" {
			m.Notes = append(m.Notes, notAsked(class.Name, why))
			continue
		}
		m.Classes = append(m.Classes, class)
	}
	for _, get := range []struct {
		name string
		ids  []span.TraceID
	}{{"get", picks.IDs(200)}, {"get-largest", truth.Largest(10)}, {"get-absent", picks.Absent(200)}} {
		class, err := TruthGet(get.name, truth, get.ids)
		if err != nil {
			return err
		}
		m.Classes = append(m.Classes, class)
	}
	return nil
}

// notAsked is the note of a class that is left out.
func notAsked(class, why string) string { return class + ": not asked: " + why }

// addSearches makes the classes that are searches.
func (m *Mix) addSearches(truth *Truth, picks *Picks, failed, status span.Tag, rare []span.Tag, anyOrder bool) error {
	forms, why := truth.api.searches(anyOrder)
	if why != "" {
		m.Notes = append(m.Notes, why)
	}
	for _, search := range []struct {
		name    string
		queries []span.Query
	}{
		{"operation-100s", picks.Windows(50, 100*time.Second, mixLimit)},
		{"rare-tag", picks.Owned(rare, mixLimit)},
		{"status-500", picks.perService(status, 20)},
		{"min-duration", picks.Slow(10, 0.001, mixLimit)},
		{"operation-tag-duration", picks.Narrow(50, status, mixLimit)},
		{"errors-100s", picks.Failures(50, failed, 100*time.Second, mixLimit)},
	} {
		if len(search.queries) == 0 {
			m.Notes = append(m.Notes, fmt.Sprintf("%s: the spans have nothing that it could ask for", search.name))
			continue
		}
		if anyOrder || truth.api != StorageGRPC {
			truth.bound(search.queries)
		}
		for i, q := range search.queries {
			search.queries[i] = truth.api.asked(q)
		}
		for _, form := range forms {
			class, err := form.class(search.name+form.suffix, truth, search.queries)
			if err != nil {
				return err
			}
			m.Classes = append(m.Classes, class)
		}
	}
	return nil
}

// bound gives searches over all time the bounds of what was sent: not every store takes
// the ends of time for what they mean.
func (t *Truth) bound(queries []span.Query) {
	first, last := slices.Min(t.starts), slices.Max(t.starts)
	for i := range queries {
		queries[i].StartMin = max(queries[i].StartMin, first-min(first, uint64(time.Second)))
		queries[i].StartMax = min(queries[i].StartMax, last+uint64(time.Second))
	}
}

// perService gives one search over all time for each of up to n services that have the
// tag.
func (p *Picks) perService(tag span.Tag, n int) []span.Query {
	var queries []span.Query
	for _, q := range p.Owned(slices.Repeat([]span.Tag{tag}, 4*n), mixLimit) {
		known := slices.ContainsFunc(queries, func(other span.Query) bool { return other.Service == q.Service })
		if !known && len(queries) < n {
			queries = append(queries, q)
		}
	}
	return queries
}

// MixRun is how the mix is asked.
type MixRun struct {
	Measuring
	State string // warm, cold or ingest, for the record
	// Once asks each question that differs once: what is asked again is no longer cold.
	Once bool
	// Only, where not empty, are the names of the classes that are asked.
	Only []string
	// Told, where not nil, hears of each class when it is done.
	Told func(QueryRecord)
}

// Ask asks all classes, one after the other. A class that the server does not serve is
// noted and left out.
func (m *Mix) Ask(ctx context.Context, run MixRun) ([]QueryRecord, error) {
	for _, name := range run.Only {
		if !slices.ContainsFunc(m.Classes, func(c Class) bool { return c.Name == name }) {
			return nil, fmt.Errorf("no class %q: there are %q", name, m.Names())
		}
	}
	var records []QueryRecord
	for _, class := range m.Classes {
		if len(run.Only) > 0 && !slices.Contains(run.Only, class.Name) {
			continue
		}
		measuring := run.Measuring
		if run.Once {
			measuring.Questions, measuring.Warm = min(measuring.Questions, class.Questions), 0
		}
		measured, err := measuring.Class(ctx, class)
		if notServed(err) { // the class's first question
			if !errors.Is(err, ErrNotServed) {
				err = ErrNotServed // UNIMPLEMENTED has no more to say
			}
			note := notAsked(class.Name, strings.TrimPrefix(err.Error(), class.Name+": "))
			if !slices.Contains(m.Notes, note) {
				m.Notes = append(m.Notes, note)
			}
			continue
		}
		if err != nil {
			return records, err
		}
		record := measuring.record(class, run.State, measured)
		records = append(records, record)
		if run.Told != nil {
			run.Told(record)
		}
	}
	return records, nil
}

// Names gives the names of the classes.
func (m *Mix) Names() []string {
	names := make([]string, len(m.Classes))
	for i, class := range m.Classes {
		names[i] = class.Name
	}
	return names
}
