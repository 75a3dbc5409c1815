package fleet

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/internal/errs"
)

const operatorFile = "operator.jwt"

// ErrUntrusted says that claims are not signed by the operator.
var ErrUntrusted = errs.New(errs.Denied, "CLAIMS_UNTRUSTED", "claims are not signed by the operator")

// trust decides whose signature counts.
type trust struct {
	operatorKey string
	file        string

	mu       sync.Mutex
	operator *jwt.OperatorClaims // nil until its JWT is known
	text     string
}

// openTrust takes the operator's JWT from the state directory if it is good.
func openTrust(operatorKey, dir string, log *slog.Logger) *trust {
	t := &trust{operatorKey: operatorKey, file: filepath.Join(dir, operatorFile)}
	text, err := readFile(t.file)
	if err == nil {
		err = t.adopt(string(text))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("cached operator not used", slog.Any("err", err))
	}
	return t
}

// adopt takes an operator's JWT that the operator's own key signed.
func (t *trust) adopt(text string) error {
	operator, err := jwt.DecodeOperatorClaims(text)
	if err != nil {
		return ErrUntrusted.WithCause(fmt.Errorf("decode operator: %w", err))
	}
	if operator.Subject != t.operatorKey || operator.Issuer != t.operatorKey {
		return ErrUntrusted.WithCause(fmt.Errorf("operator %s signed by %s, want %s by itself",
			operator.Subject, operator.Issuer, t.operatorKey))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.operator, t.text = operator, text
	return nil
}

// set adopts text and keeps it for the next start.
func (t *trust) set(text string) error {
	if t.current() == text {
		return nil
	}
	if err := t.adopt(text); err != nil {
		return err
	}
	return writeFile(t.file, []byte(text))
}

func (t *trust) current() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text
}

// verify returns nil if text is account's claims, signed by the operator.
func (t *trust) verify(account, text string) error {
	claims, err := jwt.DecodeAccountClaims(text)
	if err != nil {
		return ErrUntrusted.WithCause(fmt.Errorf("decode account: %w", err))
	}
	if claims.Subject != account {
		return ErrUntrusted.WithCause(fmt.Errorf("claims of %s in place of %s", claims.Subject, account))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	signed := claims.Issuer == t.operatorKey
	if t.operator != nil {
		signed = t.operator.DidSign(claims)
	}
	if !signed {
		return ErrUntrusted.WithCause(fmt.Errorf("signed by %s", claims.Issuer))
	}
	return nil
}
