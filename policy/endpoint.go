package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Anyone and Member stand in an [Access] in the place of a role: whoever calls, without a certificate, and every party of the network.
const (
	Anyone = "anyone"
	Member = "member"
)

// An Access says what one role may call.
type Access struct {
	// Role is a role, anyone for callers without a certificate, or member for every party of the network.
	Role string `yaml:"role" json:"role"`
	// Allow lists endpoints: a method and a pattern, as in "GET /v1/parties/{id}".
	Allow []string `yaml:"allow" json:"allow"`
}

// An Endpoint is a route that exists.
type Endpoint struct {
	Pattern string // method and pattern of http.ServeMux: "GET /v1/parties/{id}"
	Open    bool   // it knows no identity: it can be allowed to anyone only, and every other endpoint never is
}

// Endpoints is who may call what. Only [NewEndpoints] makes one, and nothing changes it. The zero value refuses everybody everything.
type Endpoints struct{ roles map[string][]string }

// An AccessError is one thing that is wrong with a list of [Access].
type AccessError struct {
	Item int    // of the list
	Key  string // "role", or "allow[2]"
	Text string // what is wrong, and what would be right
}

// Error is the text.
func (e *AccessError) Error() string { return e.Text }

// NewEndpoints checks who may call what against the endpoints that exist. An endpoint that nobody is allowed is refused to
// everybody. The errors are all that is wrong.
func NewEndpoints(table []Access, exist []Endpoint) (*Endpoints, []*AccessError) {
	e := &Endpoints{roles: map[string][]string{}}
	var errs []*AccessError
	for i, access := range table {
		wrong := func(key, format string, args ...any) {
			errs = append(errs, &AccessError{Item: i, Key: key, Text: fmt.Sprintf(format, args...)})
		}
		if special := access.Role == Anyone || access.Role == Member; !special && Role(access.Role).CA() == "" {
			wrong("role", "role %s: want a known role, %s or %s", quote(access.Role), Member, Anyone)
			continue
		}
		if slices.ContainsFunc(table[:i], func(other Access) bool { return other.Role == access.Role }) {
			wrong("role", "role %s stands above too, want it once", quote(access.Role))
			continue
		}
		for j, pattern := range access.Allow {
			at := slices.IndexFunc(exist, func(known Endpoint) bool { return known.Pattern == pattern })
			key := fmt.Sprintf("allow[%d]", j)
			switch {
			case at < 0:
				wrong(key, "endpoint %s: want one that exists: %s", quote(pattern), nearestEndpoints(pattern, exist))
			case exist[at].Open != (access.Role == Anyone):
				wrong(key, "endpoint %s to %s: want %s", quote(pattern), access.Role, callersOf(exist[at]))
			case slices.Contains(e.roles[pattern], access.Role):
				wrong(key, "endpoint %s stands above too, want it once", quote(pattern))
			default:
				e.roles[pattern] = append(e.roles[pattern], access.Role)
			}
		}
	}
	return e, errs
}

func callersOf(e Endpoint) string {
	if e.Open {
		return Anyone + ", it is called without a certificate"
	}
	return "roles or " + Member + ", it is called with a certificate"
}

// nearestEndpoints lists those with the same path or method.
func nearestEndpoints(pattern string, exist []Endpoint) string {
	method, path, _ := strings.Cut(pattern, " ")
	var near, rest []string
	for _, e := range exist {
		m, p, _ := strings.Cut(e.Pattern, " ")
		switch {
		case p == path || pattern == p, m == method && common(p, path) >= min(len(path), len("/v1/")+3):
			near = append(near, e.Pattern)
		default:
			rest = append(rest, e.Pattern)
		}
	}
	if len(near) == 0 {
		near = rest
	}
	return strings.Join(near, ", ")
}

// common is how many letters two texts begin with together.
func common(a, b string) (n int) {
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// Authorize says whether an identity may call the endpoint. The error is a *[Violation] with the rule "authorized-role".
func (e *Endpoints) Authorize(pattern string, id Identity) error {
	if e != nil && (slices.Contains(e.roles[pattern], string(id.Role)) || slices.Contains(e.roles[pattern], Member)) {
		return nil
	}
	return &Violation{
		Rule: "authorized-role", Field: "caller " + id.String() + " of " + pattern, Got: string(id.Role), Want: strings.Join(e.callers(pattern), " or "),
	}
}

// AuthorizeAnyone says whether the endpoint may be called without a certificate.
func (e *Endpoints) AuthorizeAnyone(pattern string) error {
	if e != nil && slices.Contains(e.roles[pattern], Anyone) {
		return nil
	}
	return &Violation{Rule: "authorized-role", Field: "caller of " + pattern, Got: "anyone", Want: strings.Join(e.callers(pattern), " or ")}
}

// callers lists who may call an endpoint, "nobody" at least.
func (e *Endpoints) callers(pattern string) []string {
	if e == nil || len(e.roles[pattern]) == 0 {
		return []string{"nobody"}
	}
	return e.roles[pattern]
}
