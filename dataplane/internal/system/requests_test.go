package system_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
)

// requests are what is asked of both servers as the system account's user. ID
// stands for the server, CID for the tenant's connection.
var requests = []struct{ subject, body string }{
	{"$SYS.REQ.SERVER.PING", ""},
	{"$SYS.REQ.SERVER.PING.STATZ", ""},
	{"$SYS.REQ.SERVER.PING.STATSZ", ""},
	{"$SYS.REQ.SERVER.PING.STATSZ", `{"server_name":"one"}`},
	{"$SYS.REQ.SERVER.PING.STATSZ", `x`},
	{"$SYS.REQ.SERVER.ID.STATSZ", ""},
	{"$SYS.REQ.SERVER.PING.IDZ", ""},
	{"$SYS.REQ.SERVER.ID.IDZ", ""},
	{"$SYS.REQ.SERVER.ID.VARZ", ""},
	{"$SYS.REQ.SERVER.PING.VARZ", `{"server_name":"on"}`},
	{"$SYS.REQ.SERVER.PING.VARZ", `{"server_name":"one","exact_match":true,"host":"127.0.0.1"}`},
	{"$SYS.REQ.SERVER.PING.VARZ", `{"server_name":7}`},
	{"$SYS.REQ.SERVER.PING.VARZ", `{"tags":["A "," b"]}`},
	{"$SYS.REQ.SERVER.ID.CONNZ", ""},
	{"$SYS.REQ.SERVER.ID.CONNZ", `{"auth":true,"subscriptions":true}`},
	{"$SYS.REQ.SERVER.ID.CONNZ", `{"subscriptions_detail":true,"acc":"APP","sort":"bytes_to","limit":1,"offset":0}`},
	{"$SYS.REQ.SERVER.ID.CONNZ", `{"cid":CID,"state":0}`},
	{"$SYS.REQ.SERVER.ID.CONNZ", `{"state":2,"sort":"stop"}`},
	{"$SYS.REQ.SERVER.ID.CONNZ", `{"sort":"nonsense"}`},
	{"$SYS.REQ.SERVER.ID.CONNZ", `{"limit":"x"}`},
	{"$SYS.REQ.SERVER.ID.CONNZ", `{"acc":"APP","filter_subject":"foo"}`},
	{"$SYS.REQ.SERVER.ID.CONNZ", `{"filter_subject":"foo"}`},
	{"$SYS.REQ.SERVER.ID.SUBSZ", ""},
	{"$SYS.REQ.SERVER.ID.SUBSZ", `{"subscriptions":true,"account":"APP"}`},
	{"$SYS.REQ.SERVER.ID.SUBSZ", `{"test":"foo.*"}`},
	{"$SYS.REQ.SERVER.ID.ROUTEZ", ""},
	{"$SYS.REQ.SERVER.ID.GATEWAYZ", ""},
	{"$SYS.REQ.SERVER.ID.LEAFZ", ""},
	{"$SYS.REQ.SERVER.ID.ACCOUNTZ", ""},
	{"$SYS.REQ.SERVER.ID.ACCOUNTZ", `{"account":"APP"}`},
	{"$SYS.REQ.SERVER.ID.ACCOUNTZ", `{"account":"nobody"}`},
	{"$SYS.REQ.SERVER.ID.JSZ", ""},
	{"$SYS.REQ.SERVER.ID.HEALTHZ", ""},
	{"$SYS.REQ.SERVER.ID.HEALTHZ", `{"stream":"s","details":true}`},
	{"$SYS.REQ.SERVER.ID.EXPVARZ", ""},
	{"$SYS.REQ.SERVER.ID.IPQUEUESZ", `{"filter":"nothing"}`},
	{"$SYS.REQ.SERVER.ID.RAFTZ", ""},
	{"$SYS.REQ.SERVER.ID.PROFILEZ", `{"name":"goroutine","debug":1}`},
	{"$SYS.REQ.SERVER.ID.PROFILEZ", `{"name":"nonsense"}`},
	{"$SYS.REQ.SERVER.ID.PROFILEZ", `{"name":"cpu"}`},
	{"$SYS.REQ.SERVER.ID.PROFILEZ", ""},
	{"$SYS.REQ.SERVER.ID.NONSENSE", ""},
	{"$SYS.REQ.SERVER.PING.NONSENSE", ""},
	{"$SYS.REQ.SERVER.OTHER.VARZ", ""},
	{"$SYS.REQ.ACCOUNT.APP.CONNZ", ""},
	{"$SYS.REQ.ACCOUNT.APP.CONNZ", `{"auth":true}`},
	{"$SYS.REQ.ACCOUNT.APP.SUBSZ", ""},
	{"$SYS.REQ.ACCOUNT.APP.LEAFZ", ""},
	{"$SYS.REQ.ACCOUNT.APP.JSZ", ""},
	{"$SYS.REQ.ACCOUNT.APP.INFO", ""},
	{"$SYS.REQ.ACCOUNT.nobody.INFO", ""},
	{"$SYS.REQ.ACCOUNT.APP.STATZ", ""},
	{"$SYS.REQ.ACCOUNT.nobody.STATZ", `{"include_unused":true}`},
	{"$SYS.REQ.ACCOUNT.PING.STATZ", ""},
	{"$SYS.REQ.ACCOUNT.PING.STATZ", `{"accounts":["APP"],"include_unused":true}`},
	{"$SYS.REQ.ACCOUNT.APP.CONNS", ""},
	{"$SYS.REQ.ACCOUNT.NSUBS", `{"acc":"APP","subject":"foo"}`},
	{"$SYS.DEBUG.SUBSCRIBERS", "foo"},
	{"$SYS.REQ.USER.INFO", ""},
	{"$SYS.REQ.SERVER.ID.RELOAD", ""},
	{"$SYS.REQ.SERVER.ID.KICK", `{"cid":999999}`},
	{"$SYS.REQ.SERVER.ID.LDM", `{"cid":999999}`},
	{"$SYS.REQ.SERVER.ID.LDM", `{"cid":CID}`},
}

