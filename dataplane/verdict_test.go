package dataplane_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coveymq/covey/dataplane"
	"github.com/coveymq/covey/test/conformance/proc"
)

// What -t says of each of these files is what stock nats-server says.
const sameVerdicts = `
port: 4222
port: "4222"
port: true
port: -1
listen: 127.0.0.1:4222
listen: 4222
listen: "4222"
listen: "a:b"
listen: [1]
{"port": 4222, "http": "127.0.0.1:8222"}
http: 8222
http: "127.0.0.1:-1"
http: here
http_port: 8222
monitor_port: 8222
server_name: x
server_name: "x y"
server_name: 7
host: localhost
net: 5
max_payload: 1MB
max_payload: 3GB
max_payload: "1MB"
max_payload: lots
max_pending: 10mb
max_control_line: 2048
max_control_line: 5GB
max_connections: 5
max_conn: 0
max_subscriptions: 5
max_subs: x
max_sub_tokens: 16
max_sub_tokens: 0
max_sub_tokens: 256
ping_interval: "30s"
ping_interval: 30x
ping_max: 3
ping_max: "3"
write_deadline: "1s"
write_timeout: close
write_timeout: never
lame_duck_duration: "45s"
lame_duck_duration: "5s"
lame_duck_duration: 45
lame_duck_grace_period: "5s"
lame_duck_grace_period: "-5s"
pid_file: /tmp/x
pidfile: 6
ports_file_dir: /tmp
debug: true
debug: yes
debug: maybe
trace: off
logtime: 1
logfile: /tmp/x.log
log_file: 1
log_size_limit: 1mb
log_size_limit: "1mb"
log_max_num: 3
syslog: false
remote_syslog: "udp://x:514"
no_header_support: true
no_system_account: true
authorization {}
authorization: 5
authorization { token: x }
authorization { token: 5 }
authorization { user: a, password: b }
authorization { user: a, password: b, token: c }
authorization { token: c, users: [{user: a, password: b}] }
authorization { user: a, users: [{user: a, password: b}] }
authorization { users: [] }
authorization { users: {} }
authorization { users: [{user: a}] }
authorization { users: [{password: a}] }
authorization { users: [{user: a, nkey: UC6NLCN7AS34YOJVCYD4PJ3QB7QGLYG5B5IMBT25VW5K4TNUJODM7BOX}] }
authorization { users: [{nkey: UC6NLCN7AS34YOJVCYD4PJ3QB7QGLYG5B5IMBT25VW5K4TNUJODM7BOX}] }
authorization { users: [{nkey: AC6NLCN7AS34YOJVCYD4PJ3QB7QGLYG5B5IMBT25VW5K4TNUJODM7BOX}] }
authorization { users: [{user: a, colour: red}] }
authorization { users: [{user: a, password: $2a$04$dDdRXdTNDpxV0vADzrYQoO/BFzZwVHwTMK8.ehCr9XOvR7mIsSTnK}] }
authorization { users: [{user: a, permissions: {publish: "a.*"}}] }
authorization { users: [{user: a, permissions: {publish: "a..b"}}] }
authorization { users: [{user: a, permissions: {publish: "a q"}}] }
authorization { users: [{user: a, permissions: {subscribe: "a q"}}] }
authorization { users: [{user: a, permissions: {subscribe: "a q r"}}] }
authorization { users: [{user: a, permissions: {subscribe: {allow: [a, "b.>"], deny: "c.*"}}}] }
authorization { users: [{user: a, permissions: {subscribe: {allow: a, forbid: b}}}] }
authorization { users: [{user: a, permissions: {subscribe: ">.a"}}] }
authorization { users: [{user: a, permissions: "a"}] }
authorization { users: [{user: a, permissions: {allow_responses: true}}] }
authorization { users: [{user: a, permissions: {allow_responses: {max: 5, expires: "1m"}}}] }
authorization { users: [{user: a, permissions: {allow_responses: {max: 5, expires: 1}}}] }
authorization { users: [{user: a, permissions: {allow_responses: 5}}] }
authorization { users: [{user: a, allowed_connection_types: [STANDARD, websocket]}] }
authorization { default_permissions: {publish: a}, users: [{user: a}] }
authorization { timeout: 2 }
authorization { timeout: 0.5 }
authorization { timeout: "2s" }
authorization { timeout: soon }
authorization { timeout: [1] }
authorization { whatever: 1 }
accounts { A {} }
accounts: [A, B]
accounts: [A, A]
accounts: [$G]
accounts { $G {} }
accounts { A: 5 }
accounts { A { users: [{user: a}] }, B { users: [{user: b}] } }
accounts { A { users: [{user: a}] }, B { users: [{user: a}] } }
accounts { A { users: [{user: a}] } }, authorization { token: x }
accounts { A { users: [{user: a}] } }, authorization { user: x, password: y }
accounts { A { users: [{user: a}] } }, authorization { users: [{user: b}] }
accounts { A { users: [{user: a}] } }, authorization { users: [{user: a}] }
accounts { A { limits: {max_conn: 5, max_subs: 5, max_payload: 1kb, max_leafs: 1} } }
accounts { A { limits: {max_cats: 5} } }
accounts { A { colour: red } }
accounts { A { default_permissions: {publish: a}, users: [{user: a}] } }
accounts { A { nkey: XYZ } }
accounts { SYS { users: [{user: a, password: b}] } }, system_account: SYS
operator: /no/such/file
operator: eyJhbGciOiJub25lIn0
resolver: nonsense
resolver_preload: 5
resolver_preload { A: "x" }
authorization { users: [{user: a}, {user: a}] }
authorization { users: [{user: a, allowed_connection_types: [PIGEON]}] }
ping_max: 0
ping_interval: "0s"
max_payload: 0
write_deadline: "0s"
surprise: 1
SURPRISE {}
limit: 5, max_connections: $limit
max_connections: $no_such_variable
include /no/such/file
port: 4222 }
port: [
"port" 4222
PORT: 4222
jetstream: false
cluster { port: 6222 }
cluster { port: 6222, name: "a b" }
cluster { name: east, listen: "0.0.0.0:6222", routes: ["nats-route://r:s@h:6222"], pool_size: 5 }
cluster { port: 6222, surprise: 1 }
cluster { port: 6222, compression: s2_fast }
server_tags: a
server_tags: [a, "b:c"]
server_tags: 5
server_metadata { a: b }
server_metadata: 5
trace_headers: true
trace_verbose: true
max_traced_msg_len: 10
proxy_protocol: true
store_dir: "/tmp/x"
accounts { A { msg_trace: a.b } }
accounts { A { trace_dest: "a.b" } }
accounts { A { msg_trace: "a.*" } }
accounts { A { msg_trace: 5 } }
accounts { A { msg_trace { dest: a, sampling: "50%" } } }
accounts { A { msg_trace { dest: a, sampling: 0 } } }
accounts { A { msg_trace { dest: a, sampling: 101 } } }
accounts { A { msg_trace { dest: a, colour: red } } }
`

