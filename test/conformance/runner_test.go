package conformance

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseFileInheritsThePreamble(t *testing.T) {
	scripts, err := ParseFile("f", "needs: auth\nconfig:\n| port: 1\n\n== first one\na,b connect\n== second\nneeds: jwt\nconfig:\n| x: 2\n| y: 3\na*3> PUB foo\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []*Script{
		{Name: "f/first-one", Needs: []string{"auth"}, Config: "port: 1\n", Steps: []Step{
			{Line: 6, Conn: "a", Verb: VerbConnect}, {Line: 6, Conn: "b", Verb: VerbConnect},
		}},
		{Name: "f/second", Needs: []string{"jwt"}, Config: "x: 2\ny: 3\n", Steps: []Step{
			{Line: 12, Conn: "a", Verb: VerbSend, Text: `PUB foo\r\n`, Times: 3},
		}},
	}
	if d := cmp.Diff(want, scripts); d != "" {
		t.Error(d)
	}
}

func TestParseFileRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, text := range []string{
		"a sync\n",
		"== x\n",
		"== x\na dance\n",
		"== x\na*0> y\n",
		"== x\ntags: fast\na sync\n",
		"== x\nneeds: luck\na sync\n",
		"== x\n| stray\na sync\n",
		"== x\na sync\n== x\na sync\n",
	} {
		if _, err := ParseFile("f", text); err == nil {
			t.Errorf("ParseFile(%q) = nil error", text)
		}
	}
}

func TestUnescape(t *testing.T) {
	got, err := unescape(`a\r\n\t\0\\\xfFz`)
	if want := "a\r\n\t\x00\\\xffz"; err != nil || string(got) != want {
		t.Errorf("unescape = %q, %v; want %q", got, err, want)
	}
	for _, bad := range []string{`\`, `\q`, `\x1`, `\xzz`} {
		if _, err := unescape(bad); err == nil {
			t.Errorf("unescape(%q) = nil error", bad)
		}
	}
}

func TestParseFrame(t *testing.T) {
	f := func(in, want string, wantLen int) {
		t.Helper()
		got, n, err := parseFrame([]byte(in))
		if err != nil || n != wantLen || got.String() != want {
			t.Errorf("parseFrame(%q) = %q, %d, %v; want %q, %d", in, got.String(), n, err, want, wantLen)
		}
	}
	f("PONG\r\nPING\r\n", "PONG", 6)
	f("PONG\n", "PONG <no CR>", 5)
	f("MSG a 1 2\r\nhi\r\n", `MSG a 1 2 "hi"`, 15)
	f("MSG a 1 r 0\r\n\r\n", `MSG a 1 r 0 ""`, 15)
	f("HMSG a 1 2 4\r\nh\nhi\r\n", `HMSG a 1 2 4 "h\n" "hi"`, 20)
}

// FuzzParseFrame wants any split of the input to give the same frames.
func FuzzParseFrame(f *testing.F) {
	f.Add([]byte("INFO {}\r\nMSG a 1 2\r\nhi\r\nPONG\r\n"), 5)
	f.Add([]byte("HMSG a 1 2 1\r\nh\r\n"), 3)
	f.Fuzz(func(t *testing.T, data []byte, at int) {
		at = max(0, min(at, len(data)))
		whole, pieces := &client{news: make(chan struct{}, 1)}, &client{news: make(chan struct{}, 1)}
		whole.record(bytes.Clone(data), false)
		pieces.record(bytes.Clone(data[:at]), false)
		pieces.record(bytes.Clone(data[at:]), false)
		for _, l := range whole.lines(&Script{Tags: []string{TagPings}}) {
			if strings.HasPrefix(l, "<malformed") {
				return // where garbage ends depends on what has arrived
			}
		}
		if d := cmp.Diff(whole.lines(&Script{Tags: []string{TagPings}}), pieces.lines(&Script{Tags: []string{TagPings}})); d != "" {
			t.Error(d)
		}
	})
}

func TestMaskInfoKeepsWhatMatters(t *testing.T) {
	a := maskInfo(`INFO {"server_id":"A","server_name":"A","go":"go1","port":1,"nonce":"x","max_payload":5}`)
	b := maskInfo(`INFO {"max_payload":5,"port":2,"server_name":"B","server_id":"B","nonce":"y","git_commit":"z"}`)
	if a != b {
		t.Errorf("masked INFO differ:\n%s\n%s", a, b)
	}
	if c := maskInfo(`INFO {"server_id":"A","server_name":"A","port":1,"max_payload":5}`); c == a {
		t.Error("a missing nonce is not seen")
	}
	if c := maskInfo(`INFO {"server_id":"A","server_name":"A","port":"1","nonce":"x","max_payload":5}`); c == a {
		t.Error("another JSON type is not seen")
	}
}

func TestDiff(t *testing.T) {
	got := diffLines([]string{"a", "b", "c"}, []string{"a", "x", "c", "d"})
	if d := cmp.Diff([]string{"- b", "+ x", "+ d"}, got); d != "" {
		t.Error(d)
	}
}

func TestFramesOfOnePublishAreSorted(t *testing.T) {
	c := &client{news: make(chan struct{}, 1)}
	c.record([]byte("MSG a 2 1\r\nx\r\nMSG a 1 1\r\nx\r\nMSG a 3 1\r\ny\r\nMSG b 1 1\r\ny\r\n"), false)
	want := []string{`MSG a 1 1 "x"`, `MSG a 2 1 "x"`, `MSG a 3 1 "y"`, `MSG b 1 1 "y"`}
	if d := cmp.Diff(want, c.lines(&Script{})); d != "" {
		t.Error(d)
	}
}

func TestDifferencesAreExact(t *testing.T) {
	list, err := ParseDifferences("# comment\n== f/x\nwe say it\nbetter\n- a old\n+ a new\n")
	if err != nil {
		t.Fatal(err)
	}
	if got := list["f/x"].Reason; got != "we say it better" {
		t.Errorf("reason = %q", got)
	}
	if wrong := list.Unexpected("f/x", []string{"- a old", "+ a new"}); wrong != nil {
		t.Errorf("a listed difference is refused: %q", wrong)
	}
	for _, diff := range [][]string{nil, {"- a old"}, {"- a old", "+ a new", "+ b more"}} {
		if wrong := list.Unexpected("f/x", diff); wrong == nil {
			t.Errorf("difference %q passes", diff)
		}
	}
	if wrong := list.Unexpected("f/y", []string{"+ a new"}); wrong == nil {
		t.Error("an unlisted difference passes")
	}
}

func TestWorldIdentities(t *testing.T) {
	w, err := newWorld([]string{"account A conn=2", "user u A pub=foo,bar exp=1h", "nkey k"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	text, err := w.expand(`{{repeat 3 ab}} {{jwt u}} {{sig u}} {{pub k}}`, `{"nonce":"n"}`)
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(text)
	if f[0] != "ababab" || strings.Count(f[1], ".") != 2 || len(f[2]) != 86 || f[3][0] != 'U' {
		t.Errorf("expand = %q", text)
	}
	if got := w.mask("x " + f[3] + " y"); got != "x <key k> y" {
		t.Errorf("mask = %q", got)
	}
	if _, err := newWorld([]string{"user u B"}, time.Now()); err == nil {
		t.Error("a user of an unknown account passes")
	}
}

func TestAllScriptsParse(t *testing.T) {
	scripts, err := Load(os.DirFS("testdata"))
	if err != nil {
		t.Fatal(err)
	}
	if len(scripts) < 200 {
		t.Errorf("%d scripts, want at least 200", len(scripts))
	}
}
