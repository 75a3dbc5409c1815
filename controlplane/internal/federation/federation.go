// Package federation checks tokens of identity providers. Tenants say where
// those are, so it reaches out to addresses that are anybody's choice: never to
// private ones, never long, and never for much.
//
// It knows nothing of policies beyond what a token must say. A Verifier may be
// used from many goroutines.
package federation

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/coveymq/covey/internal/errs"
)

const (
	fetchTimeout   = 5 * time.Second // of one call of a provider
	answerMax      = 1 << 20         // bytes of one answer; key sets take a few thousand
	providersMax   = 500             // that are remembered
	providerKept   = time.Hour       // how long where a provider's keys are is believed
	redirectsMax   = 3
	claimNestedMax = 200 // values of a claim that is a list
)

// Wanted is what a token must say.
type Wanted struct {
	Issuer, Audience string
	Claims           map[string]string
}

// Verifier checks tokens.
type Verifier struct {
	client *http.Client

	mu        sync.Mutex
	providers map[string]provider // guarded by mu
}

type provider struct {
	*oidc.Provider
	since time.Time
}

// NewVerifier returns a verifier that asks providers with a client; nil is one
// that reaches public addresses only.
func NewVerifier(client *http.Client) *Verifier {
	if client == nil {
		client = guarded()
	}
	return &Verifier{client: client, providers: map[string]provider{}}
}

// guarded returns a client that connects to public addresses only, whatever
// names resolve to and wherever it is sent on.
func guarded() *http.Client {
	dialer := &net.Dialer{Timeout: fetchTimeout, Control: refusePrivate}
	return &http.Client{
		Timeout: fetchTimeout,
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) > redirectsMax || req.URL.Scheme != "https" {
				return errors.New("too many redirects, or one away from https")
			}
			return nil
		},
		Transport: capped{&http.Transport{
			DialContext: dialer.DialContext, TLSHandshakeTimeout: fetchTimeout, ResponseHeaderTimeout: fetchTimeout,
			MaxIdleConns: 20, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
		}},
	}
}

// refusePrivate refuses addresses that are not the public internet's.
func refusePrivate(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("read address: %w", err)
	}
	ip := at.Addr().Unmap()
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || shared().Contains(ip) {
		return fmt.Errorf("%s is not a public address", ip)
	}
	return nil
}

// shared is what carriers and clouds use inside (RFC 6598).
func shared() netip.Prefix { return netip.MustParsePrefix("100.64.0.0/10") }

// capped cuts answers off that are too long, and speaks TLS only.
type capped struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (c capped) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" {
		return nil, errors.New("not an https address")
	}
	resp, err := c.RoundTripper.RoundTrip(req)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, answerMax)
	}
	return resp, err
}

// ValidateIssuer says what is wrong with the address of an issuer, if anything.
func ValidateIssuer(issuer string) error {
	u, err := url.Parse(issuer)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errs.New(errs.Invalid, "INVALID_ISSUER", "%q is not the address of an issuer", issuer).WithField("federation_policy.issuer").
			WithNext("it begins with https:// and has neither user nor query")
	}
	return nil
}

// ErrRefused means that a token is not taken. It never says why: whoever asks
// is not known.
var ErrRefused = errs.New(errs.Unauthenticated, "TOKEN_REFUSED", "the token is not taken").WithField("token").
	WithNext("compare its issuer, audience, claims and expiry with the federation policy")

// Verify checks that a token is its issuer's, is good now, and says what is
// wanted. It returns the token's subject.
func (v *Verifier) Verify(ctx context.Context, token string, want Wanted) (string, error) {
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, v.client), 2*fetchTimeout)
	defer cancel()
	p, err := v.provider(ctx, want.Issuer)
	if err != nil {
		return "", errs.New(errs.Unavailable, "ISSUER_UNAVAILABLE", "the issuer does not say where its keys are").
			WithCause(err).WithRetry(time.Second)
	}
	id, err := p.Verifier(&oidc.Config{
		ClientID:             want.Audience,
		SupportedSigningAlgs: []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.PS256, oidc.EdDSA},
	}).Verify(ctx, token)
	if err != nil {
		return "", ErrRefused.WithCause(err)
	}
	var claims map[string]any
	if err := id.Claims(&claims); err != nil {
		return "", ErrRefused.WithCause(err)
	}
	for name, value := range want.Claims {
		if !says(claims[name], value) {
			return "", ErrRefused.WithCause(fmt.Errorf("claim %q is not as wanted", name))
		}
	}
	return id.Subject, nil
}

// says reports whether a claim is a value, or a list that holds it.
func says(claim any, value string) bool {
	switch c := claim.(type) {
	case string:
		return c == value
	case bool:
		return fmt.Sprint(c) == value
	case []any:
		return len(c) <= claimNestedMax && slices.ContainsFunc(c, func(x any) bool { text, ok := x.(string); return ok && text == value })
	}
	return false
}

// provider finds out where an issuer's keys are, and remembers it.
func (v *Verifier) provider(ctx context.Context, issuer string) (*oidc.Provider, error) {
	v.mu.Lock()
	known, ok := v.providers[issuer]
	v.mu.Unlock()
	if ok && time.Since(known.since) < providerKept {
		return known.Provider, nil
	}
	found, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		return nil, fmt.Errorf("discover issuer: %w", err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.providers) >= providersMax {
		v.forgetOldest()
	}
	v.providers[issuer] = provider{Provider: found, since: time.Now()}
	return found, nil
}

func (v *Verifier) forgetOldest() {
	oldest, at := "", time.Time{}
	for issuer, p := range v.providers {
		if oldest == "" || p.since.Before(at) {
			oldest, at = issuer, p.since
		}
	}
	delete(v.providers, oldest)
}
