package system_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// What clients of every account may ask is answered as by nats-server.
func TestTenantsRequestsAreAnsweredLikeNatsServers(t *testing.T) {
	theirs, our := stock(t, basic), ours(t, basic)
	for _, user := range []string{"app", "limited"} {
		their, mine := theirs.as(t, user, nats.Name("tenant")), our.as(t, user, nats.Name("tenant"))
		for _, r := range []struct{ subject, body string }{
			{"$SYS.REQ.USER.INFO", ""},
			{"$SYS.REQ.ACCOUNT.PING.CONNZ", ""},
			{"$SYS.REQ.ACCOUNT.PING.CONNZ", `{"auth":true,"subscriptions":true}`},
			{"$SYS.REQ.ACCOUNT.PING.CONNZ", `{"acc":"SYS","auth":true}`},
			{"$SYS.REQ.SERVER.PING.CONNZ", `{"sort":"nonsense"}`},
			{"$SYS.REQ.ACCOUNT.PING.STATZ", ""},
			{"$SYS.REQ.ACCOUNT.PING.STATZ", `{"accounts":["SYS"],"include_unused":true}`},
			{"$SYS.REQ.ACCOUNT.PING.NONSENSE", ""},
			{"$SYS.REQ.SERVER.PING", ""},
			{"$SYS.REQ.SERVER.PING.VARZ", ""},
			{"$SYS.REQ.ACCOUNT.SYS.CONNZ", ""},
			{"$SYS.REQ.SERVER.ID.KICK", `{"cid":1}`},
			{"$SYS.DEBUG.SUBSCRIBERS", "foo"},
			{"$SYS.REQ.CLAIMS.LIST", ""},
		} {
			if user == "limited" && r.subject != "$SYS.REQ.USER.INFO" {
				continue
			}
			name := user + " " + r.subject + " " + r.body
			want := ask(t, their, strings.ReplaceAll(r.subject, "ID", theirs.id), r.body)
			got := ask(t, mine, strings.ReplaceAll(r.subject, "ID", our.id), r.body)
			compare(t, name, want, got)
		}
	}
}

// A tenant hears of its own account and of nothing else.
func TestTenantsSeeTheirOwn(t *testing.T) {
	s := ours(t, basic)
	app := s.as(t, "app", nats.Name("mine"))
	s.as(t, "sys", nats.Name("theirs"))
	for _, body := range []string{"", `{"acc":"SYS"}`, `{"state":2}`, `{"acc":""}`} {
		if got := ask(t, app, "$SYS.REQ.ACCOUNT.PING.CONNZ", body); strings.Contains(got, "theirs") || !strings.Contains(got, `"mine"`) {
			t.Errorf("with %q a tenant sees %s", body, got)
		}
	}
	var stat struct{ Data server.AccountStatz }
	must(t, json.Unmarshal([]byte(ask(t, app, "$SYS.REQ.ACCOUNT.PING.STATZ", `{"accounts":["SYS"]}`)), &stat))
	if len(stat.Data.Accounts) != 1 || stat.Data.Accounts[0].Account != "APP" || stat.Data.Accounts[0].Conns != 1 {
		t.Errorf("a tenant sees %+v", stat.Data.Accounts)
	}
	var info struct{ Data server.UserInfo }
	must(t, json.Unmarshal([]byte(ask(t, s.as(t, "limited"), "$SYS.REQ.USER.INFO", "")), &info))
	p := info.Data.Permissions
	if info.Data.UserID != "limited" || p == nil || strings.Join(p.Publish.Allow, ",") != "foo,$SYS.REQ.USER.INFO" ||
		strings.Join(p.Subscribe.Allow, ",") != "_INBOX.>,bar q" || p.Response == nil || p.Response.MaxMsgs != 1 {
		t.Errorf("a user is told it is %+v", info.Data)
	}
	// Both the broker and a client that serves the subject get the request.
	served := make(chan string, 1)
	_, err := app.Subscribe("$SYS.REQ.USER.INFO", func(m *nats.Msg) { served <- m.Subject })
	must(t, err)
	ask(t, app, "$SYS.REQ.USER.INFO", "")
	<-served
}

