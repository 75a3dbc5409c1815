package e2e_test

import (
	"strings"
	"testing"
	"time"
)

// The list of credentials says which of them are in use, by the clock, as a table and
// as JSON.
func TestTheListOfCredentialsSaysWhichAreInUse(t *testing.T) {
	h := newHome(t)
	b := h.up(anyPorts()...)
	who := h.signUp("acme")
	h.covey("creds", "issue", "--out", h.dir+"/unused.creds")
	from := time.Now().Truncate(time.Second)
	nc := b.connect(who.CredsFile)
	flush(t, nc)
	var listed struct {
		Credentials []struct {
			Name         string    `json:"name"`
			LastSeenTime time.Time `json:"last_seen_time"`
		} `json:"credentials"`
	}
	used := func() (names []string) {
		h.coveyJSON(&listed, "creds", "list")
		for _, c := range listed.Credentials {
			if !c.LastSeenTime.IsZero() {
				names = append(names, c.Name)
				if c.LastSeenTime.Before(from) || c.LastSeenTime.After(time.Now()) {
					t.Fatalf("last seen at %v, used after %v", c.LastSeenTime, from)
				}
			}
		}
		return names
	}
	eventually(t, "one credential is seen", func() bool { return len(used()) == 1 })
	if len(listed.Credentials) != 2 {
		t.Fatalf("credentials: %+v", listed.Credentials)
	}
	if table := h.covey("creds", "list"); strings.Count(table, "never") != 1 || !strings.Contains(table, "LAST SEEN") {
		t.Errorf("table:\n%s", table)
	}
	shown := h.covey("creds", "show", used()[0])
	if !strings.Contains(shown, "last seen:") || strings.Contains(shown, "never") {
		t.Errorf("shown:\n%s", shown)
	}
}
