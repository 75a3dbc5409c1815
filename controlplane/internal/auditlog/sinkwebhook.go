package auditlog

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/coveymq/covey/internal/errs"
)

const (
	webhookWithin = 15 * time.Second
	webhookRead   = 4 << 10 // of an answer; it does not matter what it says
)

// SignatureHeader carries "t=<unix seconds>,v1=<hex>": HMAC-SHA256 under the
// shared secret of the seconds, a dot, and the body.
const SignatureHeader = "Covey-Signature"

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
	if u.Scheme == "http" && !isLoopback(u.Hostname()) {
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
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if len(w.secret) > 0 {
		req.Header.Set(SignatureHeader, sign(w.secret, time.Now(), body))
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return fmt.Errorf("webhook %s: %w", w.name, unwrapURL(err))
	}
	defer func() { _ = resp.Body.Close() }()                           // read what there is to read
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, webhookRead)) // so that the connection is used again
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("webhook %s answers %s", w.name, resp.Status)
	}
	return nil
}

// Close releases idle connections.
func (w *Webhook) Close() error {
	w.client.CloseIdleConnections()
	return nil
}

func sign(secret []byte, now time.Time, body []byte) string {
	seconds := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, secret)
	_, _ = mac.Write([]byte(seconds + "."))
	_, _ = mac.Write(body)
	return "t=" + seconds + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}
