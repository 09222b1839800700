package ca

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

// A Request asks for a certificate. Whoever makes it has authenticated the requester.
type Request struct {
	Party     string    // id of the registered party
	Profile   string    // name of the profile, "" for the token's, or else the default of the party's role
	CSR       []byte    // PKCS#10, DER
	NotBefore time.Time // zero: as the profile says
	NotAfter  time.Time // zero: as the profile says
	Requester string    // on whose word: as in audit.Event.Actor
	Protocol  string    // how it was asked: token, renew, local
	From      string    // remote address, "" for none
	Token     string    // id of the one-time token to redeem, "" for none
}

// A Certificate is what the requester gets.
type Certificate struct {
	Record Record              // as it stands in the inventory
	Leaf   *x509.Certificate   // the certificate
	Chain  []*x509.Certificate // leaf, issuer
	Root   *x509.Certificate   // where the chain ends
}

// An application is a request on its way through the gate.
type application struct {
	Request
	now      time.Time
	party    policy.Party // zero for a certificate of the CA itself
	profile  *policy.Profile
	issuer   string
	holder   string            // id of the status node that has the key of an OCSP delegate
	renews   *Serial           // the certificate that is being renewed
	repeats  *x509.Certificate // it, if there is no request and its key stays
	faults   policy.Violations // found on the way in; policy says what else is wrong
	approved bool              // as many as the profile wants have approved exactly this request
	grant    *grant            // what the approval of the renewed certificate covers; nil if that is not what approves
	request  string            // id of the approval request that it fulfils, "" for none
}

// owner is the party that the inventory has the certificate under, "" for one of the CA itself.
func (ap application) owner() string { return cmp.Or(ap.party.ID, ap.holder) }

// Issue decides, issues and records one certificate; see the package comment for the steps.
//
// A refusal is policy.Violations, a [*TokenUsedError] if somebody else had the token first, or a [*TokenCancelledError]; it is
// in the audit log before Issue returns. Any other error means that the CA could not do its
// work; then a certificate may have been signed, but nobody has it, and its serial is never good.
// A context that ends before the certificate is signed stops the issuance; after that it is finished.
// Where the profile wants approval, the request is filed and the error is a [*PendingError]; [Authority.Fulfil], or the same
// request again, gets the certificate once enough have approved.
func (a *Authority) Issue(ctx context.Context, req Request) (*Certificate, error) {
	ap := application{Request: req, now: a.now()}
	err := a.enter(ctx, &ap)
	if used, ok := errors.AsType[*TokenUsedError](err); ok && used.By.Request != "" {
		return a.again(ctx, ap, used)
	}
	if err != nil {
		return nil, a.refused(ctx, ap, err)
	}
	if _, ok := ap.profile.Approval(); ok {
		return nil, a.fileEnrollment(ctx, ap)
	}
	return a.gate(ctx, ap)
}

// enter looks up what the request names: token, party, profile.
func (a *Authority) enter(ctx context.Context, ap *application) error {
	party, err := a.cfg.Store.Party(ctx, ap.Party)
	if errors.Is(err, ErrNotFound) {
		return violation("party-known", "party", fmt.Sprintf("%q", clip(ap.Party)), "a registered party")
	}
	if err != nil {
		return fmt.Errorf("looking up party %q: %w", ap.Party, err)
	}
	ap.party, ap.issuer = party, party.Role.CA()
	if ap.Token != "" {
		err := a.checkToken(ctx, ap)
		if ap.faults = policy.ViolationsOf(err); err != nil && ap.faults == nil {
			return err
		}
	}
	if ap.Profile == "" {
		ap.Profile = policy.DefaultProfile(party.Role)
	}
	if err := a.loadProfile(ap); err != nil {
		return append(ap.faults, policy.ViolationsOf(err)...)
	}
	return nil
}

// loadProfile finds the profile that the application names; the error is policy.Violations. OCSP signers are for
// [Authority.IssueResponder] alone, issuing CAs for [Create].
func (a *Authority) loadProfile(ap *application) error {
	profile, ok := a.profiles[ap.Profile]
	if !ok || profile.Role() == "" {
		return violation("profile-known", "profile", fmt.Sprintf("%q", clip(ap.Profile)), "a profile for parties of this CA")
	}
	ap.profile = profile
	return nil
}

