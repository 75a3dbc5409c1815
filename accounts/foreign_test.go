package accounts_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/coveymq/covey/accounts"
)

// What a user's claims say that were made elsewhere is said again by what is
// issued for it.
func TestForeignUserIsIssuedAsItWas(t *testing.T) {
	account, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	seedText, _ := account.Seed()
	seed, err := accounts.ParseSeed(seedText)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := seed.Signer()
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*jwt.UserClaims){
		"plain":       func(*jwt.UserClaims) {},
		"scoped":      func(u *jwt.UserClaims) { u.SetScoped(true) },
		"scoped tags": func(u *jwt.UserClaims) { u.SetScoped(true); u.Tags.Add("team:a") },
		"limits":      func(u *jwt.UserClaims) { u.Subs, u.Limits.Payload, u.BearerToken = 3, 100, true },
		"none at all": func(u *jwt.UserClaims) { u.Subs = 0 },
		"from":        func(u *jwt.UserClaims) { u.Src.Add("10.0.0.0/8"); u.AllowedConnectionTypes.Add("WEBSOCKET") },
		"times": func(u *jwt.UserClaims) {
			u.Times = []jwt.TimeRange{{Start: "08:00:00", End: "18:00:00"}}
			u.Locale = "UTC"
		},
		"permissions": func(u *jwt.UserClaims) {
			u.Pub.Allow.Add("a.>")
			u.Sub.Deny.Add("b queue")
			u.Resp = &jwt.ResponsePermission{MaxMsgs: 2, Expires: time.Second}
		},
	} {
		t.Run(name, func(t *testing.T) {
			key, _ := nkeys.CreateUser()
			public, _ := key.PublicKey()
			was := jwt.NewUserClaims(public)
			was.Name = "u"
			change(was)
			text, err := was.Encode(account)
			if err != nil {
				t.Fatal(err)
			}
			read, err := accounts.ReadUser(text)
			if err != nil {
				t.Fatal(err)
			}
			again, err := accounts.SignUser(read.Spec, signer)
			if err != nil {
				t.Fatal(err)
			}
			got, err := jwt.DecodeUserClaims(again.JWT)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(was.User, got.User, cmpopts.EquateEmpty()); d != "" {
				t.Errorf("- before, + now:\n%s", d)
			}
		})
	}
}

// Responses without an allow list allow nothing else, here as there.
func TestForeignResponsesAllowNothingElse(t *testing.T) {
	account, _ := nkeys.CreateAccount()
	key, _ := nkeys.CreateUser()
	public, _ := key.PublicKey()
	was := jwt.NewUserClaims(public)
	was.Resp = &jwt.ResponsePermission{MaxMsgs: 1, Expires: time.Minute}
	text, err := was.Encode(account)
	if err != nil {
		t.Fatal(err)
	}
	read, err := accounts.ReadUser(text)
	if err != nil {
		t.Fatal(err)
	}
	if v := read.Spec.Permissions.ExplainPublish("anything"); v.Allowed {
		t.Errorf("the user may publish: %+v", v)
	}
}

// What is folded into a cut-off stays refused as long as it would have been.
func TestFoldedRevocationsOfWhatNeverExpiresDoNotLapse(t *testing.T) {
	now := time.Unix(2_000_000_000, 0)
	var r accounts.Revocations
	for range accounts.RevocationsFoldAbove + 1 {
		key, _ := nkeys.CreateUser()
		public, _ := key.PublicKey()
		r = r.With(accounts.Revocation{PublicKey: public, At: now.Unix() - 100, Issued: now.Unix() - 100, Until: accounts.Never})
	}
	folded, _ := r.Compact(now, now.Unix())
	if len(folded.Entries) != 0 || folded.CutOff == 0 {
		t.Fatalf("%d entries, cut-off %d", len(folded.Entries), folded.CutOff)
	}
	if later := folded.Lapsed(now.Add(20 * accounts.CredentialTTLMax)); later.CutOff == 0 {
		t.Error("the cut-off lapsed, and with it revocations of credentials that never expire")
	}
}

// Names from elsewhere become ids that are good, and differ.
func TestIDsFromNames(t *testing.T) {
	taken := map[string]bool{}
	for _, name := range []string{"Web Shop", "web-shop", "Web_Shop", "", "9", "é", "-a-", "A", "x.y.z", string(make([]byte, 300)), "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"} {
		id := accounts.AccountIDFrom(name, func(id string) bool { return taken[id] })
		if err := accounts.ValidateAccountID(id); err != nil || taken[id] {
			t.Errorf("%q becomes %q: %v, taken %v", name, id, err, taken[id])
		}
		taken[id] = true
	}
}
