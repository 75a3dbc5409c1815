package resolver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
)

const (
	// FetchTimeout bounds one request, as in nats-server.
	FetchTimeout = 1900 * time.Millisecond
	// claimsMax bounds the claims of one account.
	claimsMax = 1 << 20
)

// ErrReadOnly is a resolver that takes no claims.
var ErrReadOnly = errors.New("resolver_preload needs a resolver that can store accounts, which a URL cannot")

// NewURL returns a resolver that asks a web server for base/KEY. It asks for
// base itself first, to see whether anybody is there.
//
// Only the status 404 says that there is no such account. Whatever else is not
// 200 leaves it open: clients are told to try again.
//
// Secure is how https is spoken; nil for Go's defaults.
func NewURL(ctx context.Context, base string, secure *tls.Config) (*Resolver, error) {
	if !strings.HasSuffix(base, "/") {
		base += "/"
	}
	client := &http.Client{
		Timeout:   FetchTimeout,
		Transport: &http.Transport{TLSClientConfig: secure, MaxIdleConns: 10, MaxIdleConnsPerHost: 10, IdleConnTimeout: 30 * time.Second},
	}
	find := func(ctx context.Context, key string) (string, error) { return get(ctx, client, base, key) }
	if _, err := find(ctx, ""); err != nil {
		client.CloseIdleConnections()
		return nil, fmt.Errorf("account resolver: %w", err)
	}
	return &Resolver{
		find:  find,
		close: client.CloseIdleConnections,
		preload: func(claims map[string]string) error {
			if len(claims) > 0 {
				return ErrReadOnly
			}
			return nil
		},
	}, nil
}

// get fetches the claims of an account.
func get(ctx context.Context, client *http.Client, base, key string) (_ string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+key, http.NoBody)
	if err != nil {
		return "", fmt.Errorf("%w: %s", account.ErrUnavailable, redacted(base))
	}
	resp, err := client.Do(req)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err // the text around it has the address, maybe with a password
		}
		return "", fmt.Errorf("%w: %s: %w", account.ErrUnavailable, redacted(base), err)
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, claimsMax+1))
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return "", account.ErrUnknown
	case resp.StatusCode != http.StatusOK:
		return "", fmt.Errorf("%w: %s: %s", account.ErrUnavailable, redacted(base), resp.Status)
	case err != nil:
		return "", fmt.Errorf("%w: %s: %w", account.ErrUnavailable, redacted(base), err)
	case len(body) > claimsMax:
		return "", fmt.Errorf("%w: of %s: more than %d bytes", account.ErrInvalid, key, claimsMax)
	}
	return strings.TrimSpace(string(body)), nil
}

func redacted(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return "the resolver's URL"
	}
	return u.Redacted()
}
