package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// operatorView is what of `covey admin operator show --json` matters here.
type operatorView struct {
	RootCustody string `json:"root_custody"`
	JWT         string `json:"jwt"`
	Keys        []struct {
		PublicKey string `json:"public_key"`
		State     string `json:"state"`
	} `json:"keys"`
}

func (o operatorView) key(state string) string {
	for _, k := range o.Keys {
		if k.State == state {
			return k.PublicKey
		}
	}
	return ""
}

// The root key goes to a file, and with that file alone another signing key is
// signed for; a client stays connected throughout.
func TestTheOperatorsKeyChangesWhileAClientIsConnected(t *testing.T) {
	h := newHome(t)
	b := h.up(anyPorts()...)
	acme := h.signUp("acme")
	b.stop()
	root, jwt := filepath.Join(h.dir, "root.nk"), filepath.Join(h.dir, "operator.jwt")
	h.covey("admin", "operator", "detach-root", root, "--data", filepath.Join(h.data, "controlplane"))
	b = h.up(samePorts(t, b.ready)...)
	staff := func(args ...string) []string {
		return append([]string{"--context", b.AdminContext, "admin", "operator"}, args...)
	}
	var before, staged, after operatorView
	h.coveyJSON(&before, staff("show")...)
	if before.RootCustody != "ROOT_CUSTODY_OFFLINE" {
		t.Errorf("the root key is %s", before.RootCustody)
	}
	nc, closed := b.watched(acme.CredsFile)
	h.coveyJSON(&staged, staff("stage", "--reason", "yearly")...)
	sign := func(args ...string) string {
		request := filepath.Join(h.dir, "request.json")
		if err := os.WriteFile(request, []byte(h.covey(staff(append([]string{"request"}, args...)...)...)), 0o600); err != nil {
			t.Fatal(err)
		}
		return h.run("covey", "admin", "operator", "sign", request, "--root", root, "--out", jwt).stderr
	}
	old, next := before.key("STATE_ACTIVE"), staged.key("STATE_STAGED")
	if told := sign(); !strings.Contains(told, "adds "+next+", removes nothing") {
		t.Errorf("sign tells %q", told)
	}
	if o := h.run("covey", staff("promote")...); o.code == 0 || !strings.Contains(o.stderr, "offline") {
		t.Errorf("promote without a JWT: %d %s", o.code, o.stderr)
	}
	if o := h.run("covey", staff("promote", "--jwt", jwt, "--wait")...); o.code != 0 || !strings.Contains(o.stderr, "signed by the active key") {
		t.Fatalf("promote: %d %s", o.code, o.stderr)
	}
	if by := b.claimsOf(acme.AccountPublicKey).Issuer; by != next {
		t.Errorf("the account is signed by %s, not %s", by, next)
	}
	if told := sign("--retire", old); !strings.Contains(told, "adds nothing, removes "+old) {
		t.Errorf("sign tells %q", told)
	}
	h.coveyJSON(&after, staff("retire", old, "--jwt", jwt)...)
	if after.key("STATE_ACTIVE") != next || after.key("STATE_RETIRED") != old {
		t.Errorf("in the end the keys are %v", after.Keys)
	}
	if err := nc.FlushTimeout(patience); err != nil {
		t.Errorf("the client is gone: %v", err)
	}
	select {
	case <-closed:
		t.Error("the client was disconnected")
	default:
	}
	reaches(t, b.NATSURL, acme.CredsFile)
	if text, err := os.ReadFile(root); err != nil || strings.Contains(h.log.String(), strings.TrimSpace(string(text))) {
		t.Errorf("the root's seed is in the log, or gone: %v", err)
	}
}
