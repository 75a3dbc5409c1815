package dropin_test

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coveymq/covey/test/conformance/proc"
)

// command is a run of the nats program.
type command struct {
	*exec.Cmd
	out *output
}

func (s *served) nats(cli string, args ...string) *command {
	s.t.Helper()
	c := &command{exec.CommandContext(s.t.Context(), cli, append([]string{"--server", "nats://127.0.0.1:" + s.port, "--no-context", "--timeout", "20s"}, args...)...), &output{}}
	c.Stdout, c.Stderr = c.out, c.out
	home := s.t.TempDir()
	c.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home, "NO_COLOR=1")
	return c
}

// cliRuns are what people do with the nats program. What it prints is compared
// with what it prints against nats-server.
var cliRuns = map[string]struct { //nolint:gochecknoglobals // a table
	listen []string // runs beside, until it ends; empty for nothing
	args   []string
	want   string // in the output of either
}{
	"pub and sub": {
		[]string{"sub", "foo.>", "--count", "3", "--raw"},
		[]string{"pub", "foo.bar", "hello", "--count", "3"},
		"hello",
	},
	"headers": {
		[]string{"sub", "foo", "--count", "1"},
		[]string{"pub", "foo", "hello", "-H", "A:1", "-H", "B:2", "--reply", "some.reply"},
		"A: 1",
	},
	"request and reply": {
		[]string{"reply", "svc", "pong", "--count", "1"},
		[]string{"req", "svc", "ping", "--raw"},
		"pong",
	},
	"no responders":  {nil, []string{"req", "nobody", "ping"}, "No responders"},
	"rtt":            {nil, []string{"rtt", "2"}, "127.0.0.1"},
	"check":          {nil, []string{"server", "check", "connection", "--connect-warn", "20s", "--connect-critical", "30s", "--rtt-warn", "20s", "--rtt-critical", "30s", "--req-warn", "20s", "--req-critical", "30s"}, "OK"},
	"bench pub":      {nil, []string{"bench", "pub", "b", "--msgs", "1000", "--size", "16", "--no-progress"}, "msgs/sec"},
	"bench with sub": {[]string{"bench", "sub", "b", "--msgs", "1000", "--no-progress"}, []string{"bench", "pub", "b", "--msgs", "1000", "--size", "16", "--no-progress"}, "msgs/sec"},
	"queue": {
		[]string{"sub", "foo", "--queue", "q", "--count", "2", "--raw"},
		[]string{"pub", "foo", "{{.Count}}", "--count", "2"},
		"1",
	},
	"a large payload": {
		[]string{"sub", "foo", "--count", "1", "--raw"},
		[]string{"pub", "foo", strings.Repeat("x", 60_000)},
		"xxxx",
	},
	"too large": {nil, []string{"pub", "foo", strings.Repeat("x", 70_000)}, "maximum payload exceeded"},
}

var (
	figures = regexp.MustCompile(`\d[\d,.]*\s?(ns|µs|us|ms|s|KiB/sec|MiB/sec|GiB/sec|B/sec|msgs/sec|KiB|MiB)?\b`)
	inboxes = regexp.MustCompile(`_INBOX\.[A-Za-z0-9.]+`)
	spaces  = regexp.MustCompile(`\s+|[─━]+`)
)

// masked makes outputs of two runs comparable.
func masked(s string) string {
	s = inboxes.ReplaceAllString(s, "_INBOX")
	s = figures.ReplaceAllString(s, "N")
	return spaces.ReplaceAllString(s, " ")
}

func TestTheNatsProgramSeesNoDifference(t *testing.T) {
	if testing.Short() && os.Getenv(proc.BinEnv) == "" {
		t.Skip(proc.BinEnv + " is not set, and building takes long")
	}
	cli, err := proc.NATS(t.Context())
	must(t, err)
	outputs := make(map[string][]string)
	both(t, func(t *testing.T) {
		for name, run := range cliRuns {
			s := serve(t, "max_payload: 64KB\n", "-m", freePort(t))
			text := s.play(cli, run.listen, run.args)
			if !strings.Contains(text, run.want) {
				t.Errorf("%s: no %q in\n%s", name, run.want, text)
			}
			outputs[name] = append(outputs[name], masked(text))
		}
	})
	for name, two := range outputs {
		if len(two) == 2 && cliRuns[name].listen == nil {
			if diff := cmp.Diff(two[0], two[1]); diff != "" {
				t.Errorf("%s: nats-server (-) and ours (+) differ:\n%s", name, diff)
			}
		}
	}
}

// play runs a command beside a listener and returns what both say, the listener
// first.
func (s *served) play(cli string, listen, args []string) string {
	s.t.Helper()
	var text bytes.Buffer
	run := s.nats(cli, args...)
	if listen != nil {
		l := s.nats(cli, listen...)
		must(s.t, l.Start())
		var wg sync.WaitGroup
		wg.Go(func() { _ = l.Wait() }) // what it says is looked at
		eventually(s.t, "somebody listens", s.listened)
		_ = run.Run() // likewise
		wg.Wait()
		text.WriteString(l.out.String())
	} else {
		_ = run.Run() // likewise
	}
	text.WriteString(run.out.String())
	return text.String()
}

// listened reports whether a client has subscribed.
func (s *served) listened() bool {
	all, err := get(s.t, "http://127.0.0.1:"+s.args[len(s.args)-1]+"/connz")
	if err != nil {
		return false
	}
	list, _ := all["connections"].([]any)
	for _, c := range list {
		if n, _ := c.(map[string]any)["subscriptions"].(float64); n > 0 {
			return true
		}
	}
	return false
}
