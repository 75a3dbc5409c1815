// Package errs is the one error type that crosses Covey's floors.
//
// An Error carries a closed code, a machine-readable reason, a public message
// that says what is wrong and what to do next, and a private cause that only
// logs see. Conditions that callers branch on are compared with errors.Is on
// the sentinels of their package, or by CodeOf; message texts are never matched.
package errs

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Code is the kind of a failure. The list is append-only: its numbers are
// neither changed nor reused.
type Code uint8

// The codes, each with its one gRPC counterpart.
const (
	Internal        Code = iota // unexpected; the message is never shown to callers
	Invalid                     // the request is wrong whatever the state (INVALID_ARGUMENT)
	Unauthenticated             // who is calling is not known (UNAUTHENTICATED)
	Denied                      // the caller is known and may not (PERMISSION_DENIED)
	NotFound                    // there is no such thing, or none the caller may know of (NOT_FOUND)
	Exists                      // the name is taken (ALREADY_EXISTS)
	Conflict                    // somebody else changed it meanwhile (ABORTED)
	Precondition                // the state does not allow it now (FAILED_PRECONDITION)
	Exhausted                   // a quota or a rate is used up (RESOURCE_EXHAUSTED)
	Unavailable                 // try again later (UNAVAILABLE)
)

var codeNames = [...]string{
	"internal", "invalid", "unauthenticated", "denied", "not_found", "exists",
	"conflict", "precondition", "exhausted", "unavailable",
}

// String returns the code's stable lower-case name.
func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return "internal"
}

// Error is a failure with a code.
type Error struct {
	Code    Code
	Reason  string        // UPPER_SNAKE_CASE, stable; documented in docs/errors.md
	Message string        // public: what is wrong
	Next    string        // public: what to do about it; may be empty
	Field   string        // the offending request field, if one is
	Retry   time.Duration // when trying again is worth it; 0 if it is not known
	Quota   string        // which quota is used up, where the reason does not say it
	cause   error
}

// New makes an error. Reason is stable and in UPPER_SNAKE_CASE.
func New(code Code, reason, format string, args ...any) *Error {
	return &Error{Code: code, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// WithCause returns a copy of e that wraps cause. The cause is for logs and
// errors.Is, never for callers of an API.
func (e *Error) WithCause(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// WithNext returns a copy of e with advice on what to do next.
func (e *Error) WithNext(format string, args ...any) *Error {
	c := *e
	c.Next = fmt.Sprintf(format, args...)
	return &c
}

// WithField returns a copy of e that names the offending request field.
func (e *Error) WithField(field string) *Error {
	c := *e
	c.Field = field
	return &c
}

// WithRetry returns a copy of e that says when to try again.
func (e *Error) WithRetry(d time.Duration) *Error {
	c := *e
	c.Retry = d
	return &c
}

// WithQuota returns a copy of e that names the quota that is used up.
func (e *Error) WithQuota(code string) *Error {
	c := *e
	c.Quota = code
	return &c
}

// QuotaCode names the quota that is used up, "" if none is: what WithQuota said, or
// what the reason does that is called for one, as ROLE_QUOTA is for role.
func (e *Error) QuotaCode() string {
	if what, ok := strings.CutSuffix(e.Reason, "_QUOTA"); e.Quota == "" && ok && e.Code == Exhausted {
		return strings.ToLower(what)
	}
	return e.Quota
}

// Error returns message, advice and cause, for logs.
func (e *Error) Error() string {
	s := e.Public()
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	return s
}

// Public returns what a caller may see.
func (e *Error) Public() string {
	if e.Next == "" {
		return e.Message
	}
	return e.Message + "; " + e.Next
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// Is reports whether target is an *Error with the same code and reason, so that
// a package-level Error can serve as a sentinel.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error) // one level; errors.Is walks the chain
	return ok && t.Code == e.Code && t.Reason == e.Reason
}

// CodeOf returns the code of the first Error in err's chain, else Internal.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Internal
}
