package cmd_test

import (
	"slices"
	"strings"
)

// rules are the import rules of docs/design.md.
var rules = []rule{
	{
		"every package has its place in the order",
		func(sources []source) []string {
			return places(sources, func(s source) bool { return s.dir != "cmd" && rank(s.dir) < 0 })
		},
		tree(map[string][]string{"ca/helpers/a.go": nil}),
	},
	{
		"a package imports only packages before it in the order",
		func(sources []source) []string {
			return each(sources, func(s source, imported string) bool {
				if s.external || imported == s.dir || !inTree(imported) {
					return false
				}
				from, to := rank(s.dir), rank(imported)
				return to < 0 || to > from || to == from && !strings.HasSuffix(order[to], "/*")
			})
		},
		tree(map[string][]string{"policy/a.go": {"ca"}}),
	},
	{
		"a test inside a package keeps the order too",
		func(sources []source) []string {
			return each(sources, func(s source, imported string) bool {
				return s.test && !s.external && inTree(imported) && rank(imported) > rank(s.dir)
			})
		},
		tree(map[string][]string{"ocsp/a_test.go": {"ca/catest"}}),
	},
	{
		"enroll, enroll/mtls and enroll/server never import the authority",
		func(sources []source) []string {
			return each(sources, func(s source, imported string) bool {
				library := below(s.dir, "enroll") && s.dir != "enroll/step"
				return library && isCA(imported) && !(s.external && imported == "ca/catest")
			})
		},
		tree(map[string][]string{"enroll/server/a.go": {"ca"}}),
	},
	{
		"ocsp and the authority meet only in cmd, ca/status and the aids for tests",
		func(sources []source) []string {
			var found []string
			byDir := map[string][]string{}
			for _, s := range sources {
				if !s.test {
					byDir[s.dir] = append(byDir[s.dir], s.imports...)
				}
			}
			for dir, imports := range byDir {
				meets := slices.Contains(imports, "ocsp") && (isCA(dir) || slices.ContainsFunc(imports, isCA))
				if meets && !below(dir, "cmd", "ca/status", "ca/catest", "payment/paytest") {
					found = append(found, dir+" joins ocsp and the authority")
				}
			}
			return found
		},
		tree(map[string][]string{"ca/a.go": {"ocsp"}}),
	},
	{
		"what only tests need is imported only by tests",
		func(sources []source) []string {
			return each(sources, func(s source, imported string) bool {
				needed := imported == "testing" || below(imported, aids...) ||
					below(imported, "golang.org/x/crypto/ocsp", "github.com/rogpeppe")
				return needed && !s.test && !below(s.dir, aids...)
			})
		},
		tree(map[string][]string{"payment/a.go": {"ca/catest"}}),
	},
	{
		"payment and the agents of merchant and acquiring bank never reach payment/account",
		func(sources []source) []string {
			var found []string
			for _, dir := range []string{"payment", "payment/agent/merchant", "payment/agent/acquiringbank"} {
				for imported, way := range reach(sources, dir) {
					if below(imported, "payment/account") {
						found = append(found, way)
					}
				}
			}
			return append(found, each(sources, func(s source, imported string) bool {
				blind := s.dir == "payment" || below(s.dir, "payment/agent/merchant", "payment/agent/acquiringbank")
				return blind && s.test && !s.external && below(imported, "payment/account")
			})...)
		},
		tree(map[string][]string{
			"payment/agent/merchant/a.go": {"payment/agent"}, "payment/agent/a.go": {"payment/account"}, "payment/account/a.go": nil,
		}),
	},
	{
		"agents never import one another",
		func(sources []source) []string {
			return each(sources, func(s source, imported string) bool {
				return below(s.dir, "payment/agent") && s.dir != "payment/agent" && imported != s.dir &&
					strings.HasPrefix(imported, "payment/agent/") && !s.external
			})
		},
		tree(map[string][]string{"payment/agent/merchant/a.go": {"payment/agent/gateway"}}),
	},
	{
		"a heavy dependency is imported only where it is at home",
		func(sources []source) []string {
			return each(sources, func(s source, imported string) bool {
				for dep, homes := range heavy {
					if isDep(imported, dep) && !slices.Contains(homes, s.dir) {
						return true
					}
				}
				return false
			})
		},
		tree(map[string][]string{"ca/a_test.go": {"go.etcd.io/bbolt"}}),
	},
	{
		"what others build with reaches nothing heavy",
		func(sources []source) []string {
			var found []string
			for _, dir := range libraries {
				for imported, way := range reach(sources, dir) {
					for dep := range heavy {
						if isDep(imported, dep) {
							found = append(found, way)
						}
					}
				}
			}
			return found
		},
		tree(map[string][]string{"enroll/mtls/a.go": {"policy/rules"}, "policy/rules/a.go": {"cel.dev/cel-go/cel"}}),
	},
	{
		"there is no top-level internal, pkg or util",
		func(sources []source) []string {
			return places(sources, func(s source) bool { return below(s.dir, "internal", "pkg", "util") })
		},
		tree(map[string][]string{"internal/x/a.go": nil}),
	},
}

// isDep reports whether an import path is of the module named, whatever its major version.
func isDep(imported, dep string) bool {
	return imported == dep || strings.HasPrefix(imported, strings.TrimSuffix(dep, "/")+"/")
}

// places lists the packages with a file that is wrong.
func places(sources []source, wrong func(source) bool) []string {
	var found []string
	for _, s := range sources {
		if wrong(s) && !slices.Contains(found, s.dir) {
			found = append(found, s.dir)
		}
	}
	return found
}
