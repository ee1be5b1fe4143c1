package workload

import (
	"fmt"
	"math"
	"slices"
)

// role is what part of a call a span tells of; it chooses the attributes, the
// instrumentation library and how long it takes.
type role uint8

const (
	httpServer role = iota
	httpClient
	rpcServer
	rpcClient
	database
	cache
	internal
	publish
	consume
	rolesEnd
)

// Span kinds of OTLP.
const (
	kindInternal = 1 + iota
	kindServer
	kindClient
	kindProducer
	kindConsumer
)

var kinds = [rolesEnd]uint64{
	httpServer: kindServer, httpClient: kindClient, rpcServer: kindServer, rpcClient: kindClient,
	database: kindClient, cache: kindClient, internal: kindInternal, publish: kindProducer, consume: kindConsumer,
}

// medians are the nanoseconds of a span's own work at pace 1: half of them take longer.
var medians = [rolesEnd]uint64{
	httpServer: 300_000, httpClient: 250_000, rpcServer: 150_000, rpcClient: 120_000,
	database: 1_800_000, cache: 350_000, internal: 120_000, publish: 600_000, consume: 400_000,
}

// system is what stands while traces come and go.
type system struct {
	config   Config
	services []*service
	pods     []*pod
	entries  []*operation // where traces begin
	errors   uint64       // of a million spans, those where an error begins
	late     uint64       // of a million spans, those that are exported late
}

type service struct {
	name       string
	layer      int // calls go to greater ones
	language   *language
	database   string
	fillers    []attribute // attributes of the application, in this service's own order
	operations []*operation
	pods       []*pod
}

// pod is one process of a service.
type pod struct {
	number   int
	service  *service
	resource []byte // Resource message
	skew     int64  // nanoseconds by which its clock is off
	phase    uint64 // when in its interval it exports
	address  value  // as its callers see it
}

// site is a place in the code at which spans begin.
type site struct {
	name   []byte
	role   role
	attrs  []attribute // the first of them are those that the conventions want
	wanted uint64      // attributes of a span, in thousandths, mean
	median uint64
}

// step is what an operation does within its span: work that is one span, or a call.
type step struct {
	site
	target   *operation // nil for work
	parallel bool       // begins together with the step before
}

// operation is what a service is called for. Its first step is work, so that any number
// of spans can be spent on it.
type operation struct {
	site
	service *service
	steps   []step
}

// newSystem draws services, pods and operations.
func newSystem(c Config) *system {
	s := &system{config: c, late: uint64(math.Round(c.Late * 1e6))}
	// An error begins in few spans and shows in those that wait for them.
	s.errors = uint64(math.Round(c.Errors * 1e6 * errorOrigins))
	r := newRandom(c.Seed, systemStream)
	for i := range c.Services {
		name := c.Prefix + serviceNames[i%len(serviceNames)]
		if copies := i / len(serviceNames); copies > 0 {
			name = fmt.Sprintf("%s-%d", name, copies+1)
		}
		service := &service{
			name: name, layer: i, language: &languages[r.below(uint64(len(languages)))],
			database: databases[r.below(uint64(len(databases)))],
		}
		service.fillers = newFillers(c, r)
		s.services = append(s.services, service)
	}
	for i := range c.Pods {
		at := i // the first pods go to each service in turn, the others where they fall
		if i >= c.Services {
			at = int(r.skewed(uint64(c.Services)))
		}
		s.addPod(r, s.services[at])
	}
	for _, service := range s.services {
		s.addOperations(r, service)
	}
	for _, service := range s.services {
		for _, o := range service.operations {
			s.addSteps(r, o)
		}
	}
	for _, service := range s.services[:max(1, c.Services/12)] {
		s.entries = append(s.entries, service.operations...)
	}
	// Each service is called from the front once, so that all of them have spans.
	for _, service := range s.services[1:] {
		o := s.entries[r.below(uint64(len(s.entries)))]
		target := service.operations[r.below(uint64(len(service.operations)))]
		o.steps = slices.Insert(o.steps, 1, s.callStep(r, o.service, target))
	}
	return s
}

// systemStream and arrivalStream are the numbers of two streams; traces have their own.
const (
	systemStream  = math.MaxUint64
	arrivalStream = math.MaxUint64 - 1
)

// errorOrigins is the share of errors that begin in the span itself, as measured over the
// presets: each shows in further spans that wait for it.
const errorOrigins = 0.7

func (s *system) addPod(r random, service *service) {
	number := len(s.pods)
	p := &pod{number: number, service: service, phase: r.below(exportInterval)}
	if skew := uint64(s.config.Skew); skew > 0 {
		p.skew = int64(r.below(2*skew+1)) - int64(skew)
	}
	ip := fmt.Sprintf("10.%d.%d.%d", 32+number/62_500, number/250%250, 2+number%250)
	p.address = ofText(ip)
	p.resource = newResource(r, service, number, len(service.pods), ip)
	service.pods = append(service.pods, p)
	s.pods = append(s.pods, p)
}

