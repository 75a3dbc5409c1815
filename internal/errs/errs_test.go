package errs_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/coveymq/covey/internal/errs"
)

func TestErrorKeepsCauseFromThePublic(t *testing.T) {
	base := errs.New(errs.Conflict, "STALE_ETAG", "account %q changed", "orders")
	err := fmt.Errorf("update account: %w", base.WithCause(io.ErrUnexpectedEOF).WithNext("read it again"))

	if got := errs.CodeOf(err); got != errs.Conflict {
		t.Errorf("CodeOf = %v, want %v", got, errs.Conflict)
	}
	if !errors.Is(err, base) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("errors.Is does not see through %v", err)
	}
	var e *errs.Error
	if !errors.As(err, &e) {
		t.Fatalf("errors.As does not find *Error in %v", err)
	}
	if got, want := e.Public(), `account "orders" changed; read it again`; got != want {
		t.Errorf("Public = %q, want %q", got, want)
	}
	if base.Next != "" || errors.Unwrap(base) != nil {
		t.Errorf("With… changed the receiver: %+v", base)
	}
}

func TestSentinelsDifferByReason(t *testing.T) {
	a := errs.New(errs.NotFound, "ACCOUNT_NOT_FOUND", "no account")
	b := errs.New(errs.NotFound, "USER_NOT_FOUND", "no user")
	if errors.Is(a, b) {
		t.Error("errors with different reasons match")
	}
}

func TestUnknownErrorIsInternal(t *testing.T) {
	if got := errs.CodeOf(io.EOF); got != errs.Internal {
		t.Errorf("CodeOf(io.EOF) = %v, want internal", got)
	}
	if got := errs.Code(200).String(); got != "internal" {
		t.Errorf("Code(200) = %q, want internal", got)
	}
}