// Answers come compressed to those who ask for that.
func TestCompressedAnswers(t *testing.T) {
	for _, s := range []*subject{stock(t, basic), ours(t, basic)} {
		sys := s.as(t, "sys")
		for accept, want := range map[string]string{"": "", "gzip": "gzip", "s2": "snappy", "gzip, Snappy": "snappy", "br": "identity"} {
			for _, body := range []string{"", `{"sort":"nonsense"}`} {
				m := &nats.Msg{Subject: "$SYS.REQ.SERVER.PING.CONNZ", Header: nats.Header{}, Data: []byte(body)}
				if accept != "" {
					m.Header.Set("Accept-Encoding", accept)
				}
				r, err := sys.RequestMsg(m, patience)
				must(t, err)
				encoding := want
				if body != "" {
					encoding = "" // errors are short
				}
				if got := r.Header.Get("Content-Encoding"); got != encoding {
					t.Errorf("%s sends %q who accepts %q as %q, not %q", s.name, body, accept, got, encoding)
				}
				var in io.Reader = bytes.NewReader(r.Data)
				switch encoding {
				case "gzip":
					in, err = gzip.NewReader(in)
					must(t, err)
				case "snappy":
					in = s2.NewReader(in)
				}
				b, err := io.ReadAll(in)
				must(t, err)
				if !json.Valid(b) {
					t.Errorf("%s: %q: %s", s.name, accept, b)
				}
			}
		}
	}
}

func TestKickAndLameDuck(t *testing.T) {
	for _, s := range []*subject{stock(t, basic), ours(t, basic)} {
		sys := s.as(t, "sys")
		told, gone := make(chan bool, 1), make(chan bool, 1)
		app := s.as(t, "app", nats.NoReconnect(), nats.LameDuckModeHandler(func(*nats.Conn) { told <- true }), nats.ClosedHandler(func(*nats.Conn) { gone <- true }))
		id, err := app.GetClientID()
		must(t, err)
		body, err := json.Marshal(server.KickClientReq{CID: id})
		must(t, err)
		// The client may know of its first PONG before the broker knows that it does,
		// and before that it cannot be told of anything.
		eventually(t, "the client can be told", func() bool {
			return faultOf(ask(t, sys, "$SYS.REQ.SERVER."+s.id+".LDM", string(body))) == ""
		})
		<-told
		if got := ask(t, sys, "$SYS.REQ.SERVER."+s.id+".KICK", string(body)); faultOf(got) != "" {
			t.Errorf("%s: %s", s.name, got)
		}
		<-gone
		eventually(t, "the reason is shown", func() bool {
			return strings.Contains(ask(t, sys, "$SYS.REQ.SERVER.PING.CONNZ", `{"state":1}`), `"reason":"Kicked"`)
		})
	}
}

func TestSubscribersAreCounted(t *testing.T) {
	for _, s := range []*subject{stock(t, basic), ours(t, basic)} {
		sys := s.as(t, "sys")
		for _, sub := range [][2]string{{"a.b"}, {"a.*"}, {"a.>", "q"}, {"a.>", "q"}, {"c"}} {
			_, err := sys.QueueSubscribeSync(sub[0], sub[1])
			must(t, err)
		}
		must(t, sys.Flush())
		for want, bodies := range map[string][]string{"4": {"a.b"}, "2": {"a.b q", "a.> q"}, "0": {"x", "a.b p", ""}, "1": {"c"}} {
			for _, body := range bodies {
				if got := ask(t, sys, "$SYS.DEBUG.SUBSCRIBERS", body); got != want {
					t.Errorf("%s counts %s of %q, want %s", s.name, got, body, want)
				}
			}
		}
	}
}
