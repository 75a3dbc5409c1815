// Package grpcerr carries errs.Error across gRPC, both ways: code to code,
// reason, field, advice and retry delay in the standard error details.
package grpcerr

import (
	"context"
	"errors"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/coveymq/covey/internal/errs"
)

// Domain is the domain of our reasons in google.rpc.ErrorInfo.
const Domain = "covey.dev"

// The metadata keys of ErrorInfo that carry what to do next, and which quota is used
// up.
const (
	nextKey  = "next"
	quotaKey = "quota"
)

const internalMessage = "something went wrong on our side"

func codeToGRPC(c errs.Code) codes.Code {
	switch c {
	case errs.Invalid:
		return codes.InvalidArgument
	case errs.Unauthenticated:
		return codes.Unauthenticated
	case errs.Denied:
		return codes.PermissionDenied
	case errs.NotFound:
		return codes.NotFound
	case errs.Exists:
		return codes.AlreadyExists
	case errs.Conflict:
		return codes.Aborted
	case errs.Precondition:
		return codes.FailedPrecondition
	case errs.Exhausted:
		return codes.ResourceExhausted
	case errs.Unavailable:
		return codes.Unavailable
	case errs.Internal:
	}
	return codes.Internal
}

func codeFromGRPC(c codes.Code) errs.Code {
	for code := errs.Internal; code <= errs.Unavailable; code++ {
		if codeToGRPC(code) == c {
			return code
		}
	}
	if c == codes.DeadlineExceeded || c == codes.Canceled {
		return errs.Unavailable
	}
	return errs.Internal
}

// ToStatus turns an error into what a caller may see. Whatever has no code
// becomes internal without its text; requestID is what the caller can quote.
func ToStatus(err error, requestID string) *status.Status {
	if err == nil {
		return nil
	}
	e := public(err)
	st := status.New(codeToGRPC(e.Code), e.Public())
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		st = status.New(codes.DeadlineExceeded, "the deadline passed before the answer was ready")
	case errors.Is(err, context.Canceled):
		st = status.New(codes.Canceled, "the caller gave up")
	}
	info := &errdetails.ErrorInfo{Reason: e.Reason, Domain: Domain}
	for key, text := range map[string]string{nextKey: e.Next, quotaKey: e.QuotaCode()} {
		if text == "" {
			continue
		}
		if info.Metadata == nil {
			info.Metadata = map[string]string{}
		}
		info.Metadata[key] = text
	}
	details := []protoadapt.MessageV1{info, &errdetails.RequestInfo{RequestId: requestID}}
	if e.Field != "" {
		details = append(details, &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: e.Field, Description: e.Message, Reason: e.Reason},
		}})
	}
	if quota := e.QuotaCode(); quota != "" {
		details = append(details, &errdetails.QuotaFailure{Violations: []*errdetails.QuotaFailure_Violation{{Subject: quota, Description: e.Message}}})
	}
	if e.Retry > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(e.Retry)})
	}
	full, derr := st.WithDetails(details...)
	if derr != nil {
		return st
	}
	return full
}

func public(err error) *errs.Error {
	var e *errs.Error
	if errors.As(err, &e) && e.Code != errs.Internal {
		return e
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return errs.New(errs.Unavailable, "DEADLINE_EXCEEDED", "the deadline passed")
	}
	return errs.New(errs.Internal, "INTERNAL", internalMessage).WithNext("quote the request id to the operator")
}

// FromStatus turns what a gRPC call returned back into an *errs.Error. An
// error that is not a status stays as it is.
func FromStatus(err error) error {
	if err == nil {
		return nil
	}
	st, ok := status.FromError(err)
	if !ok {
		return err
	}
	e := errs.New(codeFromGRPC(st.Code()), "", "%s", st.Message()).WithCause(err)
	for _, detail := range st.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			e.Reason, e.Next, e.Quota = d.GetReason(), d.GetMetadata()[nextKey], d.GetMetadata()[quotaKey]
			if e.Next != "" {
				e.Message = trimNext(e.Message, e.Next)
			}
		case *errdetails.BadRequest:
			if v := d.GetFieldViolations(); len(v) > 0 {
				e.Field = v[0].GetField()
			}
		case *errdetails.RetryInfo:
			e.Retry = d.GetRetryDelay().AsDuration()
		}
	}
	return e
}

// trimNext takes the advice off the end of a public message: Public puts it
// back.
func trimNext(message, next string) string {
	tail := "; " + next
	if len(message) > len(tail) && message[len(message)-len(tail):] == tail {
		return message[:len(message)-len(tail)]
	}
	return message
}

// RequestID returns the request id that an error from a gRPC call carries.
func RequestID(err error) string {
	st, ok := status.FromError(err)
	if !ok {
		return ""
	}
	for _, detail := range st.Details() {
		if d, ok := detail.(*errdetails.RequestInfo); ok {
			return d.GetRequestId()
		}
	}
	return ""
}
