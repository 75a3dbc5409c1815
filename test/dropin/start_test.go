package dropin_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"golang.org/x/crypto/bcrypt"

	"github.com/coveymq/covey/test/conformance/proc"
)

// Fixed ports, credentials as flags, and /varz polled until it answers.
func TestFlagsAndMonitoringPolled(t *testing.T) {
	both(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			flags []string
			with  nats.Option
		}{
			"open":     {nil, nats.Name("x")},
			"user":     {[]string{"--user", "foo", "--pass", "bar"}, nats.UserInfo("foo", "bar")},
			"token":    {[]string{"--auth", "secret"}, nats.Token("secret")},
			"debug":    {[]string{"-DV"}, nats.Name("x")},
			"equals":   {[]string{"-user=foo", "-pass=bar"}, nats.UserInfo("foo", "bar")},
			"js-style": {[]string{"--max_traced_msg_len", "10", "-DV"}, nats.Name("x")},
		} {
			port, http := freePort(t), freePort(t)
			p := start(t, append([]string{"-p", port, "-m", http, "-a", "127.0.0.1"}, c.flags...)...)
			answers(t, "http://127.0.0.1:"+http+"/varz")
			p.says(t, "Server is ready") // monitoring may be there before clients are let in
			talk(t, "nats://127.0.0.1:"+port, c.with)
			if name == "user" || name == "token" {
				if nc, err := nats.Connect("nats://127.0.0.1:"+port, nats.MaxReconnects(0)); err == nil {
					nc.Close()
					t.Errorf("%s: connected without credentials", name)
				}
			}
			p.signal(t, syscall.SIGKILL)
			<-p.done
		}
	})
}

func TestFlagsForTLS(t *testing.T) {
	both(t, func(t *testing.T) {
		dir := t.TempDir()
		_, config, err := proc.LoopbackTLS(dir, time.Now())
		must(t, err)
		cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		port := freePort(t)
		p := start(t, "-p", port, "-a", "127.0.0.1", "--tls", "--tlscert", cert, "--tlskey", key, "--tlsverify", "--tlscacert", cert)
		p.says(t, "Server is ready")
		talk(t, "tls://127.0.0.1:"+port, nats.Secure(config), nats.ClientCert(cert, key))
		if nc, err := nats.Connect("tls://127.0.0.1:"+port, nats.Secure(config), nats.MaxReconnects(0)); err == nil {
			nc.Close()
			t.Error("connected without a certificate")
		}
	})
}

// Any port, a log file that is searched for the address, a pid file, a directory
// for streams that are not switched on, and lame duck by --signal.
func TestLogFileSearchedForTheAddress(t *testing.T) {
	address := regexp.MustCompile(`.+\sclient connections on\s+(\S+)`)
	both(t, func(t *testing.T) {
		dir := t.TempDir()
		log, pid := filepath.Join(dir, "nats-server.log"), filepath.Join(dir, "nats-server.pid")
		file := conf(t, "authorization { users = [ {user: derek, password: porkchop} ] }\n")
		p := start(t, "--store_dir", filepath.Join(dir, "store"), "-a", "127.0.0.1", "-p", "-1", "-l", log, "-P", pid, "-c", file, "--debug", "--trace")
		var addr string
		eventually(t, "the address in the log", func() bool {
			text, _ := os.ReadFile(log)
			if m := address.FindSubmatch(text); m != nil {
				addr = string(m[1])
			}
			return addr != ""
		})
		talk(t, "nats://"+addr, nats.UserInfo("derek", "porkchop"))
		text, err := os.ReadFile(pid)
		must(t, err)
		if string(text) != strconv.Itoa(p.Process.Pid) {
			t.Errorf("pid file %q, process %d", text, p.Process.Pid)
		}
		ducks := make(chan struct{}, 1)
		nc, err := nats.Connect("nats://"+addr, nats.UserInfo("derek", "porkchop"), nats.NoReconnect(),
			nats.LameDuckModeHandler(func(*nats.Conn) { ducks <- struct{}{} }))
		must(t, err)
		defer nc.Close()
		must(t, nc.Flush())
		if code, _, e := run(t, "--signal", "ldm="+string(text)); code != 0 {
			t.Errorf("--signal ldm: %d, %s", code, e)
		}
		<-ducks
		eventually(t, "the log says so", func() bool {
			text, _ := os.ReadFile(log)
			return strings.Contains(string(text), "Entering lame duck mode, stop accepting new clients")
		})
	})
}

