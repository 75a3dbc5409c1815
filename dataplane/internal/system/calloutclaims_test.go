package system_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// calloutClaims are what the claims that a service issues may say, by the name of who
// asks.
var calloutClaims = map[string]func(u *jwt.UserClaims){ //nolint:gochecknoglobals // constant
	"plain":       func(*jwt.UserClaims) {},
	"nameless":    func(u *jwt.UserClaims) { u.Name = "" },
	"renamed":     func(u *jwt.UserClaims) { u.Name = "somebody else" },
	"like auth":   func(u *jwt.UserClaims) { u.Name = "auth" },
	"inside":      func(u *jwt.UserClaims) { u.Audience = "AUTH" },
	"global":      func(u *jwt.UserClaims) { u.Audience = "$G" },
	"system":      func(u *jwt.UserClaims) { u.Audience = "SYS" },
	"nowhere":     func(u *jwt.UserClaims) { u.Audience = "" },
	"websocket":   func(u *jwt.UserClaims) { u.AllowedConnectionTypes = jwt.StringList{jwt.ConnectionTypeWebsocket} },
	"unknownKind": func(u *jwt.UserClaims) { u.AllowedConnectionTypes = jwt.StringList{"PIGEON"} },
	"bothKinds":   func(u *jwt.UserClaims) { u.AllowedConnectionTypes = jwt.StringList{"PIGEON", "standard"} },
	"notYet":      func(u *jwt.UserClaims) { u.NotBefore = time.Now().Add(time.Hour).Unix() },
	"hour":        func(u *jwt.UserClaims) { u.Expires = time.Now().Add(time.Hour).Unix() },
	"night":       func(u *jwt.UserClaims) { u.Times = []jwt.TimeRange{aroundNow(2*time.Hour, 3*time.Hour)} },
	"day":         func(u *jwt.UserClaims) { u.Times = []jwt.TimeRange{aroundNow(-time.Hour, time.Hour)} },
	"badTimes":    func(u *jwt.UserClaims) { u.Times = []jwt.TimeRange{{Start: "nine", End: "five"}} },
	"badSource":   func(u *jwt.UserClaims) { u.Src.Add("nonsense") },
	"badSubject":  func(u *jwt.UserClaims) { u.Permissions.Pub.Deny.Add("a..b") },
	"bearer":      func(u *jwt.UserClaims) { u.BearerToken = true },
	"tagged":      func(u *jwt.UserClaims) { u.Tags.Add("a:b", "c") },
	"answers": func(u *jwt.UserClaims) {
		u.Permissions.Pub.Allow.Add("$SYS.REQ.USER.INFO")
		u.Resp = &jwt.ResponsePermission{MaxMsgs: 2, Expires: time.Second}
	},
	"denied": func(u *jwt.UserClaims) {
		u.Permissions.Pub.Deny.Add("secret.>")
		u.Permissions.Sub.Allow.Add("_INBOX.>", "work queue")
	},
}

var issuer = regexp.MustCompile(`,"(issuer_key":"[A-Z$]*"|tags":\[[^]]*\])`)

// aroundNow is a time of day between two moments from now.
func aroundNow(from, to time.Duration) jwt.TimeRange {
	now := time.Now()
	return jwt.TimeRange{Start: now.Add(from).Format(time.TimeOnly), End: now.Add(to).Format(time.TimeOnly)}
}

// The claims that a service issues count as with nats-server: who is admitted, as whom,
// into which account, and with what rules.
func TestWhatAServiceSaysCountsAsWithNatsServers(t *testing.T) {
	d := newDecider(t, false)
	told := make(map[string][2]string)
	for i, s := range []*subject{stock(t, d.conf("")), ours(t, d.conf(""))} {
		d.serve(s.as(t, "auth"), func(r *jwt.AuthorizationRequestClaims, u *jwt.UserClaims, _ *jwt.AuthorizationResponseClaims) nkeys.KeyPair {
			u.Name, u.Audience = r.ConnectOptions.Username, "APP"
			if change := calloutClaims[u.Name]; change != nil {
				change(u)
			}
			return d.signer
		})
		sys := s.as(t, "sys")
		for name := range calloutClaims {
			both := told[name]
			nc, err := nats.Connect(s.url, nats.UserInfo(name, name), nats.Name(name))
			if err != nil {
				both[i] = "not admitted"
				told[name] = both
				continue
			}
			cid, err := nc.GetClientID()
			must(t, err)
			info := ask(t, nc, "$SYS.REQ.USER.INFO", "")
			// Stock has the account's name for the key of an issuer, and no tags.
			connz := issuer.ReplaceAllString(ask(t, sys, "$SYS.REQ.SERVER.PING.CONNZ", fmt.Sprintf(`{"auth":true,"cid":%d}`, cid)), "")
			both[i] = fmt.Sprintf(`{"info":%s,"connz":%s}`, info, connz)
			told[name] = both
			nc.Close()
		}
	}
	for name, both := range told {
		if strings.HasPrefix(both[0], "{") != strings.HasPrefix(both[1], "{") {
			t.Errorf("%s: nats-server: %.300s, ours: %.300s", name, both[0], both[1])
			continue
		}
		same(t, name, both[0], both[1])
	}
}
