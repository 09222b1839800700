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

func (rt route) method() string {
	method, _, _ := strings.Cut(rt.Pattern, " ")
	return method
}

func (rt route) path() string {
	_, path, _ := strings.Cut(rt.Pattern, " ")
	return path
}

// admit lets those call a route who may.
func (s *server) admit(rt route) http.Handler {
	if rt.Open {
		return problem.Handler(s.cfg.Problems, func(w http.ResponseWriter, r *http.Request) error {
			if err := s.cfg.Endpoints.AuthorizeAnyone(rt.Pattern); err != nil {
				return s.cfg.Refused(r, err)
			}
			return rt.handle(s, w, r)
		})
	}
	return s.cfg.Identify(problem.Handler(s.cfg.Problems, func(w http.ResponseWriter, r *http.Request) error {
		peer, _, ok := mtls.PeerFrom(r.Context())
		if !ok {
			return errors.New(rt.Pattern + " behind no identity middleware")
		}
		if err := s.cfg.Endpoints.Authorize(rt.Pattern, peer.Identity); err != nil {
			return s.cfg.Refused(r, err)
		}
		return rt.handle(s, w, r)
	}))
}