// A configuration in JSON with any port, the ports file, and a reload seen by
// config_load_time.
func TestPortsFileAndReload(t *testing.T) {
	both(t, func(t *testing.T) {
		dir := os.Getenv("TMPDIR")
		text := func(user string) string {
			return fmt.Sprintf(`{"host":"127.0.0.1","port":-1,"http":"127.0.0.1:-1","debug":true,"trace":false,
				"cluster":{"name":"C","listen":"127.0.0.1:-1"},
				"authorization":{"users":[{"user":%q,"password":"p","permission":{"publish":{"allow":["hello"]},"subscribe":"hello"}}]}}`, user)
		}
		file := conf(t, text("a"))
		p := start(t, "--ports_file_dir", dir, "-c", file)
		ports := p.ports(t, dir)
		if len(ports.Nats) != 1 || len(ports.Monitoring) != 1 || len(ports.Cluster) != 1 {
			t.Fatalf("ports %+v", ports)
		}
		talk(t, ports.Nats[0], nats.UserInfo("a", "p"))
		before := answers(t, ports.Monitoring[0]+"/varz")["config_load_time"]
		must(t, os.WriteFile(file, []byte(text("b")), 0o600))
		p.signal(t, syscall.SIGHUP)
		eventually(t, "another config_load_time", func() bool { return answers(t, ports.Monitoring[0]+"/varz")["config_load_time"] != before })
		talk(t, ports.Nats[0], nats.UserInfo("b", "p"))
		must(t, os.WriteFile(file, []byte(`{"port":"x"}`), 0o600))
		p.signal(t, syscall.SIGHUP)
		p.says(t, "Failed to reload server configuration: ")
		talk(t, ports.Nats[0], nats.UserInfo("b", "p"))
		p.signal(t, syscall.SIGTERM)
		if code := p.ends(t); code != 0 {
			t.Errorf("exit code %d", code)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*.ports")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

// Servers that find each other by flags, and clients that learn of both.
func TestClusterByFlags(t *testing.T) {
	both(t, func(t *testing.T) {
		ports, routes := []string{freePort(t), freePort(t)}, []string{freePort(t), freePort(t)}
		for i := range 2 {
			start(t, "-a", "127.0.0.1", "-p", ports[i], "-cluster", "nats://127.0.0.1:"+routes[i], "-cluster_name", "abc",
				"-routes", "nats://127.0.0.1:"+routes[1-i], "-n", "server-"+ports[i]).says(t, "Server is ready")
		}
		nc, err := nats.Connect("nats://127.0.0.1:" + ports[0])
		must(t, err)
		defer nc.Close()
		if name := nc.ConnectedServerName(); name != "server-"+ports[0] {
			t.Errorf("server name %q", name)
		}
		eventually(t, "the other server is known", func() bool { return len(nc.DiscoveredServers()) == 1 })
		if name := nc.ConnectedClusterName(); name != "abc" {
			t.Errorf("cluster name %q", name)
		}
	})
}

// A configuration of keys and accounts, as nkey and permission tests have them.
func TestConfigurationsOfClientSuites(t *testing.T) {
	kp, err := nkeys.CreateUser()
	must(t, err)
	key, err := kp.PublicKey()
	must(t, err)
	sign := func(nonce []byte) ([]byte, error) { return kp.Sign(nonce) }
	hash, err := bcrypt.GenerateFromPassword([]byte("p"), bcrypt.MinCost)
	must(t, err)
	for name, c := range map[string]struct {
		text string
		with nats.Option
	}{
		"nkey":        {fmt.Sprintf("authorization: {\n  users = [\n    { nkey: %s }\n  ]\n}\n", key), nats.Nkey(key, sign)},
		"accounts":    {"accounts: {\n  A: { users: [ { user: a, password: a } ] }\n  B: { users: [ { user: b, password: b } ] }\n}\nno_auth_user: a\n", nats.Name("x")},
		"bcrypt":      {"authorization { user: u, password: \"" + string(hash) + "\" }\n", nats.UserInfo("u", "p")},
		"variables":   {"PASS: \"abcdefghijklmnopqrstuvwxyz\"\nauthorization { user: u, password: $PASS }\n", nats.UserInfo("u", "abcdefghijklmnopqrstuvwxyz")},
		"limits":      {"max_payload: 64KB\nmax_connections: 10\nping_interval: \"1m\"\nwrite_deadline: \"2s\"\nmax_pending: 1MB\n", nats.Name("x")},
		"semicolons":  {"authorization { users = [ {user: \"u\", pass: \"p\"} ]; timeout: 1 }; no_auth_user = u;\n", nats.Name("x")},
		"permissions": {"authorization { PERM = { publish: [\"hello\"], subscribe: [\"hello\", \"_INBOX.>\"] }\n users = [ {user: u, password: p, permissions: $PERM} ] }\n", nats.UserInfo("u", "p")},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T) {
				file, dir := conf(t, c.text), t.TempDir()
				p := start(t, "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", dir, "-c", file)
				talk(t, p.ports(t, dir).Nats[0], c.with)
			})
		})
	}
}

