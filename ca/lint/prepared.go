package lint

import (
	"reflect"

	zx509 "github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3/lint"
	"github.com/zmap/zlint/v3/util"
)

// A prepared lint is made once, where it keeps nothing; zlint makes each anew for every certificate.
type prepared struct {
	*lint.CertificateLint
	made lint.CertificateLintInterface // nil for one that has to be made anew
	tls  bool                          // zlint asks it of certificates for servers alone
}

// prepare makes a lint that has no state and no configuration.
func prepare(l *lint.CertificateLint) prepared {
	made := l.Lint()
	_, configurable := made.(lint.Configurable)
	if t := reflect.TypeOf(made); configurable || t.Kind() != reflect.Pointer || t.Elem().Size() > 0 {
		made = nil
	}
	return prepared{l, made, l.Source == lint.CABFBaselineRequirements}
}

// judge is Execute of the lint; nil says that it does not apply.
func (p prepared) judge(c *zx509.Certificate, configuration lint.Configuration) *lint.LintResult {
	switch {
	case p.made == nil:
		return p.Execute(c, configuration)
	case p.tls && !util.IsServerAuthCert(c), !p.made.CheckApplies(c), !p.CheckEffective(c):
		return nil
	}
	return p.made.Execute(c)
}
