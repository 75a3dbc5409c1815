package controlplane_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coveymq/covey/dataplane"
	"github.com/coveymq/covey/internal/errs"
	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
)

// enrolled is a broker in a directory that outlives it.
type enrolled struct {
	judge
	dir  string
	stop func()
}

func (p *plane) enrolled(t *testing.T, name, dir, token string) *enrolled {
	t.Helper()
	b, err := dataplane.New(t.Context(), dataplane.Config{
		Host: "127.0.0.1", MonitorAddr: "127.0.0.1:0", ServerName: name, Version: "test", StateDir: dir,
		Drain: dataplane.Drain{Grace: time.Millisecond}, Logger: slog.New(slog.DiscardHandler),
		ControlPlane: &dataplane.ControlPlane{
			FleetAddr: p.FleetAddr(), OTLPAddr: p.OTLPAddr(), OperatorPublicKey: p.OperatorPublicKey(), JoinToken: dataplane.JoinToken(token),
		},
	})
	if err != nil {
		t.Fatalf("start broker %s: %v", name, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := b.Run(ctx); err != nil {
			t.Errorf("run broker: %v", err)
		}
	})
	e := &enrolled{judge: judge{url: b.ClientURL()}, dir: dir, stop: sync.OnceFunc(func() { cancel(); wg.Wait() })}
	t.Cleanup(e.stop)
	return e
}

// roots is how many authorities the broker trusts, as its state directory says.
func (e *enrolled) roots(t *testing.T) int {
	t.Helper()
	var stored struct {
		Roots [][]byte `json:"roots"`
	}
	if err := json.Unmarshal(must[[]byte](t, "identity")(os.ReadFile(filepath.Join(e.dir, "fleet", "identity.json"))), &stored); err != nil {
		t.Fatal(err)
	}
	return len(stored.Roots)
}

func inTime(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// Another authority signs for the fleet while brokers run: nobody loses a session,
// who joins with a token from before can, and what is retired is refused.
func TestTheFleetsAuthorityIsRotated(t *testing.T) {
	p := start(t, t.TempDir())
	signed, _ := p.signUp(t, "acme")
	token := func() string { t.Helper(); return must[string](t, "join token")(p.JoinToken(t.Context(), time.Minute)) }
	firstToken := token()
	brokers := []*enrolled{p.enrolled(t, "one", t.TempDir(), firstToken), p.enrolled(t, "two", t.TempDir(), token())}
	clients := []*client{brokers[0].mustConnect(t, signed.GetCredsFile()), brokers[1].mustConnect(t, signed.GetCredsFile())}
	late, later := token(), token()
	staff := adminv1.NewFleetAuthorityServiceClient(p.as(t, p.key).conn)
	status := func() []*adminv1.FleetAuthority {
		t.Helper()
		return must[*adminv1.GetFleetAuthorityResponse](t, "status")(staff.GetFleetAuthority(t.Context(), &adminv1.GetFleetAuthorityRequest{})).GetAuthorities()
	}
	old := status()[0].GetId()
	_, err := staff.RetireFleetAuthority(t.Context(), &adminv1.RetireFleetAuthorityRequest{Id: old})
	wantError(t, err, errs.Precondition, "AUTHORITY_ACTIVE")
	staged := must[*adminv1.RotateFleetAuthorityResponse](t, "rotate")(staff.RotateFleetAuthority(t.Context(), &adminv1.RotateFleetAuthorityRequest{Reason: "yearly"})).GetAuthorities()
	if len(staged) != 2 || staged[1].GetState() != adminv1.FleetAuthority_STATE_STAGED || len(staged[1].GetWaiting()) != 2 {
		t.Errorf("staged are %v", staged)
	}
	_, err = staff.RotateFleetAuthority(t.Context(), &adminv1.RotateFleetAuthorityRequest{})
	wantError(t, err, errs.Precondition, "AUTHORITY_STAGED")
	inTime(t, "another authority signs", func() bool { return status()[0].GetId() == staged[1].GetId() })
	third := p.enrolled(t, "three", t.TempDir(), late) // pins the old one
	brokers = append(brokers, third)
	clients = append(clients, third.mustConnect(t, signed.GetCredsFile()))
	inTime(t, "certificates are renewed", func() bool { all := status(); return len(all) == 2 && len(all[1].GetWaiting()) == 0 })
	retired := must[*adminv1.RetireFleetAuthorityResponse](t, "retire")(staff.RetireFleetAuthority(t.Context(), &adminv1.RetireFleetAuthorityRequest{Id: old})).GetAuthorities()
	if len(retired) != 1 || retired[0].GetId() != staged[1].GetId() {
		t.Errorf("after the end of the old one there are %v", retired)
	}
	inTime(t, "brokers trust the new one alone", func() bool {
		return brokers[0].roots(t) == 1 && brokers[1].roots(t) == 1 && brokers[2].roots(t) == 1
	})
	for _, c := range clients {
		c.wantAlive(t, "after the rotation")
	}
	if text := p.log.String(); strings.Contains(text, "broker left") || strings.Contains(text, "PRIVATE") {
		t.Errorf("a session was lost, or a key is in the log:\n%s", text)
	}

	// A broker starts again with the join token that it once had; one with a token
	// of the old authority alone does not join.
	brokers[0].stop()
	again := p.enrolled(t, "one", brokers[0].dir, firstToken)
	again.mustConnect(t, signed.GetCredsFile())
	p.enrolled(t, "four", t.TempDir(), token()).mustConnect(t, signed.GetCredsFile())
	if _, err := dataplane.New(t.Context(), dataplane.Config{
		Host: "127.0.0.1", MonitorAddr: "127.0.0.1:0", ServerName: "five", Version: "test", StateDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler),
		ControlPlane: &dataplane.ControlPlane{FleetAddr: p.FleetAddr(), OTLPAddr: p.OTLPAddr(), OperatorPublicKey: p.OperatorPublicKey(), JoinToken: dataplane.JoinToken(later)},
	}); reasonOf(err) != "JOIN_TOKEN_OTHER_FLEET" {
		t.Errorf("a token that pins the retired authority: %v", err)
	}
}
