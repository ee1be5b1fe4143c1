package workload

import (
	"fmt"
	"math"
)

// draw is how an attribute's value comes about.
type draw uint8

const (
	fixed      draw = iota // always the same
	fromList               // one of a few, the first ones more often
	ofUser                 // one of a few, always the same for a user
	httpStatus             // of the call
	rpcStatus
	userID       // of the trace's user
	sessionID    // of the user, one of some
	orderID      // of the trace alone
	userAddress  // where the user comes from
	uniqueUUID   // of the span alone
	uniqueHex    // the same, of 16 letters
	upTo         // a whole number below n
	sizeAround   // log-normal, median n
	moneyUpTo    // a double of two decimals below n
	flag         // true in a quarter of draws
	path         // text, in which {id} becomes the trace's order or a number
	peerAddress  // of the pod that is called
	queryText    // text with {id}, and a literal now and then
	offsetOf     // a number that grows with time
	threadOfPool // a small number
)

// attribute is a key and how its value is drawn.
type attribute struct {
	key   string
	draw  draw
	fixed value
	list  []value
	n     uint64
}

func fixedText(key, text string) attribute { return attribute{key: key, fixed: ofText(text)} }

func fixedInt(key string, v uint64) attribute { return attribute{key: key, fixed: ofInt(v)} }

func listed(key string, texts []string) attribute {
	a := attribute{key: key, draw: fromList}
	for _, text := range texts {
		a.list = append(a.list, ofText(text))
	}
	return a
}

func ofTheUser(key string, texts []string) attribute {
	a := listed(key, texts)
	a.draw = ofUser
	return a
}

// newFillers are the application's own attributes, in an order that is the service's.
func newFillers(c Config, r random) []attribute {
	tenants := make([]string, 0, 200)
	for i := range cap(tenants) {
		tenants = append(tenants, fmt.Sprintf("tenant-%03d", i))
	}
	// One of a few, for each service its own: what a deployment sets.
	own := func(key string, texts []string) attribute { return fixedText(key, texts[r.below(uint64(len(texts)))]) }
	all := []attribute{
		{key: "app.user.id", draw: userID, n: uint64(c.Cardinality)},
		{key: "app.order.id", draw: orderID},
		{key: "app.session.id", draw: sessionID},
		{key: "app.request.id", draw: uniqueHex},
		{key: "app.cart.items", draw: upTo, n: 12},
		{key: "app.cart.total", draw: moneyUpTo, n: 50_000},
		{key: "app.payload.bytes", draw: sizeAround, n: 2_000},
		{key: "app.cache.hit", draw: flag},
		listed("app.feature", features),
		ofTheUser("app.tenant", tenants),
		ofTheUser("app.currency", currencies),
		ofTheUser("app.country", countries),
		own("app.plan", plans), own("app.experiment", experiments), own("app.region", regions), own("app.module", nouns),
		own("app.deploy.ring", []string{"stable", "canary"}), own("app.runtime.mode", []string{"sync", "async", "reactive"}),
		fixedText("app.team", fmt.Sprintf("team-%d", r.below(12))), fixedText("app.tier", fmt.Sprintf("tier-%d", r.below(4))),
		fixedText("app.build.sha", string(appendDigits(nil, r.uint64(), 8))), fixedText("app.config.version", fmt.Sprintf("2025-12-%02d", 1+r.below(28))),
		fixedInt("app.schema", 1+r.below(9)), fixedInt("app.timeout_ms", 100*(1+r.below(50))),
	}
	for i := 0; len(all) < int(c.Attributes)+3; i++ {
		key := fmt.Sprintf("app.field.%03d", i)
		all = append(all, []attribute{{key: key, draw: upTo, n: 1000}, listed(key, plans), {key: key, draw: flag}, {key: key, draw: uniqueHex}}[i%4])
	}
	for i := len(all) - 1; i > 0; i-- { // Fisher and Yates
		j := r.below(uint64(i + 1))
		all[i], all[j] = all[j], all[i]
	}
	return all
}