// prepared is a server with a tenant's connection, and what to ask it by.
func prepared(t *testing.T, s *subject) (sys *nats.Conn, fill func(string) string) {
	t.Helper()
	sys = s.as(t, "sys")
	app := s.as(t, "app", nats.Name("tenant"))
	_, err := app.QueueSubscribe("foo", "q", func(*nats.Msg) {})
	must(t, err)
	_, err = app.Subscribe("foo.>", func(*nats.Msg) {})
	must(t, err)
	must(t, app.Publish("foo", []byte("hello")))
	must(t, app.Flush())
	cid, err := app.GetClientID()
	must(t, err)
	return sys, strings.NewReplacer(".ID.", "."+s.id+".", ":CID", ":"+strconv.FormatUint(cid, 10)).Replace
}

func TestRequestsAreAnsweredLikeNatsServers(t *testing.T) {
	theirs, our := stock(t, basic), ours(t, basic)
	theirSys, theirFill := prepared(t, theirs)
	ourSys, ourFill := prepared(t, our)
	for _, r := range requests {
		want := ask(t, theirSys, theirFill(r.subject), theirFill(r.body))
		got := ask(t, ourSys, ourFill(r.subject), ourFill(r.body))
		name := r.subject + " " + r.body
		t.Run(name, func(t *testing.T) {
			compare(t, name, want, got)
			if w, g := faultOf(want), faultOf(got); w != g && !strings.Contains(w, "cannot unmarshal") && !strings.Contains(w, "config reload") {
				t.Errorf("the error is %s, in nats-server %s", g, w)
			}
		})
	}
}

// faultOf returns the error in an answer.
func faultOf(text string) string {
	var r struct{ Error json.RawMessage }
	if json.Unmarshal([]byte(text), &r) != nil {
		return text
	}
	return string(r.Error)
}

// What is for other servers is not answered.
func TestRequestsForOthers(t *testing.T) {
	s := ours(t, basic)
	sys := s.as(t, "sys")
	for subj, bodies := range map[string][]string{
		"$SYS.REQ.SERVER.PING.CONNZ": {
			`{"server_name":"two"}`, `{"server_name":"on","exact_match":true}`, `{"host":"x"}`, `{"cluster":"west"}`, `{"tags":["a","c"]}`, `{"domain":"d"}`,
		},
		"$SYS.REQ.SERVER.PING":          {`{"server_name":"two"}`},
		"$SYS.REQ.SERVER.PING.JSZ":      {`{"leader_only":true}`},
		"$SYS.REQ.ACCOUNT.PING.STATZ":   {`{"accounts":["APP"]}`},
		"$SYS.REQ.ACCOUNT.nobody.STATZ": {``},
		"$SYS.REQ.ACCOUNT.nobody.CONNS": {``},
		"$SYS.REQ.ACCOUNT.NSUBS":        {`{"acc":"nobody","subject":"foo"}`, `x`},
	} {
		for _, body := range bodies {
			silent(t, sys, subj, body)
		}
	}
}
