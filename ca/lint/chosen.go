package lint

import (
	"fmt"

	"github.com/zmap/zlint/v3/lint"
	_ "github.com/zmap/zlint/v3/lints/cabf_br"   // registers its lints
	_ "github.com/zmap/zlint/v3/lints/community" // registers its lints
	_ "github.com/zmap/zlint/v3/lints/mozilla"   // registers its lints
	_ "github.com/zmap/zlint/v3/lints/rfc"       // registers its lints
)

// A Choice is lints of zlint that are asked, or that are left out, and why.
type Choice struct {
	Source string   // of which zlint has them: "RFC5280"
	Names  []string // the lints, none for all of the source
	Reason string
}

// Chosen returns the lints that are asked, without those that [Excluded] lists.
func Chosen() []Choice {
	return []Choice{
		{Source: "RFC5280", Reason: "the profile of every certificate on the Internet"},
		{Source: "RFC3279", Reason: "how RSA keys are used"},
		{Source: "RFC5480", Reason: "how keys on elliptic curves are used"},
		{Source: "RFC8813", Reason: "key usages of keys on elliptic curves"},
		{Source: "RFC5891", Reason: "internationalised DNS names"},
		{Source: "Community", Reason: "faults that CAs made, and no standard names; among them close primes"},
		{Source: "CABF_BR", Reason: "what makes an RSA key or a curve unfit is the same in private", Names: []string{
			"e_rsa_mod_less_than_2048_bits", "w_rsa_mod_factors_smaller_than_752", "w_rsa_mod_not_odd",
			"w_rsa_public_exponent_not_in_range", "e_rsa_public_exponent_not_odd", "e_rsa_public_exponent_too_small",
			"e_ec_improper_curves", "e_br_prohibit_dsa_usage", "e_sub_cert_or_sub_ca_using_sha1",
		}},
		{Source: "CABF_BR", Reason: "what verifiers trip over, whoever issued it", Names: []string{
			"e_invalid_certificate_version", "e_algorithm_identifier_improper_encoding", "e_sub_cert_not_is_ca",
			"e_sub_cert_key_usage_cert_sign_bit_set", "e_sub_cert_key_usage_crl_sign_bit_set",
			"e_sub_cert_aia_marked_critical", "e_sub_cert_crl_distribution_points_marked_critical",
			"e_sub_cert_aia_does_not_contain_ocsp_url", "w_sub_cert_aia_does_not_contain_issuing_ca_url",
			"e_sub_cert_crl_distribution_points_does_not_contain_url",
			"e_ocsp_id_pkix_ocsp_nocheck_ext_not_included_server_auth",
		}},
		{Source: "CABF_BR", Reason: "kinds and forms of names that no role has", Names: []string{
			"e_dnsname_empty_label", "e_dnsname_label_too_long",
			"e_dnsname_left_label_wildcard_correct", "e_dnsname_wildcard_only_in_left_label",
			"e_underscore_not_permissible_in_dnsname",
			"e_ext_san_directory_name_present", "e_ext_san_edi_party_name_present", "e_ext_san_other_name_present",
			"e_ext_san_registered_id_present", "e_ext_san_rfc822_name_present",
		}},
		{Source: "Mozilla", Reason: "encodings that NSS refuses, and RSA keys", Names: []string{
			"e_mp_authority_key_identifier_correct", "e_mp_ecdsa_pub_key_encoding_correct", "e_mp_ecdsa_signature_encoding_correct",
			"e_mp_exponent_cannot_be_one", "e_mp_modulus_must_be_2048_bits_or_more", "e_mp_modulus_must_be_divisible_by_8",
			"e_mp_rsassa-pss_in_spki",
		}},
	}
}

// Excluded returns the lints that are not asked although [Chosen] has their source.
func Excluded() []Choice {
	return []Choice{
		{Source: "Community", Names: []string{"n_san_iana_pub_suffix_empty"}, Reason: "the network's names need not be under a public suffix"},
		{Source: "RFC5280", Names: []string{
			"e_subject_printable_string_badalpha", "e_subject_dn_not_printable_characters",
			"e_wrong_time_format_pre2050", "e_utc_time_does_not_include_seconds", "e_utc_time_not_in_zulu",
			"e_generalized_time_does_not_include_seconds", "e_generalized_time_includes_fraction_seconds", "e_generalized_time_not_in_zulu",
		}, Reason: "payca_encoding wants what they want, and more, in one look at the octets"},
		{Source: "Community", Names: []string{"w_subject_dn_leading_whitespace", "w_subject_dn_trailing_whitespace", "n_multiple_subject_rdn"}, Reason: "payca_encoding, as above"},
		{Source: "RFC5280", Names: []string{"e_ext_duplicate_extension"}, Reason: "payca_extensions wants each extension once; crypto/x509 reads no other certificate"},
		{Source: "Community", Names: []string{"w_issuer_dn_leading_whitespace", "w_issuer_dn_trailing_whitespace", "w_multiple_issuer_rdn"}, Reason: "payca_role_issuer wants the name of an issuing CA, to the octet"},
		{Source: "RFC5280", Names: []string{"e_ext_san_uri_host_not_fqdn_or_ip"}, Reason: "payca_uri_single wants exactly the host of a role of the network, and takes a twentieth of the time"},
	}
}

// choose finds the lints in what zlint registered.
func choose(registered lint.CertificateLinterLookup) (chosen []prepared, err error) {
	out := map[string]bool{}
	for _, c := range Excluded() {
		for _, name := range c.Names {
			if l := registered.ByName(name); l == nil || string(l.Source) != c.Source {
				return nil, fmt.Errorf("excluding lint %q: zlint has none of that name from %s", name, c.Source)
			}
			out[name] = true
		}
	}
	for _, c := range Chosen() {
		if len(c.Names) == 0 {
			all := registered.BySource(lint.LintSource(c.Source))
			if len(all) == 0 {
				return nil, fmt.Errorf("choosing lints: zlint has none from %s", c.Source)
			}
			for _, l := range all {
				if !out[l.Name] {
					chosen = append(chosen, prepare(l))
				}
			}
		}
		for _, name := range c.Names {
			l := registered.ByName(name)
			if l == nil || string(l.Source) != c.Source {
				return nil, fmt.Errorf("choosing lint %q: zlint has none of that name from %s", name, c.Source)
			}
			chosen = append(chosen, prepare(l))
		}
	}
	return chosen, nil
}
