package workload

// The words that names are made of. Their order is part of what a seed gives.

// serviceNames in the order of their layers: those in front call those behind.
var serviceNames = []string{
	"frontend", "mobile-gateway", "partner-api", "checkout", "cart", "search", "account", "orders", "recommendation", "catalog",
	"payment", "pricing", "promotion", "shipping", "inventory", "review", "wishlist", "loyalty", "fraud-check", "tax", "invoice",
	"notification", "email", "sms", "push", "address", "currency", "session", "auth", "profile", "media", "image-resizer",
	"feature-flags", "config", "audit", "warehouse", "supplier", "returns", "analytics", "ad", "translation", "geo",
}

// nouns are what operations work on.
var nouns = []string{
	"order", "item", "basket", "product", "price", "offer", "customer", "address", "invoice", "parcel", "stock", "review",
	"voucher", "session", "token", "message", "picture", "category", "supplier", "refund",
}

// verbs of methods that are not HTTP.
var verbs = []string{"Get", "List", "Create", "Update", "Delete", "Reserve", "Validate", "Compute", "Check", "Resolve"}

var httpMethods = []string{"GET", "GET", "GET", "POST", "PUT", "DELETE", "PATCH"}

var userAgents = []string{
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
	"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
	"Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
	"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
	"Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
	"okhttp/5.1.0", "Go-http-client/2.0", "python-requests/2.32.5", "curl/8.16.0", "ShopApp/7.42.1 (iOS 18.5)", "ShopApp/7.40.0 (Android 15)",
	"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
}

var databases = []string{"postgresql", "mysql", "mongodb", "cassandra"}

var (
	currencies  = []string{"EUR", "USD", "GBP", "CHF", "SEK", "PLN", "CZK", "JPY"}
	countries   = []string{"DE", "US", "GB", "FR", "CH", "SE", "PL", "CZ", "AT", "IT", "ES", "NL", "BE", "DK", "JP", "CA"}
	regions     = []string{"eu-central-1", "eu-west-1", "us-east-1"}
	experiments = []string{"control", "variant-a", "variant-b", "holdout"}
	features    = []string{"fast-checkout", "new-search", "dark-launch", "one-click", "bundle-price", "slow-roll", "guest-cart", "smart-sort"}
	plans       = []string{"free", "basic", "plus", "business", "enterprise"}
)

// language is what the services of one runtime have in common.
type language struct {
	name, runtime, version, sdkVersion string
	scopes                             [rolesEnd]string // instrumentation libraries by role
	scopeVersion                       string
	exception, function, frame         string // texts of an exception: its type, and a frame of its stack
}

var languages = []language{
	{
		name: "java", runtime: "OpenJDK Runtime Environment", version: "21.0.8+9-LTS", sdkVersion: "1.54.0", scopeVersion: "2.20.1-alpha",
		scopes: [rolesEnd]string{
			"io.opentelemetry.tomcat-10.0", "io.opentelemetry.java-http-client", "io.opentelemetry.grpc-1.6", "io.opentelemetry.grpc-1.6",
			"io.opentelemetry.jdbc", "io.opentelemetry.lettuce-5.1", "io.opentelemetry.spring-core-2.0", "io.opentelemetry.kafka-clients-0.11", "io.opentelemetry.kafka-clients-0.11",
		},
		exception: "java.util.concurrent.TimeoutException", function: "com.shop.%s.Service", frame: "\tat com.shop.%s.Service.step%d(Service.java:%d)\n",
	},
	{
		name: "go", runtime: "go", version: "go1.26.0", sdkVersion: "1.38.0", scopeVersion: "0.63.0",
		scopes: [rolesEnd]string{
			"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp", "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp",
			"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc", "go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc",
			"github.com/XSAM/otelsql", "github.com/redis/go-redis/extra/redisotel", "shop/internal/tracing", "shop/internal/queue", "shop/internal/queue",
		},
		exception: "*errors.errorString", function: "shop/%s.(*Server)", frame: "shop/%s.(*Server).step%d\n\t/src/shop/server.go:%d\n",
	},
	{
		name: "nodejs", runtime: "nodejs", version: "22.20.0", sdkVersion: "2.1.0", scopeVersion: "0.205.0",
		scopes: [rolesEnd]string{
			"@opentelemetry/instrumentation-http", "@opentelemetry/instrumentation-undici", "@opentelemetry/instrumentation-grpc", "@opentelemetry/instrumentation-grpc",
			"@opentelemetry/instrumentation-pg", "@opentelemetry/instrumentation-ioredis", "@opentelemetry/instrumentation-express", "@opentelemetry/instrumentation-kafkajs", "@opentelemetry/instrumentation-kafkajs",
		},
		exception: "TimeoutError", function: "%s", frame: "    at %s.step%d (/app/dist/service.js:%d:17)\n",
	},
	{
		name: "python", runtime: "CPython", version: "3.13.7", sdkVersion: "1.37.0", scopeVersion: "0.58b0",
		scopes: [rolesEnd]string{
			"opentelemetry.instrumentation.fastapi", "opentelemetry.instrumentation.httpx", "opentelemetry.instrumentation.grpc", "opentelemetry.instrumentation.grpc",
			"opentelemetry.instrumentation.sqlalchemy", "opentelemetry.instrumentation.redis", "shop.tracing", "opentelemetry.instrumentation.confluent_kafka", "opentelemetry.instrumentation.confluent_kafka",
		},
		exception: "requests.exceptions.ReadTimeout", function: "shop.%s.views", frame: "  File \"/app/shop/%s.py\", in step%d, line %d\n",
	},
}