func httpServerAttributes(service *service, method, route string) []attribute {
	attrs := []attribute{
		fixedText("http.request.method", method), fixedText("http.route", route),
		{key: "url.path", draw: path, fixed: ofText(route)}, {key: "http.response.status_code", draw: httpStatus},
		fixedText("url.scheme", "https"), fixedText("server.address", service.name+".shop.svc"), fixedInt("server.port", 8080),
		fixedText("network.protocol.version", "1.1"),
	}
	if service.layer < 3 { // people come here; the others see pods
		attrs = append(attrs, attribute{key: "client.address", draw: userAddress}, listed("user_agent.original", userAgents))
	}
	return attrs
}

func httpClientAttributes(target *operation) []attribute {
	host := target.service.name + ".shop.svc"
	route := string(target.attrs[1].fixed.text)
	return []attribute{
		target.attrs[0], {key: "url.full", draw: path, fixed: ofText("http://" + host + route)},
		{key: "http.response.status_code", draw: httpStatus}, fixedText("server.address", host), fixedInt("server.port", 8080),
		{key: "network.peer.address", draw: peerAddress}, fixedText("network.protocol.version", "1.1"),
	}
}

func rpcAttributes(service *service, name, method string) []attribute {
	return []attribute{
		fixedText("rpc.system", "grpc"), fixedText("rpc.service", name), fixedText("rpc.method", method),
		{key: "rpc.grpc.status_code", draw: rpcStatus}, fixedText("server.address", service.name), fixedInt("server.port", 9090),
		fixedText("network.transport", "tcp"),
	}
}

func rpcClientAttributes(target *operation) []attribute {
	attrs := append([]attribute(nil), target.attrs[:6]...)
	return append(attrs, attribute{key: "network.peer.address", draw: peerAddress}, fixedInt("network.peer.port", 9090))
}

func databaseAttributes(service *service, verb, noun string) []attribute {
	text := "SELECT * FROM " + noun + "s WHERE id = {id}"
	switch verb {
	case "INSERT":
		text = "INSERT INTO " + noun + "s (id, status, amount) VALUES ({id}, $1, $2)"
	case "UPDATE":
		text = "UPDATE " + noun + "s SET status = $1 WHERE id = {id}"
	}
	host := fmt.Sprintf("%s-%s.data.svc", service.name, service.database)
	return []attribute{
		fixedText("db.system.name", service.database), fixedText("db.namespace", service.name), fixedText("db.operation.name", verb),
		fixedText("db.collection.name", noun+"s"), {key: "db.query.text", draw: queryText, fixed: ofText(text)},
		fixedText("server.address", host), fixedInt("server.port", 5432), {key: "db.response.returned_rows", draw: sizeAround, n: 4},
	}
}

func cacheAttributes(service *service, verb, noun string) []attribute {
	return []attribute{
		fixedText("db.system.name", "redis"), fixedText("db.operation.name", verb),
		{key: "db.query.text", draw: path, fixed: ofText(verb + " " + noun + ":{id}")},
		fixedText("server.address", service.name+"-redis.data.svc"), fixedInt("server.port", 6379), fixedText("db.namespace", "0"),
	}
}

func codeAttributes(r random, service *service, function string) []attribute {
	return []attribute{
		fixedText("code.function.name", fmt.Sprintf(service.language.function, service.name)+"."+function),
		fixedInt("code.line.number", 10+r.below(900)), {key: "thread.id", draw: threadOfPool, n: 64},
	}
}

