package accounts_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"pgregory.net/rapid"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/internal/errs"
)

func mustSeed(tb testing.TB, create func() (accounts.Seed, error)) (accounts.Seed, string, accounts.Signer) {
	tb.Helper()
	seed, err := create()
	if err != nil {
		tb.Fatal(err)
	}
	public, err := seed.PublicKey()
	if err != nil {
		tb.Fatal(err)
	}
	signer, err := seed.Signer()
	if err != nil {
		tb.Fatal(err)
	}
	return seed, public, signer
}

func TestUIDsSortByTimeAndFlipBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.Int64Range(0, 1<<45).Draw(t, "a")
		b := rapid.Int64Range(0, 1<<45).Draw(t, "b")
		ua := accounts.NewUID(accounts.PrefixOperation, time.UnixMilli(a))
		ub := accounts.NewUID(accounts.PrefixOperation, time.UnixMilli(b))
		if err := accounts.ParseUID(accounts.PrefixOperation, ua); err != nil {
			t.Fatal(err)
		}
		if a < b && (ua >= ub || accounts.NewestFirst(ua) <= accounts.NewestFirst(ub)) {
			t.Fatalf("%d %s and %d %s sort wrongly", a, ua, b, ub)
		}
		if got := accounts.NewestFirst(accounts.NewestFirst(ua)); got != ua {
			t.Fatalf("NewestFirst is not its own inverse: %s -> %s", ua, got)
		}
	})
}

func TestIDsAreRefusedPrecisely(t *testing.T) {
	for id, want := range map[string]string{
		"":                      "the account id is empty",
		"a":                     "fewer than 2",
		"Orders":                `begins with 'O'`,
		"1orders":               `begins with '1'`,
		"or_ders":               `has '_' at position 3`,
		"orders-":               "ends in a hyphen",
		strings.Repeat("a", 64): "more than 63",
		"örders":                `begins with 'ö'`,
	} {
		err := accounts.ValidateAccountID(id)
		if err == nil || !strings.Contains(err.Error(), want) || errs.CodeOf(err) != errs.Invalid {
			t.Errorf("ValidateAccountID(%q) = %v, want %q", id, err, want)
		}
	}
	for _, id := range []string{"ab", "orders-2", "a" + strings.Repeat("1", 62)} {
		if err := accounts.ValidateAccountID(id); err != nil {
			t.Errorf("ValidateAccountID(%q) = %v", id, err)
		}
	}
}

func TestSeedNeverShows(t *testing.T) {
	seed, _, _ := mustSeed(t, accounts.NewUserKey)
	secret := string(seed.Reveal())
	asJSON, err := json.Marshal(map[string]any{"seed": seed, "at": &seed})
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "seed", seed)
	shown := []string{string(asJSON), logged.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		shown = append(shown, fmt.Sprintf(verb, seed), fmt.Sprintf(verb, struct{ S accounts.Seed }{seed}))
	}
	for _, s := range shown {
		if strings.Contains(s, secret) || strings.Contains(s, secret[2:20]) || strings.Contains(s, fmt.Sprintf("%x", secret)) || strings.Contains(s, "83 85") {
			t.Errorf("the seed shows in %s", s)
		}
	}
}

func TestPermissionsAreRefusedPrecisely(t *testing.T) {
	for rule, want := range map[string]string{
		"":                        "empty",
		"a..b":                    "empty token",
		"a.>.b":                   "> before its end",
		"a b":                     "has a space",
		"a\tb":                    "control character",
		strings.Repeat("ab", 200): "longer than",
	} {
		p := accounts.Permissions{Publish: accounts.Rules{Allow: []string{"ok", rule}}}
		err := p.Validate("user.permissions")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("publish rule %q: %v, want %q", rule, err, want)
		}
	}
	p := accounts.Permissions{Subscribe: accounts.Rules{Allow: []string{"a.* workers", ">"}}}
	if err := p.Validate("p"); err != nil {
		t.Error(err)
	}
}

func TestReservedTagsAreRefused(t *testing.T) {
	for _, tag := range []string{"covey-limit:x=1", "COVEY-role", " Covey-x"} {
		if accounts.ValidateTags([]string{"fine", tag}) == nil {
			t.Errorf("tag %q is accepted", tag)
		}
	}
}