// In these we are stricter, or the feature does not exist yet.
const otherVerdicts = `
cluster { name: east }
https_port: 8443
gateway { port: 7222, name: east }
http_port: 700000
no_auth_user: nobody
max_payload: 2mb, max_pending: 1mb
lame_duck_duration: "40s", lame_duck_grace_period: "50s"
system_account: NONE
resolver: MEMORY
accounts: A
ping_max: -1
`

func TestVerdictsOnFilesAreThoseOfNatsServer(t *testing.T) {
	if testing.Short() {
		t.Skip("runs stock nats-server a hundred times")
	}
	judge, err := proc.Judge(t.Context(), "")
	must(t, err)
	path := filepath.Join(t.TempDir(), "x.conf")
	verdicts := func(text string) (stock, ours bool, why string) {
		must(t, os.WriteFile(path, []byte(text), 0o600))
		said, err := exec.CommandContext(t.Context(), judge, "-t", "-c", path).CombinedOutput()
		stock = err == nil || strings.HasSuffix(strings.TrimSpace(string(said)), "should be converted to a duration")
		var out bytes.Buffer
		ours = dataplane.Command(t.Context(), []string{"-t", "-c", path}, "", &out, &out) == 0
		return stock, ours, "stock: " + string(said) + "ours: " + out.String()
	}
	for text := range strings.Lines(strings.TrimPrefix(sameVerdicts, "\n")) {
		if stock, ours, why := verdicts(text); stock != ours {
			t.Errorf("%sstock accepts: %v, we accept: %v\n%s", text, stock, ours, why)
		}
	}
	for text := range strings.Lines(strings.TrimPrefix(otherVerdicts, "\n")) {
		if stock, ours, why := verdicts(text); !stock || ours {
			t.Errorf("%sstock accepts: %v, we accept: %v\n%s", text, stock, ours, why)
		}
	}
}
