package enginetest

import (
	"fmt"
	"strings"
)

// What Crowded has.
const (
	CrowdedSpans     = 9000
	CrowdedResources = 90
	CrowdedBits      = 7
	crowdedLongBytes = 300
)

// CrowdedLong is the value of "long" of a span.
func CrowdedLong(i int) string { return strings.Repeat("l", crowdedLongBytes) + fmt.Sprint(i) }

// Crowded is a request that is beyond what a judge of filters tells apart: of 90 resources, no
// two of which have the same of the attributes "bit 0" to "bit 6"; with a value "long" that no
// filter of a column knows, and one "short" that they do; with an event "event <i>" for each
// span, more than a segment has templates for, whose attribute "e" is i modulo 7. Spans are
// numbered from 0, 100 to a resource, and each is of a trace of its own.
func Crowded() []byte {
	spans := make([]Span, CrowdedSpans)
	for i := range spans {
		s := Span{hasResource: true}
		resource := i / (CrowdedSpans / CrowdedResources)
		s.resource.bytes(1, keyValue("service.name", anyText(fmt.Sprint("s", resource))))
		for bit := range CrowdedBits {
			if resource>>bit&1 == 1 {
				s.resource.bytes(1, keyValue(fmt.Sprint("bit ", bit), anyText("x")))
			}
		}
		id := []byte(fmt.Sprintf("%016d", i+1))
		s.span.bytes(1, id)
		s.span.bytes(2, id[8:])
		s.span.text(5, "crowded")
		s.span.fixed64(7, baseTime+uint64(i))
		s.span.fixed64(8, baseTime+uint64(i)+100_000)
		s.span.bytes(9, keyValue("long", anyText(CrowdedLong(i))))
		s.span.bytes(9, keyValue("short", anyText(fmt.Sprint("v", i))))
		var event message
		event.text(2, fmt.Sprint("event ", i))
		event.bytes(3, keyValue("e", anyText(fmt.Sprint(i%7))))
		s.span.bytes(11, event)
		spans[i] = s
	}
	return Payload(spans)
}