func TestTTL(t *testing.T) {
	for _, c := range []struct{ asked, def, want time.Duration }{
		{0, 0, accounts.CredentialTTLDefault},
		{0, time.Hour, time.Hour},
		{time.Second, time.Hour, time.Second},
		{accounts.CredentialTTLMax + time.Second, 0, -1},
		{time.Millisecond, 0, -1},
	} {
		got, err := accounts.CredentialTTL(c.asked, c.def)
		if c.want < 0 != (err != nil) || err == nil && got != c.want {
			t.Errorf("CredentialTTL(%v, %v) = %v, %v", c.asked, c.def, got, err)
		}
	}
}

// claimsOf returns the claims of a JWT without what time puts into it.
func claimsOf(tb testing.TB, text string) string {
	tb.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(text, ".")[1])
	if err != nil {
		tb.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(payload, &m); err != nil {
		tb.Fatal(err)
	}
	delete(m, "iat")
	delete(m, "jti")
	out, err := json.Marshal(m)
	if err != nil {
		tb.Fatal(err)
	}
	return string(out)
}

func TestAccountClaimsAreDeterministic(t *testing.T) {
	_, _, operator := mustSeed(t, accounts.NewOperatorKey)
	_, account, _ := mustSeed(t, accounts.NewAccountKey)
	var keys []string
	for range 6 {
		_, k, _ := mustSeed(t, accounts.NewAccountKey)
		keys = append(keys, k)
	}
	rapid.Check(t, func(rt *rapid.T) {
		spec := accounts.AccountSpec{PublicKey: account, Name: "a/b"}
		if rapid.Bool().Draw(rt, "limited") {
			n := rapid.Int64Range(0, 1000).Draw(rt, "n")
			spec.Limits.Connections = &n
		}
		for i, k := range rapid.Permutation(keys).Draw(rt, "keys") {
			spec.Roles = append(spec.Roles, accounts.Role{Name: fmt.Sprint("r", k[:8]), Keys: []string{k}})
			if i > 2 {
				spec.Keys = append(spec.Keys, k)
			}
		}
		for i := range 3 {
			spec.Revocations = spec.Revocations.With(accounts.Revocation{PublicKey: keys[i], At: int64(i + 1)})
		}
		a, err := accounts.SignAccount(spec, operator)
		if err != nil {
			rt.Fatal(err)
		}
		b, err := accounts.SignAccount(spec, operator)
		if err != nil {
			rt.Fatal(err)
		}
		if claimsOf(t, a) != claimsOf(t, b) {
			rt.Fatalf("same spec, different claims:\n%s\n%s", claimsOf(t, a), claimsOf(t, b))
		}
	})
}

func TestRevocationCompactionRefusesTheSameCredentials(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const now = 1_000_000
		type cred struct {
			key     string
			issued  int64
			expires int64
			revoked bool
		}
		n := rapid.IntRange(1, 1200).Draw(t, "credentials")
		var r accounts.Revocations
		creds := make([]cred, 0, n)
		oldestGood := int64(now)
		for i := range n {
			issued := rapid.Int64Range(1, now-10).Draw(t, "issued")
			c := cred{key: fmt.Sprintf("U%05d", i), issued: issued, expires: issued + rapid.Int64Range(1, 2*now).Draw(t, "life"), revoked: rapid.IntRange(0, 9).Draw(t, "revoked") > 0}
			if c.revoked {
				r = r.With(accounts.Revocation{PublicKey: c.key, At: issued + 5, Issued: issued, Until: c.expires})
			} else if c.expires > now {
				oldestGood = min(oldestGood, issued)
			}
			creds = append(creds, c)
		}
		out, hurt := r.Compact(time.Unix(now, 0), oldestGood)
		if hurt {
			t.Fatal("compaction says it refused good credentials")
		}
		if !slices.IsSortedFunc(out.Entries, func(a, b accounts.Revocation) int { return strings.Compare(a.PublicKey, b.PublicKey) }) {
			t.Fatal("entries out of order")
		}
		for _, c := range creds {
			if c.expires > now && out.Revoked(c.key, c.issued) != c.revoked {
				t.Fatalf("credential %+v: refused %v after compaction", c, !c.revoked)
			}
		}
	})
}