func messageAttributes(topic, operation, client string) []attribute {
	attrs := []attribute{
		fixedText("messaging.system", "kafka"), fixedText("messaging.destination.name", topic),
		fixedText("messaging.operation.type", operation), {key: "messaging.message.id", draw: uniqueUUID},
		{key: "messaging.destination.partition.id", draw: upTo, n: 12}, {key: "messaging.kafka.offset", draw: offsetOf},
		{key: "messaging.message.body.size", draw: sizeAround, n: 900}, fixedText("messaging.client.id", client),
	}
	if operation == "process" {
		attrs = append(attrs, fixedText("messaging.consumer.group.name", client))
	}
	return attrs
}

// newResource is a Resource message of 23 attributes.
func newResource(r random, service *service, number, replica int, ip string) []byte {
	l := service.language
	node := number % 18
	zone := fmt.Sprintf("eu-central-1%c", 'a'+node%3)
	host := fmt.Sprintf("ip-10-0-%d-%d.eu-central-1.compute.internal", node/6, 10+node)
	set := fmt.Sprintf("%s-%08x", service.name, uint32(scrambled(uint64(service.layer))))
	name := fmt.Sprintf("%s-%c%c%c%c%c", set, letter(r), letter(r), letter(r), letter(r), letter(r))
	var b []byte
	for _, a := range []attribute{
		fixedText("service.name", service.name), fixedText("service.namespace", "shop"),
		fixedText("service.version", fmt.Sprintf("%d.%d.%d", 1+service.layer%4, service.layer*7%40, service.layer%9)),
		fixedText("service.instance.id", string(appendUUID(nil, r))), fixedText("deployment.environment.name", "production"),
		fixedText("k8s.cluster.name", "shop-prod-1"), fixedText("k8s.namespace.name", "shop"), fixedText("k8s.deployment.name", service.name),
		fixedText("k8s.replicaset.name", set), fixedText("k8s.pod.name", name), fixedText("k8s.pod.uid", string(appendUUID(nil, r))),
		fixedText("k8s.pod.ip", ip), fixedText("k8s.node.name", host), fixedText("container.id", string(appendHex(appendHex(nil, r), r))),
		fixedText("container.image.name", "registry.shop.example/"+service.name), fixedText("cloud.provider", "aws"),
		fixedText("cloud.availability_zone", zone), fixedInt("process.pid", 1+r.below(40)),
		fixedText("process.runtime.name", l.runtime), fixedText("process.runtime.version", l.version),
		fixedText("telemetry.sdk.name", "opentelemetry"), fixedText("telemetry.sdk.language", l.name), fixedText("telemetry.sdk.version", l.sdkVersion),
	} {
		b = appendAttribute(b, 1, a.key, a.fixed)
	}
	return b
}

// letter is one that Kubernetes uses in names it makes.
func letter(r random) byte {
	const letters = "bcdfghjklmnpqrstvwxz2456789"
	return letters[r.below(uint64(len(letters)))]
}

const hexDigits = "0123456789abcdef"

// appendHex writes 16 digits.
func appendHex(dst []byte, r random) []byte { return appendDigits(dst, r.uint64(), 16) }

func appendDigits(dst []byte, x uint64, n int) []byte {
	for i := n - 1; i >= 0; i-- {
		dst = append(dst, hexDigits[x>>(4*i)&15])
	}
	return dst
}

// appendUUID writes one of version 4 (RFC 9562).
func appendUUID(dst []byte, r random) []byte {
	a, b := r.uint64(), r.uint64()
	a = a&^0xf000 | 0x4000
	b = b&^(3<<62) | 1<<63
	dst = append(appendDigits(dst, a>>32, 8), '-')
	dst = append(appendDigits(dst, a>>16, 4), '-')
	dst = append(appendDigits(dst, a, 4), '-')
	dst = append(appendDigits(dst, b>>48, 4), '-')
	return appendDigits(dst, b, 12)
}

// doubleOf is the nearest double of so many hundredths: a division is rounded alike on
// every machine.
func doubleOf(hundredths uint64) value {
	return value{bits: math.Float64bits(float64(hundredths) / 100), tag: doubleTag}
}
