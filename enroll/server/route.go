package server

import (
	"errors"
	"net/http"
	"strings"

	"github.com/payca/payca/enroll/mtls"
	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/policy"
)

// A route is one endpoint of enrollment.
type route struct {
	policy.Endpoint
	handle func(*server, http.ResponseWriter, *http.Request) error
}

func routes() []route {
	open := func(pattern string) policy.Endpoint { return policy.Endpoint{Pattern: pattern, Open: true} }
	known := func(pattern string) policy.Endpoint { return policy.Endpoint{Pattern: pattern} }
	return []route{
		{open("POST /v1/enroll"), (*server).enroll},
		{open("GET /v1/enroll/{id}"), (*server).fetch},
		{open("POST /v1/enroll/{id}/votes"), (*server).vote},
		{known("POST /v1/renew"), (*server).renew},
		{known("POST /v1/issue"), (*server).issue},
		{open("GET /v1/roots"), (*server).showRoots},
		{open("GET /roots.pem"), (*server).rootsFile},
	}
}

// Endpoints lists the endpoints of [New].
func Endpoints() []policy.Endpoint {
	var all []policy.Endpoint
	for _, rt := range routes() {
		all = append(all, rt.Endpoint)
	}
	return all
}

// A Door is what stands before every way to a certificate; every member is required.
type Door struct {
	Problems problem.Writer                  // answers errors
	Identify func(http.Handler) http.Handler // the identity middleware, for endpoints that are not open
	// Endpoints is who may call what; Refused records that somebody may not, and returns the answer.
	Endpoints *policy.Endpoints
	Refused   func(r *http.Request, err error) error
}

// Admit lets those call an endpoint who may, by its method alone.
func (d Door) Admit(endpoint policy.Endpoint, handle func(http.ResponseWriter, *http.Request) error) http.Handler {
	method, _, _ := strings.Cut(endpoint.Pattern, " ")
	if endpoint.Open {
		return only(d.Problems, method, problem.Handler(d.Problems, func(w http.ResponseWriter, r *http.Request) error {
			if err := d.Endpoints.AuthorizeAnyone(endpoint.Pattern); err != nil {
				return d.Refused(r, err)
			}
			return handle(w, r)
		}))
	}
	return only(d.Problems, method, d.Identify(problem.Handler(d.Problems, func(w http.ResponseWriter, r *http.Request) error {
		peer, _, ok := mtls.PeerFrom(r.Context())
		if !ok {
			return errors.New(endpoint.Pattern + " behind no identity middleware")
		}
		if err := d.Endpoints.Authorize(endpoint.Pattern, peer.Identity); err != nil {
			return d.Refused(r, err)
		}
		return handle(w, r)
	})))
}
