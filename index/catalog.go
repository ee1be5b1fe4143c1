// Package index answers "what is there, and where?" for one segment without reading its
// rows. It holds the catalog of services and operations with their numbers of spans, counts
// of attribute keys, the dictionary of terms with their postings (which templates have a
// value), and filters (which row groups cannot have a value, or whether a trace is not here).
//
// The segment writer adds values and counts while it writes and appends the bytes, the reader
// opens them as views. It is the door of RoaringBitmap/roaring. The package starts no
// goroutines.
package index

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// Catalog counts the spans of each operation, or none of them where they are too many:
// whether it is complete depends on the set of operations and not on their order. It serves
// one goroutine while it is filled, any number once it is only read.
type Catalog struct {
	services   map[string]map[nameKind]uint64
	operations int
	textBytes  int
	incomplete bool
}

type nameKind struct {
	name string
	kind int32
}

// NewCatalog is empty.
func NewCatalog() *Catalog { return &Catalog{services: map[string]map[nameKind]uint64{}} }

// Complete is false where the catalog lists nothing because there is too much to list.
func (c *Catalog) Complete() bool { return !c.incomplete }

// Add counts spans of an operation.
func (c *Catalog) Add(service, name string, kind int32, spans uint64) {
	if c.incomplete {
		return
	}
	operations := c.services[service]
	if operations == nil {
		operations = map[nameKind]uint64{}
		c.services[service] = operations
		c.textBytes += len(service)
	}
	before := len(operations)
	operations[nameKind{name, kind}] += spans
	if len(operations) == before {
		return
	}
	c.operations++
	c.textBytes += len(name)
	if c.operations > operationsMax || c.textBytes > textBytesMax {
		*c = Catalog{incomplete: true}
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
	list := func(service string, operations map[nameKind]uint64) {
		for operation := range operations {
			all = append(all, span.Operation{Service: service, Name: operation.name, Kind: operation.kind})
		}
	}
	if service != "" {
		list(service, c.services[service])
	} else {
		for name, operations := range c.services {
			list(name, operations)
		}
	}
	slices.SortFunc(all, func(a, b span.Operation) int {
		return cmp.Or(strings.Compare(a.Service, b.Service), strings.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind))
	})
	return all
}

// Size is how many operations there are.
func (c *Catalog) Size() int { return c.operations }

// Count is how many operations a service has.
func (c *Catalog) Count(service string) int { return len(c.services[service]) }

// Each visits the operations of a service, in no order. A name may come with several kinds.
func (c *Catalog) Each(service string, visit func(name string, kind int32)) {
	for operation := range c.services[service] {
		visit(operation.name, operation.kind)
	}
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
//
// An incomplete catalog is incompleteMark v, where the number of services would stand.
func (c *Catalog) AppendBinary(dst []byte) []byte {
	if c.incomplete {
		return binary.AppendUvarint(dst, incompleteMark)
	}
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

// incompleteMark is more services than a file has bytes for.
const incompleteMark = 1 << 32

// DecodeCatalog reads what AppendBinary wrote; anything else is codec.ErrCorrupt.
func DecodeCatalog(data []byte) (*Catalog, error) {
	r := codec.NewReader(data)
	c := NewCatalog()
	services := r.Uvarint()
	if r.Err() == nil && services == incompleteMark {
		c, services = &Catalog{incomplete: true}, 0
	}
	if services > uint64(r.Len()/2) {
		r.Fail("%d services in %d bytes", services, r.Len())
		services = 0
	}
	for range services {
		service := string(r.LengthBytes())
		if _, twice := c.services[service]; twice {
			r.Fail("service %q twice", service)
		}
		c.services[service] = map[nameKind]uint64{}
		c.textBytes += len(service)
		for range r.Count(3) {
			name, kind := string(r.LengthBytes()), r.Varint()
			if kind != int64(int32(kind)) {
				r.Fail("span kind %d", kind)
			}
			c.services[service][nameKind{name, int32(kind)}] += r.Uvarint()
			c.operations++
			c.textBytes += len(name)
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
