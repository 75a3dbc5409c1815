package dataplane_test

import (
	"bufio"
	"fmt"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// tracer keeps nats-server's trace lines.
type tracer struct {
	mu    sync.Mutex
	lines []string // guarded by mu
}

func (t *tracer) Tracef(format string, v ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, fmt.Sprintf(format, v...))
}

func (*tracer) Noticef(string, ...any) {}
func (*tracer) Warnf(string, ...any)   {}
func (*tracer) Fatalf(string, ...any)  {}
func (*tracer) Errorf(string, ...any)  {}
func (*tracer) Debugf(string, ...any)  {}

func (t *tracer) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "\n")
}

// stockTraced starts a nats-server whose trace lines are kept.
func stockTraced(t *testing.T, conf string) (addr string, log *tracer) {
	t.Helper()
	log = &tracer{}
	return natsServer(t, conf, log).Addr().String(), log
}

const traceScript = `CONNECT {"verbose":true,"pedantic":false,"user":"joe","pass":"s3cret","name":"me","lang":"py","version":"1.2","headers":true,"no_responders":true,"protocol":1}
PING
SUB foo 1
SUB bar q 2
PUB foo 5
hello
PUB foo re.ply 15
0123456789abcde
HPUB foo rep 23 28
NATS/1.0
Key: valu

hello
PUB denied 1
x
SUB denied 9
PUB baz 0

UNSUB 1
UNSUB 2 5
PONG
PING
`

// say sends a script and waits until it is answered.
func say(t *testing.T, addr, script string) {
	t.Helper()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", addr)
	must(t, err)
	defer func() { must(t, c.Close()) }()
	must(t, c.SetDeadline(time.Now().Add(time.Minute)))
	r := bufio.NewReader(c)
	_, err = r.ReadString('\n')
	must(t, err)
	_, err = c.Write([]byte(strings.ReplaceAll(script, "\n", "\r\n")))
	must(t, err)
	for pongs := strings.Count(script, "PING\n"); pongs > 0; {
		line, err := r.ReadString('\n')
		must(t, err)
		if line == "PONG\r\n" {
			pongs--
		}
	}
}

var (
	tracedAt   = regexp.MustCompile(`127\.0\.0\.1:\d+ - cid:\d+`)
	tracedTime = regexp.MustCompile(`^.*\[TRC\] `)
)

// traces returns the trace lines of a log in comparable form.
func traces(log string) []string {
	var all []string
	for _, line := range strings.Split(log, "\n") {
		if strings.HasPrefix(line, "SYSTEM") || strings.Contains(line, "->> [PING]") { // nats-server's own client, and what comes after two seconds
			continue
		}
		if !strings.Contains(line, "->> ") && !strings.Contains(line, "<<- ") && !strings.Contains(line, "<-> ") {
			continue
		}
		all = append(all, tracedAt.ReplaceAllString(tracedTime.ReplaceAllString(line, ""), "ADDR - cid"))
	}
	return all
}

func TestTraceLinesAreNatsServers(t *testing.T) {
	const access = "authorization { users: [ {user: joe, password: s3cret, permissions: {publish: {deny: denied}, subscribe: {deny: denied}}} ] }\n"
	for name, more := range map[string]string{
		"plain":        "trace: true",
		"cut":          "trace: true, max_traced_msg_len: 7",
		"headers only": "trace: true, trace_headers: true",
		"verbose":      "trace_verbose: true",
	} {
		t.Run(name, func(t *testing.T) {
			addr, stock := stockTraced(t, access+more)
			say(t, addr, traceScript)
			p := launch(t, access+more)
			say(t, strings.TrimPrefix(p.url, "nats://"), traceScript)
			last := "DELSUB 2]"
			eventually(t, "the end of stock's trace", func() bool { return strings.Contains(stock.text(), last) })
			p.logged(t, last)
			want, got := traces(stock.text()), traces(p.log.String())
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("nats-server (-) and ours (+) differ:\n%s", diff)
			}
			if strings.Contains(p.log.String(), "s3cret") {
				t.Error("the log has the password")
			}
		})
	}
}

// Tracing begins and ends with a reload, for connections that stand as well.
func TestTraceIsReloaded(t *testing.T) {
	p := launch(t, "")
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(p.url, "nats://"))
	must(t, err)
	defer func() { must(t, c.Close()) }()
	must(t, c.SetDeadline(time.Now().Add(time.Minute)))
	r := bufio.NewReader(c)
	exchange := func(send, until string) {
		_, err := c.Write([]byte(send))
		must(t, err)
		for line := ""; line != until; {
			line, err = r.ReadString('\n')
			must(t, err)
		}
	}
	exchange("CONNECT {\"verbose\":false}\r\nSUB a 1\r\nPUB a 1\r\n0\r\nPING\r\n", "PONG\r\n")
	if n := len(traces(p.log.String())); n != 0 {
		t.Errorf("%d trace lines without being asked for:\n%s", n, p.log.String())
	}
	p.reload(t, "trace: true", "Reloaded server configuration")
	exchange("PUB a 1\r\n1\r\nPING\r\n", "PONG\r\n")
	for _, line := range []string{"<<- [PUB a 1]", `<<- MSG_PAYLOAD: ["1"]`, "->> [MSG a 1 1]", `->> MSG_PAYLOAD: ["1"]`, "<<- [PING]", "->> [PONG]"} {
		p.logged(t, line)
	}
	p.reload(t, "", "Reloaded server configuration")
	exchange("PUB a 1\r\n2\r\nPING\r\n", "PONG\r\n")
	if strings.Contains(p.log.String(), `["2"]`) {
		t.Error("traced after a reload that ended it")
	}
}

// A CONNECT is shown without what lets in, however it is written.
func TestTraceHidesSecrets(t *testing.T) {
	p := launch(t, "trace: true")
	for _, connect := range []string{
		`{"jwt":"top-secret","sig":"top-secret","nkey":"top-secret","name":"shown-1"}`,
		`{"PASS":"top-secret","name":"shown-2"}`,
		`{"p\u0061ss":"top-secret","name":"shown-3"}`,
		`{"name":"shown-4","auth_token" : "top-secret\"top-secret"}`,
		`{"name":"shown-5","proxy_sig":"top-secret", "pass":["top-secret"]`,
	} {
		var d net.Dialer
		c, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(p.url, "nats://"))
		must(t, err)
		_, err = c.Write([]byte("CONNECT " + connect + "\r\nPING\r\n"))
		must(t, err)
		p.logged(t, connect[strings.Index(connect, "shown-"):strings.Index(connect, "shown-")+7])
		must(t, c.Close())
	}
	if strings.Contains(p.log.String(), "top-secret") {
		t.Errorf("the log has a secret:\n%s", p.log.String())
	}
}
