package cli

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"math/big"
	"strings"
	"time"
)

// The extensions of CRLs and their entries that are shown with their content.
var (
	oidCRLNumber      = asn1.ObjectIdentifier{2, 5, 29, 20}
	oidReasonCode     = asn1.ObjectIdentifier{2, 5, 29, 21}
	oidInvalidityDate = asn1.ObjectIdentifier{2, 5, 29, 24}
	oidDeltaCRL       = asn1.ObjectIdentifier{2, 5, 29, 27}
	oidIDP            = asn1.ObjectIdentifier{2, 5, 29, 28}
	oidCertIssuer     = asn1.ObjectIdentifier{2, 5, 29, 29}
	oidAuthorityKeyID = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidFreshestCRL    = asn1.ObjectIdentifier{2, 5, 29, 46}
	oidExpiredOnCRL   = asn1.ObjectIdentifier{2, 5, 29, 60}
)

// inspectCRL shows any CRL, also those that a checker must not use by themselves: shards and deltas.
func inspectCRL(der []byte) (*object, error) {
	l, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, err
	}
	o := newObject("CRL")
	o.add("scope", crlScope(l.Extensions))
	o.add("issuer", l.Issuer.String())
	if l.Number != nil {
		o.add("number", l.Number.String())
	}
	o.add("this_update", stamp(l.ThisUpdate))
	o.add("next_update", stamp(l.NextUpdate))
	o.add("signature", l.SignatureAlgorithm.String())
	o.add("authority_key_id", hex.EncodeToString(l.AuthorityKeyId))
	addCRLExtensions(o, l.Extensions)
	o.add("extensions", extensions(l.Extensions))
	o.add("sha256", digest(der))
	revoked := make([]*object, 0, len(l.RevokedCertificateEntries))
	for _, e := range l.RevokedCertificateEntries {
		entry := &object{}
		entry.add("serial", hexInt(e.SerialNumber))
		entry.add("at", stamp(e.RevocationTime))
		entry.add("reason", reasonText(e.ReasonCode))
		addEntryExtensions(entry, e.Extensions)
		revoked = append(revoked, entry)
	}
	o.add("revoked", revoked)
	return o, nil
}

// crlScope says in a word what a list is of.
func crlScope(list []pkix.Extension) string {
	scope := "full"
	for _, e := range list {
		switch {
		case e.Id.Equal(oidDeltaCRL):
			return "delta"
		case e.Id.Equal(oidIDP):
			scope = "part"
		}
	}
	return scope
}

// A distributionPointName is of RFC 5280 section 4.2.1.13.
type distributionPointName struct {
	FullName     []asn1.RawValue `asn1:"optional,tag:0"`
	RelativeName asn1.RawValue   `asn1:"optional,tag:1"` // a SET
}

// addCRLExtensions shows what the extensions of a list say.
func addCRLExtensions(o *object, list []pkix.Extension) {
	for _, e := range list {
		switch {
		case e.Id.Equal(oidCRLNumber), e.Id.Equal(oidAuthorityKeyID): // shown above
		case e.Id.Equal(oidDeltaCRL):
			var base *big.Int
			if rest, err := asn1.Unmarshal(e.Value, &base); err == nil && len(rest) == 0 {
				o.add("base_number", base.String())
			}
		case e.Id.Equal(oidIDP):
			addIDP(o, e.Value)
		case e.Id.Equal(oidFreshestCRL):
			var points []struct {
				Name    distributionPointName `asn1:"optional,tag:0"`
				Reasons asn1.BitString        `asn1:"optional,tag:1"`
				Issuer  asn1.RawValue         `asn1:"optional,tag:2"`
			}
			if _, err := asn1.Unmarshal(e.Value, &points); err == nil {
				var all []string
				for _, p := range points {
					all = append(all, generalNames(p.Name.FullName)...)
				}
				o.add("freshest_crl", all)
			}
		case e.Id.Equal(oidExpiredOnCRL):
			o.add("expired_since", asn1Time(e.Value))
		default:
			o.add("extension_"+extensionName(e.Id), hex.EncodeToString(e.Value))
		}
	}
}

// addIDP shows an issuing distribution point: RFC 5280 section 5.2.5.
func addIDP(o *object, der []byte) {
	var idp struct {
		Name      distributionPointName `asn1:"optional,tag:0"`
		OnlyUser  bool                  `asn1:"optional,tag:1"`
		OnlyCA    bool                  `asn1:"optional,tag:2"`
		Reasons   asn1.BitString        `asn1:"optional,tag:3"`
		Indirect  bool                  `asn1:"optional,tag:4"`
		OnlyAttrs bool                  `asn1:"optional,tag:5"`
	}
	if rest, err := asn1.Unmarshal(der, &idp); err != nil || len(rest) > 0 {
		o.add("distribution_point", "malformed: "+hex.EncodeToString(der))
		return
	}
	o.add("distribution_point", generalNames(idp.Name.FullName))
	if relative := idp.Name.RelativeName.Bytes; len(relative) > 0 {
		set, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: relative})
		if err == nil {
			set, err = asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: set})
		}
		if err == nil {
			o.add("distribution_point_relative", nameText(set))
		}
	}
	for _, flag := range []struct {
		name string
		set  bool
	}{
		{"only_user_certificates", idp.OnlyUser},
		{"only_ca_certificates", idp.OnlyCA},
		{"only_attribute_certificates", idp.OnlyAttrs},
		{"indirect", idp.Indirect},
	} {
		if flag.set {
			o.add(flag.name, true)
		}
	}
	o.add("only_reasons", reasonFlags(idp.Reasons))
}

// addEntryExtensions shows what the extensions of an entry say beside its reason.
func addEntryExtensions(o *object, list []pkix.Extension) {
	for _, e := range list {
		switch {
		case e.Id.Equal(oidReasonCode): // shown above
		case e.Id.Equal(oidInvalidityDate):
			o.add("invalidity_date", asn1Time(e.Value))
		case e.Id.Equal(oidCertIssuer):
			var names []asn1.RawValue
			if _, err := asn1.Unmarshal(e.Value, &names); err == nil {
				o.add("certificate_issuer", generalNames(names))
			}
		default:
			o.add("extension_"+extensionName(e.Id), hex.EncodeToString(e.Value))
		}
	}
}

func asn1Time(der []byte) string {
	var t time.Time
	if rest, err := asn1.Unmarshal(der, &t); err != nil || len(rest) > 0 {
		return "malformed: " + hex.EncodeToString(der)
	}
	return stamp(t)
}

// generalNames writes URIs and names as text, and others in hexadecimal.
func generalNames(names []asn1.RawValue) []string {
	var out []string
	for _, n := range names {
		switch {
		case n.Class == asn1.ClassContextSpecific && n.Tag == 6:
			out = append(out, string(n.Bytes))
		case n.Class == asn1.ClassContextSpecific && n.Tag == 4:
			out = append(out, nameText(n.Bytes))
		default:
			out = append(out, hex.EncodeToString(n.FullBytes))
		}
	}
	return out
}

// reasonFlags names the bits of ReasonFlags: RFC 5280 section 4.2.1.13.
func reasonFlags(bits asn1.BitString) string {
	var out []string
	for i, name := range []string{
		"unused", "keyCompromise", "cACompromise", "affiliationChanged", "superseded", "cessationOfOperation",
		"certificateHold", "privilegeWithdrawn", "aACompromise",
	} {
		if bits.At(i) != 0 {
			out = append(out, name)
		}
	}
	return strings.Join(out, " ")
}
