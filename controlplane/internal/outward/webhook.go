package outward

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const answerRead = 4 << 10 // of an answer to a post, so that the connection is used again

// The headers of what is posted.
const (
	// SignatureHeader carries "t=<unix seconds>,v1=<hex>": HMAC-SHA256 under the
	// shared secret of the seconds, a dot, and the body.
	SignatureHeader = "Covey-Signature"
	// IDHeader carries what a receiver knows a notification by.
	IDHeader = "Webhook-Id"
)

// Post is one JSON text for a receiver.
type Post struct {
	URL    string
	Secret []byte // empty: unsigned
	ID     string // empty: it has none
	Body   []byte
}

// Answer is what a receiver said.
type Answer struct {
	Status int // 0: it was not reached
	Text   string
}

// Send posts once. Any 2xx is a receipt, everything else an error; neither it
// nor what it wraps holds the URL, which may be a secret.
func Send(ctx context.Context, client *http.Client, p Post) (Answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL, bytes.NewReader(p.Body))
	if err != nil {
		return Answer{}, errors.New("the URL cannot be called")
	}
	req.Header.Set("Content-Type", "application/json")
	if p.ID != "" {
		req.Header.Set(IDHeader, p.ID)
	}
	if len(p.Secret) > 0 {
		req.Header.Set(SignatureHeader, Sign(p.Secret, time.Now(), p.Body))
	}
	resp, err := client.Do(req)
	if err != nil {
		return Answer{}, unwrapURL(err)
	}
	defer func() { _ = resp.Body.Close() }() // read what there is to read
	text, _ := io.ReadAll(io.LimitReader(resp.Body, answerRead))
	answer := Answer{Status: resp.StatusCode, Text: string(text)}
	if resp.StatusCode/100 != 2 {
		return answer, fmt.Errorf("the receiver answers %s", resp.Status)
	}
	return answer, nil
}

// Sign returns the value of the signature's header.
func Sign(secret []byte, now time.Time, body []byte) string {
	seconds := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, secret)
	_, _ = mac.Write([]byte(seconds + "."))
	_, _ = mac.Write(body)
	return "t=" + seconds + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// IsLoopback reports whether a host is this machine.
func IsLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// unwrapURL takes the URL off an HTTP client's error.
func unwrapURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}
