package term_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	"github.com/coveymq/covey/internal/errs"
)

func TestFaultKeepsCodeAdviceAndCause(t *testing.T) {
	cause := errors.New("cause")
	for _, tc := range []struct {
		err  error
		want term.Fault
	}{
		{fmt.Errorf("step: %w", term.Usagef("do this", "bad: %w", cause)), term.Fault{Code: term.ExitUsage, What: "bad: cause", Next: "do this"}},
		{errs.New(errs.Exhausted, "QUOTA", "too many").WithNext("wait").WithCause(cause), term.Fault{Code: term.ExitQuota, What: "too many", Next: "wait"}},
		{errors.Join(nil, term.Partialf("", "half")), term.Fault{Code: term.ExitPartial, What: "half"}},
		{cause, term.Fault{Code: term.ExitFailure, What: "cause"}},
		{fmt.Errorf("call: %w", context.Canceled), term.Fault{Code: term.ExitFailure, What: "interrupted"}},
	} {
		got := term.AsFault(tc.err)
		if got.Code != tc.want.Code || got.What != tc.want.What || got.Next != tc.want.Next {
			t.Errorf("%v: %+v, want %+v", tc.err, got, tc.want)
		}
	}
	if !errors.Is(term.Failf("", "x: %w", cause), cause) {
		t.Error("a fault hides its cause")
	}
}

func TestTextFromElsewhereCannotDriveTheTerminal(t *testing.T) {
	var out, chatter bytes.Buffer
	s := &term.Streams{Out: &out, Err: &chatter}
	evil := "a\x1b[2J\tb\nc\u009b"
	if err := s.Table([]string{"H"}, [][]string{{evil}, {""}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Describe(term.Pair{Name: "n", Value: evil}, term.Pair{Name: "empty"}); err != nil {
		t.Fatal(err)
	}
	s.PrintFault(term.Failf("first\nsecond", "%s", "bad \x1b]0;t\x07"))
	text := out.String() + chatter.String()
	if strings.ContainsAny(text, "\x1b\x07\u009b") || strings.Contains(text, "empty") || strings.Count(out.String(), "\n") != 4 {
		t.Errorf("printed %q", text)
	}
	if !strings.Contains(chatter.String(), "  next: first\nsecond") {
		t.Errorf("advice lost its lines: %q", chatter.String())
	}
}