func TestRevocationsStayBounded(t *testing.T) {
	var r accounts.Revocations
	for i := range int64(2*accounts.RevocationsMax + 10) {
		r.Entries = append(r.Entries, accounts.Revocation{PublicKey: fmt.Sprintf("U%06d", i), At: i + 100, Issued: i + 100, Until: 60_000})
	}
	out, hurt := r.Compact(time.Unix(50_000, 0), 2)
	if !hurt || len(out.Entries) > accounts.RevocationsMax+10 {
		t.Fatalf("hurt %v, %d entries left", hurt, len(out.Entries))
	}
	for _, e := range r.Entries {
		if !out.Revoked(e.PublicKey, e.Issued) {
			t.Fatalf("%s is good again after folding", e.PublicKey)
		}
	}
	lapsed := out.Lapsed(time.Unix(50_000, 0).Add(accounts.CredentialTTLMax + time.Hour))
	if lapsed.CutOff != 0 {
		t.Error("the cut-off never lapses")
	}
}

func TestScopedUserCarriesNoPermissions(t *testing.T) {
	_, account, key := mustSeed(t, accounts.NewAccountKey)
	_, user, _ := mustSeed(t, accounts.NewUserKey)
	token, err := accounts.SignUser(accounts.UserSpec{PublicKey: user, Name: "u", AccountKey: account, Expires: time.Now().Add(time.Hour)}, key)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := jwt.DecodeUserClaims(token.JWT)
	if err != nil {
		t.Fatal(err)
	}
	if !claims.HasEmptyPermissions() || claims.ID != token.ID || claims.IssuedAt != token.IssuedAt.Unix() {
		t.Errorf("claims %+v, token %+v", claims, token)
	}
}

func TestLargeUserJWTIsRefused(t *testing.T) {
	_, account, key := mustSeed(t, accounts.NewAccountKey)
	_, user, _ := mustSeed(t, accounts.NewUserKey)
	p := accounts.Permissions{}
	for i := range 200 {
		p.Publish.Allow = append(p.Publish.Allow, fmt.Sprintf("orders.region-%d.>", i))
	}
	_, err := accounts.SignUser(accounts.UserSpec{PublicKey: user, AccountKey: account, Permissions: &p}, key)
	if err == nil || !strings.Contains(err.Error(), "more than 3000") {
		t.Errorf("SignUser = %v", err)
	}
}

func TestCredsRoundTrip(t *testing.T) {
	_, account, key := mustSeed(t, accounts.NewAccountKey)
	seed, user, _ := mustSeed(t, accounts.NewUserKey)
	token, err := accounts.SignUser(accounts.UserSpec{PublicKey: user, AccountKey: account}, key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := accounts.FormatCreds(token.JWT, seed)
	if err != nil {
		t.Fatal(err)
	}
	gotJWT, gotSeed, err := accounts.ParseCreds([]byte(text))
	if err != nil || gotJWT != token.JWT || string(gotSeed.Reveal()) != string(seed.Reveal()) {
		t.Errorf("ParseCreds: %v", err)
	}
	if _, _, err := accounts.ParseCreds([]byte("nothing")); errs.CodeOf(err) != errs.Invalid {
		t.Errorf("ParseCreds of nothing = %v", err)
	}
}

func TestDisplayNamesShowWhatTheyAre(t *testing.T) {
	for _, good := range []string{"", "Payments (EU)", "Łódź", "支払い", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\U0001f469\u200d\U0001f4bb team", strings.Repeat("x", 120)} {
		if err := accounts.ValidateDisplayName("display_name", good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"a\x00", "a\nb", "\x1b[2J", "a\u0085", "acme\u200b", "\u202eemca", "a\u2066b", "a\u2028b", "\ufeffacme", "\xff", strings.Repeat("x", 121)} {
		if accounts.ValidateDisplayName("display_name", bad) == nil {
			t.Errorf("%q is a display name", bad)
		}
	}
}