// The version, help, checks and mistakes on the command line.
func TestWhatScriptsAskFor(t *testing.T) {
	good, bad := conf(t, "port: 4222\n"), conf(t, "port: 4222\nnonsense: 1\n")
	first := regexp.MustCompile(`^nats-server: v(\d+)\.(\d+)\.(\d+)\n`)
	both(t, func(t *testing.T) {
		for _, flag := range []string{"-v", "--version", "version"} {
			code, out, _ := run(t, flag)
			m := first.FindStringSubmatch(out)
			if code != 0 || m == nil || m[1] != "2" || m[2] != "15" {
				t.Errorf("%s: code %d, %q", flag, code, out)
			}
		}
		for _, flag := range []string{"-h", "--help", "help", "--help_tls"} {
			if code, out, e := run(t, flag); code != 0 || !strings.Contains(out+e, "tls") {
				t.Errorf("%s: code %d, %q", flag, code, out+e)
			}
		}
		if code, out, e := run(t, "-t", "-c", good); code != 0 || !strings.Contains(out+e, "nats-server: configuration file "+good+" is valid") {
			t.Errorf("-t: code %d, %q", code, out+e)
		}
		for _, args := range [][]string{{"-t", "-c", bad}, {"-c", bad}, {"-c", "/no/such/file"}, {"-t"}} {
			if code, out, e := run(t, args...); code != 1 || !strings.Contains(e, "nats-server: ") || out != "" {
				t.Errorf("%v: code %d, %q, %q", args, code, out, e)
			}
		}
		// nats-server exits with 0 here, which nobody can rely on.
		if _, out, e := run(t, "--no-such-flag"); !strings.Contains(out+e, "not defined: -no-such-flag") {
			t.Errorf("an unknown flag: %q", out+e)
		}
		if code, _, e := run(t, "--signal", "reload=/no/such/pid"); code != 1 || e == "" {
			t.Errorf("--signal without a process: code %d, %q", code, e)
		}
	})
}

// What is in use is said, and the exit code tells.
func TestAPortInUse(t *testing.T) {
	both(t, func(t *testing.T) {
		var lc net.ListenConfig
		l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
		must(t, err)
		defer func() { must(t, l.Close()) }()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		p := start(t, "-a", "127.0.0.1", "-p", port)
		if code := p.ends(t); code != 1 {
			t.Errorf("exit code %d", code)
		}
		if out := p.out.String(); !strings.Contains(out, port) || !strings.Contains(out, "in use") {
			t.Errorf("it says %q", out)
		}
	})
}

// Signals, each with what an init system or a harness expects of it.
func TestSignals(t *testing.T) {
	both(t, func(t *testing.T) {
		for sig, code := range map[syscall.Signal]int{syscall.SIGINT: 0, syscall.SIGTERM: 0} {
			p := start(t, "-a", "127.0.0.1", "-p", "-1")
			p.says(t, "Server is ready")
			p.signal(t, sig)
			if got := p.ends(t); got != code {
				t.Errorf("%v: exit code %d", sig, got)
			}
			p.says(t, "Trapped ")
		}
		for name, pid := range map[string]func(p *process) string{
			"number": func(p *process) string { return strconv.Itoa(p.Process.Pid) },
			"file": func(p *process) string {
				file := filepath.Join(t.TempDir(), "pid")
				must(t, os.WriteFile(file, []byte(strconv.Itoa(p.Process.Pid)), 0o600))
				return file
			},
		} {
			p := start(t, "-a", "127.0.0.1", "-p", "-1")
			p.says(t, "Server is ready")
			if code, out, e := run(t, "-sl", "quit="+pid(p)); code != 0 {
				t.Errorf("-sl quit by %s: code %d, %s%s", name, code, out, e)
			}
			if got := p.ends(t); got != 0 {
				t.Errorf("-sl quit by %s: exit code %d", name, got)
			}
		}
		p := start(t, "-a", "127.0.0.1", "-p", "-1")
		p.says(t, "Server is ready")
		if code, out, e := run(t, "-sl", "stop="+strconv.Itoa(p.Process.Pid)); code != 0 {
			t.Errorf("-sl stop: code %d, %s%s", code, out, e)
		}
		if got := p.ends(t); got == 0 {
			t.Error("-sl stop: exit code 0, though it kills")
		}
		log := filepath.Join(t.TempDir(), "log")
		p = start(t, "-a", "127.0.0.1", "-p", "-1", "-l", log)
		inLog := func(what string) {
			eventually(t, what+" in the log", func() bool {
				text, _ := os.ReadFile(log)
				return strings.Contains(string(text), what)
			})
		}
		inLog("Server is ready")
		must(t, os.Rename(log, log+".1"))
		p.signal(t, syscall.SIGUSR1)
		inLog("File log re-opened")
	})
}
