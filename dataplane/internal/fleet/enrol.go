package fleet

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/coveymq/covey/internal/errs"
	"github.com/coveymq/covey/internal/lifecycle"
	fleetv1 "github.com/coveymq/covey/proto/covey/fleet/v1"
)

const (
	enrolTimeout = 10 * time.Second
	renewCheck   = time.Hour
	renewRetry   = 2 * time.Second // while the control plane waits for another identity
)

var (
	errNoIdentity = errs.New(errs.Precondition, "JOIN_TOKEN_MISSING",
		"this broker has no valid identity in the fleet").WithNext("give it a new join token")
	errOtherFleet = errs.New(errs.Denied, "JOIN_TOKEN_OTHER_FLEET",
		"the control plane is not the one that the join token names")
	errJoinRefused = errs.New(errs.Denied, "JOIN_TOKEN_REFUSED", "the control plane refused the join token").
			WithNext("make a new one; each is good for one broker and a short time")
)

// openIdentity loads the identity, or enrols if there is none that is valid, or
// if the join token names another fleet.
func openIdentity(ctx context.Context, cfg Config) (*identityStore, error) {
	store := newIdentityStore(identityPath(cfg.StateDir))
	stored := &storedIdentity{}
	err := readJSON(store.file, stored)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		cfg.Logger.Warn("stored identity not used", slog.Any("err", err))
	}
	known, invalid := stored.decode(time.Now())
	if cfg.JoinToken == "" {
		if invalid != nil {
			return nil, errNoIdentity.WithCause(invalid)
		}
		store.current.Store(known)
		return store, nil
	}
	pin, err := cfg.JoinToken.pin()
	if err != nil {
		return nil, err
	}
	if invalid == nil && stored.trusts(pin) {
		store.current.Store(known)
		return store, nil
	}
	fresh, err := join(ctx, cfg, pin, stored, store.file)
	if err != nil {
		return nil, err
	}
	store.current.Store(fresh)
	return store, nil
}

// join enrols with the join token, trying until ctx ends while nobody answers.
func join(ctx context.Context, cfg Config, pin [sha256.Size]byte, stored *storedIdentity, file string) (*identity, error) {
	if _, err := stored.privateKey(); err != nil || len(stored.Chain) > 0 {
		if stored, err = newIdentityKey(); err != nil {
			return nil, err
		}
	}
	if err := writeJSON(file, stored); err != nil {
		return nil, err
	}
	var other atomic.Bool
	conn, err := dial(cfg.ControlPlaneAddr, credentials.NewTLS(pinnedTLS(pin, &other)))
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // nothing is lost with it
	backoff := lifecycle.Backoff{Min: 100 * time.Millisecond, Max: reconnectMax}
	for {
		whole, fresh, err := enrol(ctx, fleetv1.NewFleetServiceClient(conn), cfg, stored, cfg.JoinToken)
		if err == nil {
			cfg.Logger.Info("enrolled", slog.String("broker", fresh.id))
			return fresh, writeJSON(file, whole)
		}
		switch code := status.Code(err); {
		case other.Load():
			return nil, errOtherFleet.WithCause(err)
		case code == codes.PermissionDenied:
			return nil, errJoinRefused.WithCause(err)
		case code != codes.Unavailable && code != codes.DeadlineExceeded || ctx.Err() != nil:
			return nil, fmt.Errorf("enrol: %w", err)
		}
		cfg.Logger.Warn("not enrolled yet", slog.Any("err", err))
		if backoff.Wait(ctx) != nil {
			return nil, fmt.Errorf("enrol: %w", err)
		}
		conn.ResetConnectBackoff()
	}
}

func enrol(ctx context.Context, rpc fleetv1.FleetServiceClient, cfg Config, stored *storedIdentity,
	token JoinToken,
) (*storedIdentity, *identity, error) {
	ctx, cancel := context.WithTimeout(ctx, enrolTimeout)
	defer cancel()
	request, err := stored.request(cfg.ServerName)
	if err != nil {
		return nil, nil, err
	}
	resp, err := rpc.Enrol(ctx, &fleetv1.EnrolRequest{
		JoinToken: token.Reveal(), CertificateRequest: request, ServerName: cfg.ServerName,
	})
	if err != nil {
		return nil, nil, err
	}
	return stored.complete(resp)
}

// pinnedTLS accepts only a control plane whose chain ends in the pinned CA; it
// sets other when there is one with another CA.
func pinnedTLS(pin [sha256.Size]byte, other *atomic.Bool) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		ServerName:         askFor(pin[:]),
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection checks the whole chain against the pin
		VerifyConnection: func(cs tls.ConnectionState) error {
			roots := x509.NewCertPool()
			found := false
			for _, cert := range cs.PeerCertificates {
				if sha256.Sum256(cert.Raw) == pin {
					roots.AddCert(cert)
					found = true
				}
			}
			if !found {
				other.Store(true)
				return errOtherFleet
			}
			_, err := cs.PeerCertificates[0].Verify(x509.VerifyOptions{
				Roots: roots, DNSName: serverName, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
			})
			return err
		},
	}
}

// renew keeps the certificate valid until ctx ends.
func (c *Client) renew(ctx context.Context) error {
	t := time.NewTimer(renewCheck)
	defer t.Stop()
	for {
		if c.identity.due(time.Now()) || !c.identity.settled() {
			if err := c.renewNow(ctx); err != nil && ctx.Err() == nil {
				c.log.LogAttrs(ctx, slog.LevelWarn, "certificate not renewed", slog.Any("err", err),
					slog.Time("expires", c.identity.certificate().Leaf.NotAfter))
			}
		}
		wait := renewCheck
		if !c.identity.settled() {
			wait = renewRetry
		}
		t.Reset(wait)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.identity.asked:
		case <-t.C:
		}
	}
}

func (c *Client) renewNow(ctx context.Context) error {
	var old storedIdentity
	if err := readJSON(c.identity.file, &old); err != nil {
		return err
	}
	next, err := newIdentityKey()
	if err != nil {
		return err
	}
	whole, fresh, err := enrol(ctx, c.rpc, c.cfg, next, "")
	if err != nil {
		return fmt.Errorf("renew certificate: %w", err)
	}
	if fresh.id != c.BrokerID() {
		return fmt.Errorf("renew certificate: got one of %s", fresh.id)
	}
	whole.follow(&old)
	if err := writeJSON(c.identity.file, whole); err != nil {
		return err
	}
	c.identity.current.Store(fresh)
	c.log.LogAttrs(ctx, slog.LevelInfo, "certificate renewed", slog.Int("authorities", len(fresh.trusts)))
	return nil
}

// askFor is the name that is asked for of a listener, so that it shows a
// certificate by an authority that is known here. Any name is the control plane's
// own that ends so.
func askFor(fingerprint []byte) string {
	return hex.EncodeToString(fingerprint[:sha256.Size/2]) + "." + serverName
}

// verifyServer checks what a listener shows: that an authority which is trusted
// now signed it, for one of names.
func (c *Client) verifyServer(names ...string) func(tls.ConnectionState) error {
	return func(cs tls.ConnectionState) error {
		if len(cs.PeerCertificates) == 0 {
			return errOtherFleet
		}
		var err error
		for _, name := range names {
			if _, err = cs.PeerCertificates[0].Verify(x509.VerifyOptions{
				Roots: c.identity.roots(), DNSName: name, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
			}); err == nil {
				return nil
			}
		}
		return fmt.Errorf("verify the control plane: %w", err)
	}
}
