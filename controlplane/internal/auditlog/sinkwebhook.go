package auditlog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/coveymq/covey/controlplane/internal/outward"
	"github.com/coveymq/covey/internal/errs"
)

const webhookWithin = 15 * time.Second

// SignatureHeader carries the signature of what a webhook gets.
const SignatureHeader = outward.SignatureHeader

// Webhook is a sink that posts records as JSON. Any 2xx is a receipt.
type Webhook struct {
	url    string
	name   string
	secret []byte // empty: unsigned
	client *http.Client
}

// NewWebhook returns a sink that posts to a URL: https, or http on loopback.
func NewWebhook(address string, secret []byte) (*Webhook, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, errs.New(errs.Invalid, "AUDIT_SINK_INVALID", "the webhook for the audit log is not an http:// or https:// URL")
	}
	if u.Scheme == "http" && !outward.IsLoopback(u.Hostname()) {
		return nil, errs.New(errs.Invalid, "PLAINTEXT_EXPOSED", "the webhook %s would carry the audit log over a network in the clear", u.Host).WithNext("use https://")
	}
	// A query or a user may be a secret: the name has their hash only.
	sum := sha256.Sum256([]byte(address))
	return &Webhook{
		url: address, secret: secret, name: fmt.Sprintf("webhook %s %s", u.Host, hex.EncodeToString(sum[:6])),
		client: &http.Client{Timeout: webhookWithin, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}, nil
}

// Name implements [Sink].
func (w *Webhook) Name() string { return w.name }

// Deliver implements [Sink].
func (w *Webhook) Deliver(ctx context.Context, records []Record) error {
	body, err := json.Marshal(map[string]any{"entries": records})
	if err != nil {
		return fmt.Errorf("encode audit entries: %w", err)
	}
	if _, err := outward.Send(ctx, w.client, outward.Post{URL: w.url, Secret: w.secret, Body: body}); err != nil {
		return fmt.Errorf("webhook %s: %w", w.name, err)
	}
	return nil
}

// Close releases idle connections.
func (w *Webhook) Close() error {
	w.client.CloseIdleConnections()
	return nil
}
