// Package index answers "what is there, and where?" for one segment without reading its
// rows. It holds the catalog: every service and every (service, span name, kind) with its
// number of spans, so that names are never scanned for. Postings and the filter of trace
// ids will stand beside it.
//
// The segment writer adds counts row group by row group, the footer keeps the bytes, the
// reader gives the catalog back whole. The package starts no goroutines.
package index

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// Catalog counts the spans of each operation. It serves one goroutine while it is filled,
// any number once it is only read.
type Catalog struct {
	services map[string]map[nameKind]uint64
}

type nameKind struct {
	name string
	kind int32
}

// NewCatalog is empty.
func NewCatalog() *Catalog { return &Catalog{services: map[string]map[nameKind]uint64{}} }

// Add counts spans of an operation.
func (c *Catalog) Add(service, name string, kind int32, spans uint64) {
	operations := c.services[service]
	if operations == nil {
		operations = map[nameKind]uint64{}
		c.services[service] = operations
	}
	operations[nameKind{name, kind}] += spans
}

// Merge adds all counts of other.
func (c *Catalog) Merge(other *Catalog) {
	for service, operations := range other.services {
		for operation, spans := range operations {
			c.Add(service, operation.name, operation.kind, spans)
		}
	}
}

// Services gives the distinct services, sorted; "" is the one without a name.
func (c *Catalog) Services() []string {
	services := make([]string, 0, len(c.services))
	for service := range c.services {
		services = append(services, service)
	}
	slices.Sort(services)
	return services
}

// Operations gives the distinct operations of a service, of all services for "", sorted by
// service, name, kind.
func (c *Catalog) Operations(service string) []span.Operation {
	var all []span.Operation
	for name, operations := range c.services {
		if service != "" && name != service {
			continue
		}
		for operation := range operations {
			all = append(all, span.Operation{Service: name, Name: operation.name, Kind: operation.kind})
		}
	}
	slices.SortFunc(all, func(a, b span.Operation) int {
		return cmp.Or(strings.Compare(a.Service, b.Service), strings.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind))
	})
	return all
}

// Spans is how many spans an operation has.
func (c *Catalog) Spans(operation span.Operation) uint64 {
	return c.services[operation.Service][nameKind{operation.Name, operation.Kind}]
}

// AppendBinary appends, sorted, so that equal catalogs have equal bytes:
//
//	services v
//	per service: length v, name; operations v
//	             per operation: length v, name; kind zigzag v; spans v
func (c *Catalog) AppendBinary(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(c.services)))
	for _, service := range c.Services() {
		dst = codec.AppendLengthBytes(dst, []byte(service))
		operations := c.services[service]
		order := make([]nameKind, 0, len(operations))
		for operation := range operations {
			order = append(order, operation)
		}
		slices.SortFunc(order, func(a, b nameKind) int {
			return cmp.Or(strings.Compare(a.name, b.name), cmp.Compare(a.kind, b.kind))
		})
		dst = binary.AppendUvarint(dst, uint64(len(order)))
		for _, operation := range order {
			dst = codec.AppendLengthBytes(dst, []byte(operation.name))
			dst = binary.AppendVarint(dst, int64(operation.kind))
			dst = binary.AppendUvarint(dst, operations[operation])
		}
	}
	return dst
}

// DecodeCatalog reads what AppendBinary wrote; anything else is codec.ErrCorrupt.
func DecodeCatalog(data []byte) (*Catalog, error) {
	r := codec.NewReader(data)
	c := NewCatalog()
	for range r.Count(2) {
		service := string(r.LengthBytes())
		if _, twice := c.services[service]; twice {
			r.Fail("service %q twice", service)
		}
		c.services[service] = map[nameKind]uint64{}
		for range r.Count(3) {
			name, kind := string(r.LengthBytes()), r.Varint()
			if kind != int64(int32(kind)) {
				r.Fail("span kind %d", kind)
			}
			c.services[service][nameKind{name, int32(kind)}] += r.Uvarint()
		}
	}
	if r.Err() == nil && r.Len() > 0 {
		r.Fail("%d bytes after the catalog", r.Len())
	}
	if r.Err() != nil {
		return nil, r.Err()
	}
	return c, nil
}
