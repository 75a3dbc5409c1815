package term

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/coveymq/covey/internal/errs"
)

// Exit codes, documented in docs/cli.md; the list is append-only.
const (
	ExitOK       = 0
	ExitFailure  = 1
	ExitUsage    = 2 // the command line, or a value on it, is wrong
	ExitNotFound = 3
	ExitAuth     = 4 // not known, or not allowed
	ExitQuota    = 5
	ExitPartial  = 6 // some of it happened
)

// Fault is a failure as a person sees it.
type Fault struct {
	Code      int    // exit code
	What      string // what is wrong
	Next      string // what to do about it; may be empty
	Reason    string // stable UPPER_SNAKE_CASE, when the server gave one
	RequestID string // to quote to the operator; may be empty
	cause     error
}

// Error returns what is wrong and what to do.
func (f *Fault) Error() string {
	if f.Next == "" {
		return f.What
	}
	return f.What + "; " + f.Next
}

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.cause }

// Failf makes a Fault with exit code 1.
func Failf(next, format string, args ...any) *Fault {
	return faultf(ExitFailure, next, format, args...)
}

// Usagef makes a Fault with exit code 2.
func Usagef(next, format string, args ...any) *Fault {
	return faultf(ExitUsage, next, format, args...)
}

// NotFoundf makes a Fault with exit code 3.
func NotFoundf(next, format string, args ...any) *Fault {
	return faultf(ExitNotFound, next, format, args...)
}

// Partialf makes a Fault with exit code 6.
func Partialf(next, format string, args ...any) *Fault {
	return faultf(ExitPartial, next, format, args...)
}

func faultf(code int, next, format string, args ...any) *Fault {
	err := fmt.Errorf(format, args...)
	return &Fault{Code: code, What: err.Error(), Next: next, cause: errors.Unwrap(err)}
}

// AsFault turns any error into a Fault: its own, one with a code of ours, or a
// gRPC status.
func AsFault(err error) *Fault {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f
	}
	if e, ok := errors.AsType[*errs.Error](err); ok {
		return &Fault{Code: exitOfCode(e.Code), What: e.Message, Next: e.Next, Reason: e.Reason, cause: err}
	}
	if st, ok := status.FromError(err); ok && err != nil {
		return fromStatus(st, err)
	}
	if errors.Is(err, context.Canceled) {
		return &Fault{Code: ExitFailure, What: "interrupted", cause: err}
	}
	return &Fault{Code: ExitFailure, What: err.Error(), cause: err}
}

func fromStatus(st *status.Status, err error) *Fault {
	f := &Fault{Code: exitOfStatus(st.Code()), What: st.Message(), cause: err}
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			f.Reason = d.GetReason()
			f.Next = d.GetMetadata()["next"]
		case *errdetails.RequestInfo:
			f.RequestID = d.GetRequestId()
		}
	}
	if f.Next != "" {
		// Callers that read only the message get the advice there, too.
		f.What = trimSuffix(f.What, "; "+f.Next)
	}
	if f.Next == "" {
		f.Next = adviceFor(st.Code(), f.Reason)
	}
	if st.Code() == codes.Canceled {
		f.What = "interrupted"
	}
	return f
}

func trimSuffix(s, suffix string) string {
	if len(s) > len(suffix) && s[len(s)-len(suffix):] == suffix {
		return s[:len(s)-len(suffix)]
	}
	return s
}

// adviceFor is for answers that bring none of their own: those of the gRPC
// library, mostly.
func adviceFor(code codes.Code, reason string) string {
	switch code {
	case codes.Unavailable:
		return "is the control plane running? start one with `covey up`, or see `covey context show` for the address that was tried"
	case codes.Unauthenticated:
		return "the context's API key was not accepted; choose another with `covey context use NAME` or `--context NAME`"
	case codes.PermissionDenied:
		return "use a context whose key may do this: `covey context list`"
	case codes.DeadlineExceeded:
		return "try again with a longer --timeout; the change may have been made all the same"
	case codes.Aborted:
		return "read it again and retry"
	case codes.Unimplemented:
		return "the control plane is older than this command; compare `covey version` on both"
	default:
		if reason != "" {
			return "see " + reason + " in docs/errors.md"
		}
		return ""
	}
}

func exitOfStatus(code codes.Code) int {
	switch code {
	case codes.OK:
		return ExitOK
	case codes.InvalidArgument:
		return ExitUsage
	case codes.NotFound:
		return ExitNotFound
	case codes.Unauthenticated, codes.PermissionDenied:
		return ExitAuth
	case codes.ResourceExhausted:
		return ExitQuota
	default:
		return ExitFailure
	}
}

func exitOfCode(code errs.Code) int {
	switch code {
	case errs.Invalid:
		return ExitUsage
	case errs.NotFound:
		return ExitNotFound
	case errs.Unauthenticated, errs.Denied:
		return ExitAuth
	case errs.Exhausted:
		return ExitQuota
	case errs.Internal, errs.Exists, errs.Conflict, errs.Precondition, errs.Unavailable:
		return ExitFailure
	}
	return ExitFailure
}
