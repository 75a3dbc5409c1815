// Package federation checks tokens of identity providers. Tenants say where
// those are, so it reaches out to addresses that are anybody's choice: never to
// private ones, never long, and never for much.
//
// It knows nothing of policies beyond what a token must say. A Verifier may be
// used from many goroutines.
package federation

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/coveymq/covey/controlplane/internal/outward"
	"github.com/coveymq/covey/internal/errs"
)

const (
	fetchTimeout   = 5 * time.Second // of one call of a provider
	providersMax   = 500             // that are remembered
	providerKept   = time.Hour       // how long where a provider's keys are is believed
	claimNestedMax = 200             // values of a claim that is a list
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
		client = outward.NewClient(fetchTimeout)
	}
	return &Verifier{client: client, providers: map[string]provider{}}
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
