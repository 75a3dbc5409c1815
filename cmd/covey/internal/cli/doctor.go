package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/contexts"
	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

const (
	expirySoon = 14 * 24 * time.Hour // what ends within that is worth a word
	clockSlack = 30 * time.Second    // credentials and revocations have a grain of seconds
)

// check is one thing that doctor looked at.
type check struct {
	Name   string `json:"check"`
	State  string `json:"state"` // ok, warn or fail
	Detail string `json:"detail"`
	Next   string `json:"next,omitempty"`
}

// The states of a check.
const (
	checkOK   = "ok"
	checkWarn = "warn"
	checkFail = "fail"
)

func (a *App) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Look at everything between here and a message: context, API, key, clock, credentials, broker", Args: term.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.Context()
			if err != nil {
				return err
			}
			checks := a.examine(cmd.Context(), c)
			if err := a.showChecks(checks); err != nil {
				return err
			}
			failed := 0
			for _, x := range checks {
				if x.State == checkFail {
					failed++
				}
			}
			if failed > 0 {
				return term.Failf("begin with the first that failed", "%d of %d checks failed", failed, len(checks))
			}
			return nil
		},
	}
}

func (a *App) examine(ctx context.Context, c *contexts.Context) []check {
	checks := []check{{Name: "context", State: checkOK, Detail: c.Name + ", API at " + c.APIAddr}}
	checks = append(checks, a.examineKey(ctx, c))
	if c.HTTPURL != "" {
		checks = append(checks, a.examineClock(ctx, c))
	}
	if c.CredsFile != "" {
		checks = append(checks, examineCreds(c.CredsFile, time.Now()))
	}
	if c.Organization != "" && c.Account != "" && c.User != "" {
		checks = append(checks, a.examineIssued(ctx, c)...)
	}
	if c.NATSURL != "" && a.env.Probe != nil {
		checks = append(checks, a.examineBroker(ctx, c))
	}
	return checks
}

// failure makes a check of an error, with its own advice.
func failure(name string, err error) check {
	f := term.AsFault(err)
	return check{Name: name, State: checkFail, Detail: f.What, Next: f.Next}
}

func (a *App) examineKey(ctx context.Context, c *contexts.Context) check {
	const name = "API key"
	s, err := a.dial(c)
	if err != nil {
		return failure("API", err)
	}
	defer func() { _ = s.Close() }()
	resp, err := apiv1.NewAccessServiceClient(s).GetCaller(ctx, &apiv1.GetCallerRequest{})
	if err != nil {
		return failure("API", err)
	}
	holder := orElse(resp.GetHolder(), "the operator")
	if resp.GetKeyExpireTime() == nil {
		return check{Name: name, State: checkOK, Detail: "of " + holder}
	}
	return expiry(name, "of "+holder+", ", resp.GetKeyExpireTime().AsTime(), time.Now(), "exchange it: `covey apikey rotate`")
}

// expiry checks when something ends.
func expiry(name, detail string, end, now time.Time, next string) check {
	switch left := end.Sub(now); {
	case left <= 0:
		return check{Name: name, State: checkFail, Detail: detail + "expired " + term.Time(end), Next: next}
	case left < expirySoon:
		return check{Name: name, State: checkWarn, Detail: detail + "until " + term.Time(end), Next: next}
	}
	return check{Name: name, State: checkOK, Detail: detail + "until " + term.Time(end)}
}

// examineClock compares clocks by the date of an answer.
func (a *App) examineClock(ctx context.Context, c *contexts.Context) check {
	const name = "clock"
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.HTTPURL+"/healthz", nil)
	if err != nil {
		return failure(name, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return check{Name: name, State: checkWarn, Detail: fmt.Sprintf("not compared: %v", err), Next: "is the REST address right? `covey context show`"}
	}
	_ = resp.Body.Close()
	there, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return check{Name: name, State: checkWarn, Detail: "not compared: the answer has no date"}
	}
	off := time.Since(there).Truncate(time.Second)
	if off > clockSlack || off < -clockSlack {
		return check{Name: name, State: checkFail, Detail: fmt.Sprintf("this machine is %s ahead of the control plane", off), Next: "set the clock: fresh credentials may be refused"}
	}
	return check{Name: name, State: checkOK, Detail: "like the control plane's"}
}

func examineCreds(path string, now time.Time) check {
	const name = "credentials"
	text, err := os.ReadFile(path)
	if err != nil {
		return failure(name, err)
	}
	token, err := jwt.ParseDecoratedJWT(text)
	if err != nil {
		return check{Name: name, State: checkFail, Detail: path + " holds no credentials", Next: "issue others: `covey creds issue`"}
	}
	claims, err := jwt.DecodeUserClaims(token)
	if err != nil {
		return check{Name: name, State: checkFail, Detail: path + " holds no user's credentials", Next: "issue others: `covey creds issue`"}
	}
	if claims.Expires == 0 {
		return check{Name: name, State: checkOK, Detail: path + ", never expire"}
	}
	return expiry(name, path+", ", time.Unix(claims.Expires, 0), now, "renew them: `covey creds renew`")
}

func (a *App) examineBroker(ctx context.Context, c *contexts.Context) check {
	const name = "broker"
	server, rtt, err := a.env.Probe(ctx, c)
	if err != nil {
		x := failure(name, err)
		if errors.Is(err, context.Canceled) {
			x.Detail = "interrupted"
		}
		if x.Next == "" {
			x.Next = "why: `covey explain access connect`"
		}
		return x
	}
	return check{Name: name, State: checkOK, Detail: fmt.Sprintf("%s, %s there and back", server, rtt.Round(10*time.Microsecond))}
}

func (a *App) showChecks(checks []check) error {
	if a.streams.JSON {
		return a.streams.PrintJSON(map[string]any{"checks": checks})
	}
	rows := make([][]string, 0, len(checks))
	for _, x := range checks {
		text := x.Detail
		if x.Next != "" {
			text += "; " + x.Next
		}
		rows = append(rows, []string{x.Name, x.State, text})
	}
	return a.streams.Table([]string{"CHECK", "STATE", "WHAT"}, rows)
}
