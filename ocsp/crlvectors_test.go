package ocsp_test

import (
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/payca/payca/ocsp"
)

// x509Vectors is where Debian's package python3-cryptography-vectors has certificates and CRLs.
const x509Vectors = "/usr/lib/python3/dist-packages/cryptography_vectors/x509"

// parseFile reads a CRL in DER or PEM; false for a file that holds something else.
func parseFile(t *testing.T, file string) (l *ocsp.List, err error, ok bool) {
	t.Helper()
	der, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if block, _ := pem.Decode(der); block != nil {
		if block.Type != "X509 CRL" {
			return nil, nil, false
		}
		der = block.Bytes
	}
	l, err = ocsp.ParseCRL(der)
	return l, err, true
}

// The 24 odd lists of pyca/cryptography: each is read, or refused for what is wrong with it.
func TestOddListsOfOthers(t *testing.T) {
	t.Parallel()
	const scope, entry, name, form = "all reasons and one issuer's", "entry 1: want a positive serial", "want a URI", "want the DER of one CertificateList"
	want := map[string]string{ // what the refusal says, "" for a list that is read
		"crl_all_reasons.pem":                   entry, // serial 0
		"crl_almost_10k.pem":                    form,  // no extensions, so no number
		"crl_bad_version.pem":                   form,
		"crl_delta_crl_indicator.pem":           "",
		"crl_dup_entry_ext.pem":                 entry,
		"crl_empty.pem":                         "",
		"crl_empty_no_sequence.der":             form,
		"crl_ian_aia_aki.pem":                   "",
		"crl_idp_fullname_indirect_crl.pem":     scope,
		"crl_idp_fullname_only.pem":             "no CRL number",
		"crl_idp_fullname_only_aa.pem":          scope,
		"crl_idp_fullname_only_user.pem":        "no CRL number",
		"crl_idp_only_ca.pem":                   name,
		"crl_idp_reasons_only.pem":              scope,
		"crl_idp_relative_user_all_reasons.pem": scope,
		"crl_idp_relativename_only.pem":         name,
		"crl_inval_cert_issuer_entry_ext.pem":   entry,
		"crl_invalid_time.der":                  form,
		"crl_md2_unknown_crit_entry_ext.pem":    entry,
		"crl_no_next_update.pem":                form,
		"crl_unrecognized_extension.der":        "no CRL number",
		"crl_unsupported_reason.pem":            entry,
		"invalid_signature_crl.pem":             "",
		"valid_signature_crl.pem":               "",
	}
	files, err := filepath.Glob(filepath.Join(x509Vectors, "custom", "*crl*"))
	if err != nil || len(files) == 0 {
		missing(t, "python3-cryptography-vectors")
	}
	seen := 0
	for _, file := range files {
		l, err, ok := parseFile(t, file)
		if !ok {
			continue
		}
		base := filepath.Base(file)
		text, known := want[base]
		switch {
		case !known:
			t.Logf("%s is new: %v", base, err)
			continue
		case text == "" && err != nil, text != "" && (err == nil || !strings.Contains(err.Error(), text)):
			t.Errorf("%s: got %v, want %q", base, err, text)
		case base == "crl_delta_crl_indicator.pem" && (!l.Delta || l.Base != 12345678901234567890 || l.Number != 12345678901234567891):
			t.Errorf("%s: got %+v", base, l.ListInfo)
		}
		seen++
	}
	if seen != len(want) {
		t.Errorf("saw %d lists, want all %d", seen, len(want))
	}
}

// The lists of NIST's path validation suite: what we do not read has to do with distribution points by name, with indirect
// lists or lists for some reasons, or is wrong.
func TestListsOfPKITS(t *testing.T) {
	t.Parallel()
	refused := []string{
		"BadCRLSignature", "BasicSelfIssuedCRLSigningKeyCRLCert", "BasicSelfIssuedOldKeySelfIssuedCert", "NegativeSerialNumber",
		"UnknownCRLEntryExtension", "UnknownCRLExtension", "distributionPoint", "indirectCRL", "onlyContainsAttributeCerts", "onlySomeReasons",
	}
	files, err := filepath.Glob(filepath.Join(x509Vectors, "PKITS_data", "crls", "*.crl"))
	if err != nil || len(files) == 0 {
		missing(t, "python3-cryptography-vectors")
	}
	read := 0
	for _, file := range files {
		_, err, _ := parseFile(t, file)
		if err == nil {
			read++
			continue
		}
		known := false
		for _, prefix := range refused {
			known = known || strings.HasPrefix(filepath.Base(file), prefix)
		}
		if !known {
			t.Errorf("%s: %v", filepath.Base(file), err)
		}
	}
	if read < 151 {
		t.Errorf("read %d of %d lists, want at least 151", read, len(files))
	}
}
