package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// TenantHeader is the metadata key that names a call's tenant, unless told otherwise.
const TenantHeader = "x-tenant"

// tenantParameter names the tenant of a request to the admin port.
const tenantParameter = "tenant"

// Tenants say who shares a server without knowing of one another. With an empty list
// tenancy is off: the header is ignored, and all calls are of the one Store.
type Tenants struct {
	Header string // metadata key, lower case; "" is TenantHeader
	List   []Tenant
}

// Tenant is what one tenant has to itself.
type Tenant struct {
	Name    string
	Store   Store
	Archive Store // nil: there is no archive
	// Imports, Attributes, Rates and Edges answer the admin port's requests about this tenant; see
	// Options.
	Imports, Attributes, Rates, Edges http.Handler
	// Query answers the query port's requests of this tenant.
	Query http.Handler
}

// tenantNameMax bounds a name: it is the name of a folder, and of a label.
const tenantNameMax = 64

// CheckTenantName tells what is wrong with a name: 1 to 64 of A-Z a-z 0-9 . _ and -, not
// with a dot in front. Such a name is a folder's on every system.
func CheckTenantName(name string) error {
	if name == "" || len(name) > tenantNameMax {
		return fmt.Errorf("tenant %.100q: want 1 to %d characters", name, tenantNameMax)
	}
	if name[0] == '.' {
		return fmt.Errorf("tenant %q: a dot in front", name)
	}
	for _, c := range []byte(name) {
		if !isWordByte(c) && c != '.' {
			return fmt.Errorf("tenant %q: want letters, digits, dots, _ and -", name)
		}
	}
	return nil
}

func isWordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

// CheckTenantHeader tells what is wrong with a metadata key, which must be lower case.
func CheckTenantHeader(key string) error {
	bad := func(c rune) bool { return c > 'z' || c >= 'A' && c <= 'Z' || !isWordByte(byte(c)) && c != '.' }
	switch {
	case key == "" || len(key) > tenantNameMax || strings.ContainsFunc(key, bad):
		return fmt.Errorf("%.100q: want 1 to %d lower-case letters, digits, dots, _ and -", key, tenantNameMax)
	case strings.HasPrefix(key, "grpc-") || strings.HasSuffix(key, "-bin"):
		return fmt.Errorf("%q: gRPC has another meaning for such a key", key)
	}
	return nil
}

// What a call without one known tenant is told. It is the same whoever else there is: no
// error gives away a name. The words are Jaeger's.
var (
	errNoTenant      = errors.New("missing tenant header")
	errTwoTenants    = errors.New("extra tenant header")
	errUnknownTenant = errors.New("unknown tenant")
)

// side gives what answers a call: the server of its tenant, or where tenancy is off the one
// server there is. It is the only place where tenants part: behind it a method has one
// store, and no way to another.
func (s *Server) side(ctx context.Context) (*Server, error) {
	if s.tenants == nil {
		return s, nil
	}
	values := metadata.ValueFromIncomingContext(ctx, s.options.Tenants.Header)
	side, err := s.tenantOf(values)
	switch {
	case errors.Is(err, errNoTenant):
		return nil, status.Error(codes.Unauthenticated, err.Error())
	case err != nil:
		return nil, status.Error(codes.PermissionDenied, err.Error())
	}
	return side, nil
}

// tenantOf finds the tenant that a request names, once.
func (s *Server) tenantOf(values []string) (*Server, error) {
	switch len(values) {
	case 0:
		return nil, errNoTenant
	case 1:
	default:
		return nil, errTwoTenants
	}
	side := s.tenants[values[0]]
	if side == nil {
		return nil, errUnknownTenant
	}
	return side, nil
}

// implementation gives what serves a method on this side, for the services of register.
func (s *Server) implementation(method string) any {
	return s.implementations[strings.TrimPrefix(path.Dir(method), "/")]
}

// tenantHandler leads a request of the admin port to the handler of the tenant that it
// names, by parameter or header. The port is the operator's: who reaches it may ask about
// every tenant, one at a time.
func (s *Server) tenantHandler(of func(t Tenant) http.Handler) http.Handler {
	handlers := make(map[string]http.Handler, len(s.options.Tenants.List))
	for _, t := range s.options.Tenants.List {
		if handler := of(t); handler != nil {
			handlers[t.Name] = handler
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		values := slices.Concat(r.URL.Query()[tenantParameter], r.Header.Values(s.options.Tenants.Header))
		side, err := s.tenantOf(values)
		switch {
		case errors.Is(err, errNoTenant):
			answerText(w, http.StatusUnauthorized, "missing tenant: name it as ?"+tenantParameter+"=NAME")
		case err != nil:
			answerText(w, http.StatusForbidden, err.Error())
		case handlers[side.tenant] == nil:
			answerText(w, http.StatusNotFound, "404 page not found")
		default:
			handlers[side.tenant].ServeHTTP(w, r)
		}
	})
}
