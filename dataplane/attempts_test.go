package dataplane_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/coveymq/covey/test/conformance/proc"
)

// userKey is a user's key whose seed everybody knows.
func userKey(t *testing.T, b byte) (nkeys.KeyPair, string) {
	t.Helper()
	kp, err := nkeys.FromRawSeed(nkeys.PrefixByteUser, []byte(strings.Repeat(string(rune(b)), 32)))
	must(t, err)
	pub, err := kp.PublicKey()
	must(t, err)
	return kp, pub
}

// attempt is one way to connect.
type attempt struct {
	name    string
	connect string // the members of CONNECT; empty to send none
	signer  nkeys.KeyPair
	before  string // what is sent before CONNECT
}

// converse returns what a server says to an attempt, with what differs each
// time left out.
func converse(t *testing.T, addr string, a attempt) string {
	t.Helper()
	var d net.Dialer
	nc, err := d.DialContext(t.Context(), "tcp", addr)
	must(t, err)
	defer func() { _ = nc.Close() }()
	must(t, nc.SetDeadline(time.Now().Add(time.Minute)))
	r := bufio.NewReader(nc)
	line, err := r.ReadString('\n')
	must(t, err)
	var info struct {
		Nonce        string
		AuthRequired bool `json:"auth_required"`
	}
	must(t, json.Unmarshal([]byte(strings.TrimPrefix(line, "INFO ")), &info))
	said := []string{fmt.Sprintf("INFO auth_required=%v nonce=%v", info.AuthRequired, info.Nonce != "")}
	connect := a.connect
	if a.signer != nil {
		sig, err := a.signer.Sign([]byte(info.Nonce))
		must(t, err)
		connect += `,"sig":"` + base64.RawURLEncoding.EncodeToString(sig) + `"`
	}
	text := a.before
	if a.connect != "" {
		text += `CONNECT {"verbose":false,` + connect + "}\r\n"
	}
	_, err = nc.Write([]byte(text + "PING\r\n"))
	must(t, err)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return strings.Join(append(said, "closed"), "\n")
		}
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "INFO") && line != "PING" { // which comes when two seconds have gone by
			said = append(said, line)
		}
		if line == "PONG" {
			return strings.Join(said, "\n")
		}
	}
}

// The same attempts get the same answers from stock nats-server and from us.
func TestAttemptsToConnectEndAsWithNatsServer(t *testing.T) {
	if testing.Short() {
		t.Skip("runs stock nats-server")
	}
	judge, err := proc.Judge(t.Context(), "")
	must(t, err)
	key, pub := userKey(t, 'a')
	other, otherPub := userKey(t, 'b')
	const hash = "$2a$04$dDdRXdTNDpxV0vADzrYQoO/BFzZwVHwTMK8.ehCr9XOvR7mIsSTnK" // of nothing that is tried
	attempts := []attempt{
		{name: "nothing", connect: `"lang":"x"`},
		{name: "no CONNECT"},
		{name: "SUB before CONNECT", before: "SUB x 1\r\n", connect: `"user":"a","pass":"pa"`},
		{name: "a", connect: `"user":"a","pass":"pa"`},
		{name: "a, wrong password", connect: `"user":"a","pass":"pb"`},
		{name: "a, no password", connect: `"user":"a"`},
		{name: "b", connect: `"user":"b","pass":"pb"`},
		{name: "b, the hash as password", connect: `"user":"h","pass":"` + hash + `"`},
		{name: "nobody", connect: `"user":"zz","pass":"pa"`},
		{name: "token", connect: `"auth_token":"pa"`},
		{name: "wrong token", connect: `"auth_token":"xx"`},
		{name: "password alone", connect: `"pass":"pa"`},
		{name: "key", connect: `"nkey":"` + pub + `"`, signer: key},
		{name: "key, not signed", connect: `"nkey":"` + pub + `"`},
		{name: "key, signed by another", connect: `"nkey":"` + pub + `"`, signer: other},
		{name: "unknown key", connect: `"nkey":"` + otherPub + `"`, signer: other},
		{name: "key and password", connect: `"user":"a","pass":"pa","nkey":"` + pub + `"`, signer: key},
		{name: "account by name", connect: `"user":"a","pass":"pa","account":"X"`},
		{name: "a user of a kind", connect: `"user":"k","pass":"k"`},
		{name: "JWT", connect: `"jwt":"eyJ","sig":"x"`},
	}
	for _, conf := range []string{
		"",
		"authorization { token: pa }",
		"authorization { token: " + hash + " }",
		"authorization { user: a, password: pa }",
		"authorization { user: a }",
		"authorization { users: [ {user: a, password: pa}, {user: b, password: pb}, {user: h, password: " + hash + "}, {user: k, password: k, allowed_connection_types: [WEBSOCKET]} ] }",
		"authorization { users: [ {nkey: " + pub + "} ] }",
		"authorization { users: [ {nkey: " + pub + "}, {user: a, password: pa} ] }",
		"authorization { users: [ {user: a, password: pa}, {user: b, password: pb} ] }, no_auth_user: b",
		"authorization { users: [ {user: a, password: pa}, {nkey: " + pub + "} ] }, no_auth_user: " + pub,
		"authorization { users: [ {user: a, password: pa}, {nkey: " + pub + "} ] }, no_auth_user: a",
		"accounts { X { users: [ {user: a, password: pa} ] }, Y { users: [ {nkey: " + pub + "} ] } }",
		"accounts { X { users: [ {user: a, password: pa} ] } }, no_auth_user: a",
		"accounts { SYS { users: [ {user: a, password: pa} ] } }, system_account: SYS",
		"accounts { $SYS { users: [ {user: a, password: pa} ] } }",
		"accounts { $SYS { users: [ {user: a, password: pa} ] } }, authorization {}",
		"accounts { X {} }",
		"accounts { X { users: [ {user: a, password: pa} ], limits: { max_conn: 0 } } }",
	} {
		t.Run(conf, func(t *testing.T) {
			stock, err := proc.Start(t.Context(), proc.Options{Path: judge, Config: conf, Dir: t.TempDir()})
			must(t, err)
			defer stock.Stop()
			ours := launch(t, conf)
			for _, a := range attempts {
				want, got := converse(t, stock.Addr, a), converse(t, strings.TrimPrefix(ours.url, "nats://"), a)
				if got != want {
					t.Errorf("%s\nstock: %q\nours:  %q", a.name, want, got)
				}
			}
		})
	}
}

// Where stock nats-server reads an empty list as no list at all, and lets
// everybody do everything, we take it at its word.
func TestAnEmptyListIsNotEverybody(t *testing.T) {
	p := launch(t, "authorization { users: [] }")
	if err := p.try(); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("with no users: %v", err)
	}
	p.reload(t, `authorization { users: [ {user: a, password: a, permissions: { publish: { allow: [] }, subscribe: { allow: [] } } } ] }`,
		"Reloaded server configuration")
	nc, err := natsConnect(p.url, nats.UserInfo("a", "a"))
	must(t, err)
	defer nc.Close()
	sub, err := nc.SubscribeSync("x")
	must(t, err)
	must(t, nc.Publish("x", nil))
	must(t, nc.Flush())
	eventually(t, "both refusals", func() bool { return strings.Contains(fmt.Sprint(nc.LastError()), "Permissions Violation for Publish") })
	if m, err := sub.NextMsg(time.Millisecond); err == nil {
		t.Errorf("got %q", m.Subject)
	}
}