func (s *system) addOperations(r random, service *service) {
	speaksHTTP := service.layer < max(1, len(s.services)/4) || r.below(3) == 0
	for range 3 + r.below(8) {
		noun := nouns[r.below(uint64(len(nouns)))]
		o := &operation{service: service}
		switch {
		case speaksHTTP:
			method := httpMethods[r.below(uint64(len(httpMethods)))]
			route := fmt.Sprintf("/api/v%d/%ss", 1+r.below(3), noun)
			if r.below(3) > 0 {
				route += "/{id}"
			}
			o.site = s.newSite(r, service, httpServer, method+" "+route)
			o.attrs = append(httpServerAttributes(service, method, route), o.attrs...)
		default:
			method := verbs[r.below(uint64(len(verbs)))] + title(noun)
			name := fmt.Sprintf("shop.%s.v1.%sService", service.name, title(noun))
			o.site = s.newSite(r, service, rpcServer, name+"/"+method)
			o.attrs = append(rpcAttributes(service, name, method), o.attrs...)
		}
		service.operations = append(service.operations, o)
	}
	topic := service.name + "." + nouns[r.below(uint64(len(nouns)))] + "s"
	o := &operation{service: service, site: s.newSite(r, service, consume, "process "+topic)}
	o.attrs = append(messageAttributes(topic, "process", service.name), o.attrs...)
	service.operations = append(service.operations, o)
}

// addSteps draws what an operation does: work of its own, and calls of services
// behind its service.
func (s *system) addSteps(r random, o *operation) {
	service := o.service
	o.steps = append(o.steps, s.workStep(r, service))
	behind := s.services[service.layer+1:]
	if s.config.Depth > s.config.Services {
		behind = s.services // only calls in circles go that deep
	}
	for i := range 1 + r.below(5) {
		if len(behind) == 0 || i > 0 && r.below(5) < 2 {
			o.steps = append(o.steps, s.workStep(r, service))
			continue
		}
		// Neighbours are called more often than services far behind.
		callee := behind[r.skewed(uint64(len(behind)))]
		target := callee.operations[r.below(uint64(len(callee.operations)))]
		o.steps = append(o.steps, s.callStep(r, service, target))
	}
}

// callStep calls an operation from a service, over the protocol that it speaks.
func (s *system) callStep(r random, service *service, target *operation) step {
	call := step{target: target, parallel: r.below(3) == 0}
	switch target.role {
	case httpServer:
		call.site = s.newSite(r, service, httpClient, string(target.attrs[0].fixed.text))
		call.attrs = append(httpClientAttributes(target), call.attrs...)
	case rpcServer:
		call.site = s.newSite(r, service, rpcClient, string(target.name))
		call.attrs = append(rpcClientAttributes(target), call.attrs...)
	default:
		topic := string(target.attrs[1].fixed.text)
		call.site = s.newSite(r, service, publish, "send "+topic)
		call.attrs = append(messageAttributes(topic, "send", service.name), call.attrs...)
	}
	return call
}

// workStep is a query of the service's database or cache, or a piece of code.
func (s *system) workStep(r random, service *service) step {
	noun := nouns[r.below(uint64(len(nouns)))]
	work := step{parallel: r.below(4) == 0}
	switch r.below(4) {
	case 0, 1:
		verb := []string{"SELECT", "SELECT", "SELECT", "INSERT", "UPDATE"}[r.below(5)]
		work.site = s.newSite(r, service, database, verb+" "+service.name+"."+noun)
		work.attrs = append(databaseAttributes(service, verb, noun), work.attrs...)
	case 2:
		verb := []string{"GET", "HGET", "SET", "MGET"}[r.below(4)]
		work.site = s.newSite(r, service, cache, verb)
		work.attrs = append(cacheAttributes(service, verb, noun), work.attrs...)
	default:
		function := []string{"validate", "render", "load", "encode", "apply"}[r.below(5)] + title(noun)
		work.site = s.newSite(r, service, internal, function)
		work.attrs = append(codeAttributes(r, service, function), work.attrs...)
	}
	return work
}

// newSite has the service's fillers only; its role's attributes go in front of them.
func (s *system) newSite(r random, service *service, of role, name string) site {
	wanted := int64(math.Round(s.config.Attributes*1000)) + 1000*(int64(r.below(5))-2)
	fillers := service.fillers
	from := r.below(uint64(len(fillers)))
	own := make([]attribute, 0, len(fillers))
	own = append(append(own, fillers[from:]...), fillers[:from]...)
	pace := int64(math.Round(s.config.Pace * 1000))
	return site{
		name: []byte(name), role: of, attrs: own, wanted: uint64(max(wanted, 0)),
		median: scaled(max(1, medians[of]*uint64(pace)/1000), int64(r.below(2*one))-one),
	}
}

// title has the first letter in upper case; words here are ASCII.
func title(word string) string { return string(word[0]-'a'+'A') + word[1:] }
