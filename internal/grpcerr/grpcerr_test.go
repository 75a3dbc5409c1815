package grpcerr_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"

	"github.com/coveymq/covey/internal/errs"
	"github.com/coveymq/covey/internal/grpcerr"
)

func TestErrorsCrossTheWireWhole(t *testing.T) {
	for code := errs.Invalid; code <= errs.Unavailable; code++ {
		sent := errs.New(code, "SOME_REASON", "message of %s", code).WithField("a.b").WithNext("do this").
			WithRetry(3 * time.Second).WithCause(errors.New("private"))
		st := grpcerr.ToStatus(fmt.Errorf("wrapped: %w", sent), "req_1")
		if strings.Contains(st.Message(), "private") || strings.Contains(st.Message(), "wrapped") {
			t.Errorf("%s shows its cause: %s", code, st.Message())
		}
		var got *errs.Error
		if !errors.As(grpcerr.FromStatus(st.Err()), &got) {
			t.Fatalf("%s does not come back", code)
		}
		if got.Code != code || got.Reason != sent.Reason || got.Message != sent.Message || got.Next != sent.Next || got.Field != sent.Field || got.Retry != sent.Retry {
			t.Errorf("sent %+v, got %+v", sent, got)
		}
		if id := grpcerr.RequestID(st.Err()); id != "req_1" {
			t.Errorf("request id %q", id)
		}
	}
}

// Whoever has used something up is told what, in the standard detail and beside the
// reason, whether the error names it or its reason does.
func TestTheQuotaIsNamed(t *testing.T) {
	for want, sent := range map[string]*errs.Error{
		"connections": errs.New(errs.Exhausted, "PLAN_EXHAUSTED", "m").WithQuota("connections"),
		"api_key":     errs.New(errs.Exhausted, "API_KEY_QUOTA", "m"),
		"":            errs.New(errs.Exhausted, "STORE_FULL", "m"),
	} {
		st := grpcerr.ToStatus(sent, "r")
		got, subject := "", ""
		for _, d := range st.Details() {
			switch d := d.(type) {
			case *errdetails.ErrorInfo:
				got = d.GetMetadata()["quota"]
			case *errdetails.QuotaFailure:
				subject = d.GetViolations()[0].GetSubject()
			}
		}
		var back *errs.Error
		if !errors.As(grpcerr.FromStatus(st.Err()), &back) || back.QuotaCode() != want || got != want || subject != want {
			t.Errorf("%s: quota %q, subject %q, back %+v", sent.Reason, got, subject, back)
		}
	}
	if q := errs.New(errs.Invalid, "INVALID_QUOTA", "m").QuotaCode(); q != "" {
		t.Errorf("a wrong quota is the quota %q", q)
	}
}

func TestUnknownErrorsStayPrivate(t *testing.T) {
	for _, err := range []error{errors.New("the password is x"), errs.New(errs.Internal, "X", "the password is x")} {
		st := grpcerr.ToStatus(err, "r")
		if st.Code() != codes.Internal || strings.Contains(st.Message(), "password") {
			t.Errorf("%v becomes %v", err, st)
		}
	}
	if st := grpcerr.ToStatus(fmt.Errorf("x: %w", context.DeadlineExceeded), "r"); st.Code() != codes.DeadlineExceeded {
		t.Errorf("deadline becomes %v", st)
	}
}
