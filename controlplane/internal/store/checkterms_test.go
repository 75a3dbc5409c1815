package store_test

import (
	"strings"
	"testing"

	"github.com/coveymq/covey/controlplane/internal/store"
)

// What an organization says that is given out is what its accounts have, or the
// copy is not good.
func TestWhatIsGivenOutIsChecked(t *testing.T) {
	const (
		account = `{"v":7,"id":"a","public_key":"A","limits":{"connections":3}}`
		terms   = `{"v":7,"plan":"p","generation":1,"terms":{"totals":{"connections":9},"account":{"connections":2}},"allocated":{"connections":5},"assign_time":"2026-01-01T00:00:00Z"}`
	)
	for name, test := range map[string]struct {
		records [][2]string
		want    string // in an error; "" is none, before what only the whole tells
		whole   string
	}{
		"good":        {records: [][2]string{{"org/acme/account/a", account}, {"org/acme/account/b", `{"v":7,"id":"b","limits":{}}`}, {"org/acme/self", "{}"}, {"org/acme/terms", terms}, {"org/globex/self", "{}"}, {"org/globex/terms", `{"v":7,"plan":"p","generation":1,"assign_time":"2026-01-01T00:00:00Z"}`}}},
		"more":        {records: [][2]string{{"org/acme/account/a", account}, {"org/acme/self", "{}"}, {"org/acme/terms", terms}}, want: "accounts have 3 connections"},
		"of another":  {records: [][2]string{{"org/abc/account/a", account}, {"org/acme/account/b", account}, {"org/acme/terms", terms}}, want: "accounts have 3 connections"},
		"on no plan":  {records: [][2]string{{"org/acme/self", "{}"}, {"sys/installation", "{}"}, {"sys/schema", `{"v":7,"version":7}`}}, whole: "organization acme is on no plan"},
		"before that": {records: [][2]string{{"org/acme/self", "{}"}, {"sys/installation", "{}"}, {"sys/schema", `{"v":6,"version":6}`}}},
	} {
		c := store.NewChecker()
		var err error
		for _, r := range test.records {
			if err == nil {
				err = c.Add("/covey/v1/"+r[0], r[1])
			}
		}
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
		if err := c.Finish(); err == nil && test.whole != "" || test.whole != "" && !strings.Contains(err.Error(), test.whole) || err != nil && strings.Contains(err.Error(), "plan") && test.whole == "" {
			t.Errorf("%s: %v, want %q", name, err, test.whole)
		}
	}
}
