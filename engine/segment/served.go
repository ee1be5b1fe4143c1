package segment

import (
	"sync"

	"github.com/stoadb/stoa/engine/span"
)

// Nearly every search names a service. What a segment has of one is told from its tables once, and
// kept as long as the segment is open and there is room.

// Served is what a segment has of one service. It is shared and not to be changed.
type Served struct {
	Resources []uint32 // of the service, ascending
	// Templates are those of spans that the service has, as bits, by the standing terms; nil where
	// these do not tell.
	Templates []uint64

	groups  []uint64 // bits of the row groups with rows of it
	longest []uint64 // by row group: how long the longest of them is, as span.Duration counts
}

func (v *Served) memoryBytes() int {
	return servedBytes + 4*cap(v.Resources) + 8*(cap(v.Templates)+cap(v.groups)+cap(v.longest))
}

// servedServices are those that were told.
type servedServices struct {
	mu     sync.Mutex
	byName map[string]*Served
	bytes  int
}

// Served tells what the segment has of a service; of all together for "". No page is read for a service
// that it does not have.
func (s *Segment) Served(service string) (*Served, error) {
	s.served.mu.Lock()
	known := s.served.byName[service]
	s.served.mu.Unlock()
	if known != nil {
		return known, nil
	}
	v, err := s.tellServed(service)
	if err != nil {
		return nil, err
	}
	s.served.mu.Lock()
	defer s.served.mu.Unlock()
	if known := s.served.byName[service]; known != nil {
		return known, nil
	}
	if len(v.Resources) == 0 { // soon told anew: names that are nowhere take no room from others
		return v, nil
	}
	bytes, most := v.memoryBytes()+len(service), servedBytesMin+s.info.Rows/servedRowsShare
	if bytes > most {
		return v, nil
	}
	if s.served.bytes+bytes > most { // whoever asks for so many asks for others next
		s.memory.Add(-int64(s.served.bytes))
		clear(s.served.byName)
		s.served.bytes = 0
	}
	if s.served.byName == nil {
		s.served.byName = map[string]*Served{}
	}
	s.served.byName[service] = v
	s.served.bytes += bytes
	s.memory.Add(int64(bytes))
	return v, nil
}

func (s *Segment) tellServed(service string) (*Served, error) {
	v := &Served{groups: make([]uint64, (len(s.groups)+63)/64), longest: make([]uint64, len(s.groups))}
	b := s.resources
	is := make([]bool, len(b.Resources))
	for i := range b.Resources {
		if is[i] = service == "" || string(b.Bytes(b.Resources[i].Service)) == service; is[i] {
			v.Resources = append(v.Resources, uint32(i))
		}
	}
	if len(v.Resources) == 0 {
		return v, nil
	}
	for i := range s.groups {
		g := &s.groups[i]
		for code, resource := range g.resources {
			if is[resource] {
				v.groups[i/64] |= 1 << (i % 64)
				v.longest[i] = max(v.longest[i], g.longest[code])
			}
		}
	}
	if service == "" {
		return v, nil
	}
	standing, err := s.Standing()
	if err != nil {
		return nil, err
	}
	found, _, err := standing.Lookup(ServiceColumn, []byte(service))
	if err == nil && found.Cardinality() > 0 {
		v.Templates = found.Bits(make([]uint64, 0, (s.templates[span.SpanLevel].len()+63)/64))
	}
	return v, err
}

// AppendGroups appends the row groups, as bits, with rows of the service that last at least so long.
func (v *Served) AppendGroups(dst []uint64, longestMin uint64) []uint64 {
	at := len(dst)
	dst = append(dst, v.groups...)
	if longestMin == 0 {
		return dst
	}
	for i, longest := range v.longest {
		if longest < longestMin {
			dst[at+i/64] &^= 1 << (i % 64)
		}
	}
	return dst
}

// templateGroups tell which row groups have a template of spans: a row of bits for each template.
type templateGroups struct {
	words int      // of a row; 0 where nothing is told
	rows  []uint64 // template after template
	own   []uint64 // the groups that have templates of their own
}

// tellGroups makes the rows, unless they would take more than the lists of the groups do: then most
// groups have few of the templates, and each group's list is soon looked through.
func (s *Segment) tellGroups() (t templateGroups) {
	words, listed := (len(s.groups)+63)/64, 0
	for i := range s.groups {
		listed += len(s.groups[i].templates[span.SpanLevel])
	}
	n := s.templates[span.SpanLevel].len()
	if bytes := 8 * words * n; bytes > templateGroupsBytesMin && bytes > 4*listed {
		return t
	}
	t = templateGroups{words: words, rows: make([]uint64, words*n), own: make([]uint64, words)}
	for i := range s.groups {
		g := &s.groups[i]
		for _, template := range g.templates[span.SpanLevel] {
			t.rows[int(template)*words+i/64] |= 1 << (i % 64)
		}
		if g.local[span.SpanLevel] > 0 {
			t.own[i/64] |= 1 << (i % 64)
		}
	}
	return t
}

// KeepGroups leaves in groups, a set of bits, those that have one of some templates of spans, or
// templates of their own.
func (t *Templates) KeepGroups(groups []uint64, ids []uint32) {
	words := t.groups.words
	if words == 0 {
		return
	}
	for word := range groups {
		has := t.groups.own[word]
		for _, id := range ids {
			has |= t.groups.rows[int(id)*words+word]
		}
		groups[word] &= has
	}
}
