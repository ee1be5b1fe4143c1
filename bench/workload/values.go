package workload

import (
	"bytes"
	"fmt"
	"strconv"
)

// appendName writes the span's name.
func (g *growth) appendName(b, name []byte) []byte {
	if g.system.config.Kind != NoRepeat {
		return appendField(b, 5, name)
	}
	g.scratch = appendHex(append(append(g.scratch[:0], name...), ' '), g.r)
	return appendField(b, 5, g.scratch)
}

// appendAttributes writes the span's attributes: as many of its site's as it wants.
func (g *growth) appendAttributes(b []byte, c *call) []byte {
	n := int(c.site.wanted / 1000)
	if g.r.chance(c.site.wanted % 1000 * 1000) {
		n++
	}
	switch g.system.config.Kind {
	case Storm:
		for range n {
			key := string(appendHex([]byte("k."), g.r))
			g.scratch = appendUUID(g.scratch[:0], g.r)
			b = appendAttribute(b, 9, key, value{text: g.scratch, tag: stringTag})
		}
		return b
	case NoRepeat:
		for i := range min(n, len(c.site.attrs)) {
			g.scratch = g.scratch[:0]
			for range 1 + g.r.below(3) {
				g.scratch = appendHex(g.scratch, g.r)
			}
			b = appendAttribute(b, 9, c.site.attrs[i].key, value{text: g.scratch, tag: stringTag})
		}
		return b
	}
	for i := range min(n, len(c.site.attrs)) {
		b = appendAttribute(b, 9, c.site.attrs[i].key, g.value(&c.site.attrs[i], c))
	}
	return b
}

// value draws an attribute's value; a text of it is valid until the next.
func (g *growth) value(a *attribute, c *call) value {
	switch a.draw {
	case fixed:
		return a.fixed
	case fromList:
		return a.list[g.r.skewed(uint64(len(a.list)))]
	case ofUser:
		return a.list[int(scrambled(g.user)%uint64(len(a.list)))]
	case httpStatus:
		return ofInt(c.status)
	case rpcStatus:
		if c.failed {
			return ofInt([]uint64{4, 13, 14}[c.id%3])
		}
		return ofInt(0)
	case upTo:
		return ofInt(g.r.below(a.n))
	case threadOfPool:
		return ofInt(20 + g.r.below(a.n))
	case sizeAround:
		return ofInt(g.r.logNormal(a.n, 2*one))
	case moneyUpTo:
		return doubleOf(g.r.below(a.n))
	case flag:
		return ofBool(g.r.below(4) == 0)
	case offsetOf:
		return ofInt(48_000_000 + (c.start-uint64(g.system.config.Start.UnixNano()))/2_000_000)
	case peerAddress:
		if c.peer != nil {
			return c.peer.address
		}
		return c.pod.address
	}
	g.scratch = g.appendText(g.scratch[:0], a)
	return value{text: g.scratch, tag: stringTag}
}

// appendText draws a text.
func (g *growth) appendText(b []byte, a *attribute) []byte {
	switch a.draw {
	case userID:
		return appendDigits(append(b, "user-"...), g.user, 8)
	case sessionID: // each user has four
		return appendDigits(b, scrambled(g.user<<2|g.order&3), 16)
	case orderID:
		return appendDigits(append(b, "ORD-"...), g.order, 12)
	case userAddress:
		at := scrambled(g.user)
		b = append(strconv.AppendUint(b, 60+at%120, 10), '.')
		b = append(strconv.AppendUint(b, at>>8&255, 10), '.')
		b = append(strconv.AppendUint(b, at>>16&255, 10), '.')
		return strconv.AppendUint(b, at>>24&255, 10)
	case uniqueUUID:
		return appendUUID(b, g.r)
	case uniqueHex:
		return appendHex(b, g.r)
	}
	// A path or a query: the id in it is the trace's order or any number; most drivers of
	// databases leave a placeholder.
	before, after, found := bytes.Cut(a.fixed.text, []byte("{id}"))
	b = append(b, before...)
	if !found {
		return b
	}
	switch {
	case a.draw == queryText && g.r.below(5) > 0:
		b = append(b, '?')
	case g.r.below(3) == 0:
		b = appendDigits(append(b, "ORD-"...), g.order, 12)
	default:
		b = strconv.AppendUint(b, 100_000+g.r.skewed(900_000), 10)
	}
	return append(b, after...)
}

// appendEvents writes an exception where an error began, and now and then what a
// program says while it works.
func (g *growth) appendEvents(b []byte, c *call) []byte {
	took := max(1, c.end-c.start)
	if g.r.chance(eventsPerMillion) {
		at := c.start + g.r.below(took) + uint64(c.pod.skew)
		g.message = appendFixed64(g.message[:0], 1, at)
		switch g.r.below(3) {
		case 0:
			g.message = appendField(g.message, 2, "cache.miss")
			g.message = appendAttribute(g.message, 3, "cache.key", g.value(&attribute{draw: path, fixed: ofText("item:{id}")}, c))
		case 1:
			g.message = appendField(g.message, 2, "retry")
			g.message = appendAttribute(g.message, 3, "retry.attempt", ofInt(1+g.r.below(3)))
			g.message = appendAttribute(g.message, 3, "retry.delay_ms", ofInt(g.r.logNormal(80, one)))
		default:
			g.message = appendField(g.message, 2, "log")
			g.message = appendAttribute(g.message, 3, "log.severity", ofText("WARN"))
			text := g.value(&attribute{draw: path, fixed: ofText("slow answer for {id}, will be shown without recommendations")}, c)
			g.message = appendAttribute(g.message, 3, "log.message", text)
		}
		b = appendField(b, 11, g.message)
	}
	if !c.origin {
		return b
	}
	g.message = appendFixed64(g.message[:0], 1, c.end-took/8+uint64(c.pod.skew))
	g.message = appendField(g.message, 2, "exception")
	l := c.pod.service.language
	g.message = appendAttribute(g.message, 3, "exception.type", ofText(l.exception))
	g.message = appendAttribute(g.message, 3, "exception.message", ofText(errorText(c)+fmt.Sprintf(", request %016x", g.r.uint64())))
	g.message = appendAttribute(g.message, 3, "exception.stacktrace", ofText(stack(c)))
	return appendField(b, 11, g.message)
}

// eventsPerMillion spans have an event beside an exception.
const eventsPerMillion = 25_000

func errorText(c *call) string {
	switch c.id % 4 {
	case 0:
		return "deadline exceeded after " + strconv.FormatUint((c.end-c.start)/1e6+1, 10) + " ms"
	case 1:
		return "connection reset by peer"
	case 2:
		return string(c.site.name) + ": conflict, try again"
	}
	return "upstream unavailable"
}

// stack is a stack of frames, the same for each of a site's few ways to fail.
func stack(c *call) string {
	l := c.pod.service.language
	way := c.id >> 2 % 4
	text := l.exception + ": " + errorText(c) + "\n"
	for frame := range 5 + way {
		line := scrambled(uint64(c.site.median)+way<<32+frame)%800 + 12
		text += fmt.Sprintf(l.frame, c.pod.service.name, frame, line)
	}
	return text
}
