package accounts_test

import (
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/coveymq/covey/accounts"
)

func TestParseQuota(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       accounts.Quota
		text2      string // of the result
	}{
		{accounts.MessagesIn, "1000", accounts.Quota{Amount: 1000, Burst: 1000, Policy: accounts.Slow}, "1000/1000/slow"},
		{accounts.MessagesIn, "1000/5/refuse", accounts.Quota{Amount: 1000, Burst: 5, Policy: accounts.Refuse}, "1000/5/refuse"},
		{accounts.BytesOut, "7//close", accounts.Quota{Amount: 7, Burst: 7, Policy: accounts.Close}, "7/7/close"},
		{accounts.Connects, "10", accounts.Quota{Amount: 10, Burst: 10, Policy: accounts.Refuse}, "10/10/refuse"},
		{accounts.Subscriptions, "0", accounts.Quota{Policy: accounts.Refuse}, "0//refuse"},
		{accounts.PendingBytes, "1048576//drop", accounts.Quota{Amount: 1 << 20, Policy: accounts.Drop}, "1048576//drop"},
		{accounts.Weight, "10", accounts.Quota{Amount: 10}, "10"},
	} {
		got, err := accounts.ParseQuota(c.name, c.text)
		if err != nil || got != c.want || got.String() != c.text2 {
			t.Errorf("%s=%s: %+v %v, as text %s; want %+v", c.name, c.text, got, err, got.String(), c.want)
		}
	}
}

func TestParseQuotaRefuses(t *testing.T) {
	for _, c := range [][2]string{
		{"messages", "1"},
		{"", "1"},
		{accounts.MessagesIn, ""},
		{accounts.MessagesIn, "0"},
		{accounts.MessagesIn, "-1"},
		{accounts.MessagesIn, "x"},
		{accounts.MessagesIn, "1/0"},
		{accounts.MessagesIn, "1/-1"},
		{accounts.MessagesIn, "1/2/drop"},
		{accounts.MessagesIn, "1/2/slow/x"},
		{accounts.MessagesIn, "20000000001"},
		{accounts.MessagesIn, "1/20000000001"},
		{accounts.MessagesIn, "99999999999999999999"},
		{accounts.Connects, "1/1/close"},
		{accounts.Subscriptions, "5/5"},
		{accounts.MonthlyBytes, "5//slow"},
		{accounts.PendingBytes, "0"},
		{accounts.Weight, "0"},
		{accounts.Weight, "1001"},
		{accounts.Weight, "5//slow"},
	} {
		if q, err := accounts.ParseQuota(c[0], c[1]); err == nil {
			t.Errorf("%s=%s was taken as %+v", c[0], c[1], q)
		}
	}
}

// TestQuotaTags takes quotas through the tags of a claim and back.
func TestQuotaTags(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		own, role := drawQuotas(rt, false), drawQuotas(rt, true)
		tags := append(accounts.QuotaTags(own), accounts.RoleQuotaTags("Read:Only", role)...)
		got, err := accounts.ParseQuotaTags(append(tags, "team:red"))
		if err != nil {
			rt.Fatal(err)
		}
		if !got.Own.Equal(own) || !got.Role("READ:only").Equal(role) {
			rt.Fatalf("%v became %+v", tags, got)
		}
		if err := accounts.ValidateTags(tags); len(tags) > 0 && err == nil {
			rt.Fatalf("a tenant may set %v", tags)
		}
	})
}

func drawQuotas(rt *rapid.T, users bool) accounts.Quotas {
	all := accounts.Quotas{}
	for _, k := range accounts.QuotaKinds() {
		if users && !k.Users || !rapid.Bool().Draw(rt, k.Name) {
			continue
		}
		q := accounts.Quota{Amount: rapid.Int64Range(1, k.Most).Draw(rt, "amount")}
		if k.Rate {
			q.Burst = rapid.Int64Range(0, k.Most).Draw(rt, "burst")
		}
		if len(k.Policies) > 0 {
			q.Policy = rapid.SampledFrom(k.Policies).Draw(rt, "policy")
		}
		q, err := accounts.NewQuota(k.Name, q)
		if err != nil {
			rt.Fatal(err)
		}
		all[k.Name] = q
	}
	return all
}

func TestQuotaTagsRefuses(t *testing.T) {
	for _, tag := range []string{
		"covey-limit:", "covey-limit:msgs-in", "covey-limit:nothing=1", "covey-limit:msgs-in=1/2/drop", "covey-other:x=1",
		"covey-role:msgs-in=1", "covey-role::msgs-in=1", "covey-role:r:weight=1", "covey-role:r:data=1", "COVEY-limit:x=1",
	} {
		if got, err := accounts.ParseQuotaTags([]string{tag}); err == nil {
			t.Errorf("%q was taken as %+v", tag, got)
		}
	}
	if _, err := accounts.ParseQuotaTags([]string{"covey-limit:weight=1", "covey-limit:weight=2"}); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("a limit that is stated twice: %v", err)
	}
	for _, tag := range []string{"covey-limit:weight=1", "covey-role:r:msgs-in=1"} {
		if got, err := accounts.ParseUserQuotaTags([]string{tag}); err == nil {
			t.Errorf("a user's %q was taken as %+v", tag, got)
		}
	}
}

// TestQuotasLower checks that who may only lower cannot raise or soften.
func TestQuotasLower(t *testing.T) {
	role := accounts.Quotas{
		accounts.MessagesIn: {Amount: 100, Burst: 10, Policy: accounts.Refuse},
		accounts.Connects:   {Amount: 5, Burst: 5, Policy: accounts.Refuse},
	}
	got := role.Lower(accounts.Quotas{
		accounts.MessagesIn: {Amount: 50, Burst: 1000, Policy: accounts.Slow},
		accounts.Connects:   {Amount: 9, Burst: 9, Policy: accounts.Slow},
		accounts.BytesIn:    {Amount: 1, Burst: 1, Policy: accounts.Close},
	})
	want := accounts.Quotas{
		accounts.MessagesIn: {Amount: 50, Burst: 10, Policy: accounts.Refuse},
		accounts.Connects:   {Amount: 5, Burst: 5, Policy: accounts.Refuse},
		accounts.BytesIn:    {Amount: 1, Burst: 1, Policy: accounts.Close},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