// CheckProfile says whether a profile is one that the party can be issued
// under; the error is policy.Violations. It is for those who promise an issuance, such as makers of tokens.
func (a *Authority) CheckProfile(party policy.Party, profile string) error {
	ap := application{Request: Request{Profile: profile}, party: party}
	if err := a.loadProfile(&ap); err != nil {
		return err
	}
	if role := ap.profile.Role(); role != party.Role {
		return violation("profile-role", "profile", fmt.Sprintf("%q, for the role %s", profile, role), fmt.Sprintf("one for the role %s of %s", party.Role, party.ID))
	}
	return nil
}

func violation(rule, field, got, want string) policy.Violations {
	return policy.Violations{{Rule: rule, Field: field, Got: got, Want: want}}
}

// gate is the one way to a certificate.
func (a *Authority) gate(ctx context.Context, ap application) (*Certificate, error) {
	is, err := a.issuer(ap.issuer)
	if err != nil {
		return nil, err
	}
	leave, err := a.turn(ctx, ap)
	if err != nil {
		return nil, err
	}
	defer leave()
	d, err := a.decide(ctx, ap, is)
	if err != nil {
		return nil, a.refused(ctx, ap, err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// What the store does from here on has to be known: a cancelled write would leave it open.
	durable := context.WithoutCancel(ctx)
	intent, err := a.reserve(durable, ap, d)
	if err != nil {
		return nil, err
	}
	a.spares.sign(ap.issuer, 1)
	defer a.spares.sign(ap.issuer, -1)
	cert, err := a.makeCertificate(ctx, d, is, intent)
	if err != nil {
		return nil, errors.Join(a.refused(durable, ap, err), a.closeIntent(durable, intent, err.Error()))
	}
	ahead, err := a.ahead(ap, d)
	if err != nil {
		return nil, errors.Join(err, a.closeIntent(durable, intent, err.Error()))
	}
	return a.commit(durable, ap, is, intent, cert, ahead)
}

// csr reads the request, or makes that of a renewal without one.
func (ap application) csr() (*policy.CSR, error) {
	if ap.repeats != nil {
		return policy.RepeatRequest(ap.repeats, ap.profile)
	}
	return policy.ParseCSR(ap.CSR)
}

// decide is step 0: what policy says, and what only the inventory knows of party and key. All that is wrong is told.
func (a *Authority) decide(ctx context.Context, ap application, is *issuer) (*policy.Decision, error) {
	csr, err := ap.csr()
	d, err := policy.Decide(policy.Request{
		Network: a.cfg.Network, Party: ap.party, Profile: ap.profile, CSR: csr, Before: slices.Concat(ap.faults, policy.ViolationsOf(err)),
		IssuerName: is.name, Issuer: is.cert, Above: []*x509.Certificate{a.cfg.Root}, NotBefore: ap.NotBefore, NotAfter: ap.NotAfter,
		Requester: ap.Requester, Protocol: ap.Protocol, Approved: ap.approved, Now: ap.now,
	})
	vs := policy.ViolationsOf(err)
	if err != nil && vs == nil {
		return nil, err
	}
	exceeded, err := a.checkLimits(ctx, ap)
	if err != nil {
		return nil, err
	}
	vs = append(vs, exceeded...)
	if ap.grant != nil && d != nil {
		vs = append(vs, ap.grant.covers(d, ap.party)...)
	}
	if csr != nil {
		err := a.checkKey(ctx, ap, csr)
		more := policy.ViolationsOf(err)
		if err != nil && more == nil {
			return nil, err
		}
		vs = append(vs, more...)
	}
	if len(vs) > 0 {
		return nil, vs
	}
	return d, nil
}

// makeCertificate is steps 2 and 3: build, lint, sign the same bytes.
func (a *Authority) makeCertificate(ctx context.Context, d *policy.Decision, is *issuer, intent Intent) (*x509.Certificate, error) {
	draft, err := a.draft(d, is, intent)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil { // the requester has gone
		return nil, err
	}
	signature, err := is.sign(draft.RawTBSCertificate)
	if err != nil {
		return nil, err
	}
	der, err := is.assemble(draft.RawTBSCertificate, signature)
	if err != nil {
		return nil, err
	}
	cert := *draft // it was read from the same octets
	cert.Raw, cert.Signature = der, signature
	return &cert, nil
}

// draft is step 2: the certificate without its signature, without findings.
func (a *Authority) draft(d *policy.Decision, is *issuer, intent Intent) (*x509.Certificate, error) {
	tbs, err := a.tbsCertificate(d, is, intent)
	if err != nil {
		return nil, err
	}
	draft, err := is.lintCopy(tbs)
	if err != nil {
		return nil, err
	}
	return draft, a.lint(draft)
}

// lint says what the linter has against a draft; the error is policy.Violations, one for each finding.
func (a *Authority) lint(draft *x509.Certificate) error {
	if err := a.cfg.Linter(draft); err != nil {
		return lintViolations(err)
	}
	return nil
}

// lintViolations names each finding of a linter.
func lintViolations(err error) (vs policy.Violations) {
	for _, f := range FaultsOf(err) {
		vs = append(vs, &policy.Violation{Rule: "lint", Field: "certificate", Got: clip(f.Rule + ": " + f.Detail), Want: "a certificate without findings"})
	}
	return vs
}

// commit is steps 4 and 5. If the store fails, what became of the certificate is not known: the
// intent stays for the next start to close. Only when the store says that the token or the key was the
// obstacle, the intent is closed at once. The intents ahead are reserved in the same commit.
func (a *Authority) commit(ctx context.Context, ap application, is *issuer, intent Intent, cert *x509.Certificate, ahead []Intent) (*Certificate, error) {
	rec := Record{
		Serial: intent.Serial, Issuer: is.name, Profile: intent.Profile, Party: intent.Party, Role: ap.party.Role,
		SPKI: sha256.Sum256(cert.RawSubjectPublicKeyInfo), DER: cert.Raw,
		NotBefore: cert.NotBefore, NotAfter: cert.NotAfter, Requester: ap.Requester, Protocol: ap.Protocol, Shard: intent.Shard,
	}
	rec, err := a.cfg.Store.Issue(ctx, Issuance{
		Record: rec, Token: ap.Token, Request: ap.request, Event: issuedEvent(ap, rec), Admit: ap.admit, Ahead: ahead,
		Use: TokenUse{Party: ap.party.ID, From: ap.From, At: ap.now, Serial: intent.Serial},
	})
	if err != nil {
		late := lateRefusal(ap, err)
		if late == nil {
			return nil, fmt.Errorf("recording certificate %s: %w", intent.Serial, err)
		}
		return nil, errors.Join(a.refused(ctx, ap, late), a.closeIntent(ctx, intent, late.Error()))
	}
	a.spares.push(ap.issuer, ahead)
	a.cfg.OnIssue(rec.Issuer, rec.Serial)
	return &Certificate{Record: rec, Leaf: cert, Chain: []*x509.Certificate{cert, is.cert}, Root: a.cfg.Root}, nil
}

func issuedEvent(ap application, rec Record) audit.Event {
	thumbprint := sha256.Sum256(rec.DER)
	attrs := map[string]string{"protocol": ap.Protocol}
	if ap.Token != "" {
		attrs["token"] = ap.Token
	}
	if ap.request != "" {
		attrs["request"] = ap.request
	}
	if ap.renews != nil {
		attrs["renews"] = ap.renews.String()
	}
	return audit.Event{
		Time: ap.now, Kind: audit.CertificateIssued, Actor: ap.Requester, From: ap.From,
		Party: rec.Party, Role: string(rec.Role), Issuer: rec.Issuer, Profile: rec.Profile,
		Serial: rec.Serial.String(), Thumbprint: hex.EncodeToString(thumbprint[:]), Attrs: attrs,
	}
}
