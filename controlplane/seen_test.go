package controlplane_test

import (
	"testing"
	"time"

	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// What a real client connected with was seen, and nothing else was; however often it
// comes back, it is written once.
func TestACredentialSaysWhenItWasLastSeen(t *testing.T) {
	p := start(t, t.TempDir())
	signed, owner := p.signUp(t, "acme")
	_, other := p.signUp(t, "globex")
	ctx := t.Context()
	j := p.broker(t)
	list := func() map[string]*apiv1.Credential {
		t.Helper()
		byName := map[string]*apiv1.Credential{}
		for _, c := range must[*apiv1.ListCredentialsResponse](t, "list")(owner.credentials.ListCredentials(ctx, &apiv1.ListCredentialsRequest{Parent: acmeUser})).GetCredentials() {
			byName[c.GetName()] = c
		}
		return byName
	}
	unused := owner.issue(t, acmeUser)
	used := owner.issue(t, acmeUser)
	for name, c := range list() {
		if c.GetLastSeenTime() != nil {
			t.Errorf("%s was seen before there was anybody", name)
		}
	}
	from := time.Now().Truncate(time.Second)
	eventually(t, func() bool {
		c, err := j.connect(t, used.GetCredsFile())
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	name := used.GetCredential().GetName()
	eventually(t, func() bool { return list()[name].GetLastSeenTime() != nil })
	got := must[*apiv1.GetCredentialResponse](t, "get")(owner.credentials.GetCredential(ctx, &apiv1.GetCredentialRequest{Name: name})).GetCredential()
	at := got.GetLastSeenTime().AsTime()
	if at.Before(from) || at.After(time.Now()) || got.GetState() != apiv1.Credential_STATE_ACTIVE || got.GetEtag() == "" {
		t.Errorf("credential %v, used after %v", got, from)
	}
	if c := list()[unused.GetCredential().GetName()]; c.GetLastSeenTime() != nil {
		t.Errorf("what nobody used was seen: %v", c)
	}
	// Again and again, another credential, and another again: the first is told no
	// more, so that what is known of it stays as it is.
	for range 20 {
		c := j.mustConnect(t, used.GetCredsFile())
		c.Close()
	}
	first := j.mustConnect(t, signed.GetCredsFile())
	eventually(t, func() bool { return len(seen(list())) == 2 })
	if again := list()[name].GetLastSeenTime().AsTime(); !again.Equal(at) {
		t.Errorf("it was written at %v and at %v", at, again)
	}
	first.wantAlive(t, "seen")

	// A list can ask for it.
	resp := must[*apiv1.ListCredentialsResponse](t, "filter")(owner.credentials.ListCredentials(ctx, &apiv1.ListCredentialsRequest{Parent: acmeUser, Filter: "last_seen_time != *"}))
	if len(resp.GetCredentials()) != 1 || resp.GetCredentials()[0].GetName() != unused.GetCredential().GetName() {
		t.Errorf("never seen: %v", resp.GetCredentials())
	}
	if _, err := other.credentials.GetCredential(ctx, &apiv1.GetCredentialRequest{Name: name}); err == nil {
		t.Error("a stranger reads of it")
	}
}

func seen(all map[string]*apiv1.Credential) (names []string) {
	for name, c := range all {
		if c.GetLastSeenTime() != nil {
			names = append(names, name)
		}
	}
	return names
}
