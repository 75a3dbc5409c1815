package random_test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/coveymq/covey/internal/testleak"
	"github.com/coveymq/covey/test/conformance"
	"github.com/coveymq/covey/test/conformance/proc"
	"github.com/coveymq/covey/test/conformance/random"
)

const (
	// seedsEnv names the seeds to play: one number, or two with a dash between.
	seedsEnv = "COVEY_RANDOM_SEEDS"
	// sessionsEnv says how many sessions each seed plays.
	sessionsEnv = "COVEY_RANDOM_SESSIONS"
	// foundEnv names a file that the shortest session of each difference is
	// appended to.
	foundEnv = "COVEY_RANDOM_FOUND"

	// setupSessions is how many sessions one configuration sees.
	setupSessions = 40
	// hearings is how often both are heard, each time anew, before a difference
	// counts.
	hearings = 3
	// shrinkTries bounds how often both servers are started to shorten one session.
	shrinkTries = 250
)

func TestMain(m *testing.M) { testleak.Main(m) }

// targets returns stock nats-server and our broker.
func targets(t *testing.T) (judge, subject conformance.Target) {
	t.Helper()
	if testing.Short() && os.Getenv(proc.JudgeEnv) == "" {
		t.Skip("short: building the judge takes minutes")
	}
	dir := t.TempDir()
	path, err := proc.Judge(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	ours, err := proc.Subject(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return conformance.Target{Path: path, Dir: dir}, conformance.Target{Path: ours, Dir: dir}
}

func number(t *testing.T, text string, otherwise uint64) uint64 {
	t.Helper()
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestRandomSessions draws sessions and wants our broker to answer each as stock
// nats-server does. COVEY_RANDOM_SEEDS=1-50 COVEY_RANDOM_SESSIONS=400 makes it long.
func TestRandomSessions(t *testing.T) {
	judge, subject := targets(t)
	low, high, isRange := strings.Cut(os.Getenv(seedsEnv), "-")
	first := number(t, low, 1)
	last := number(t, high, first)
	if low == "" {
		last = 4
	} else if !isRange {
		last = first
	}
	sessions := number(t, os.Getenv(sessionsEnv), 120)
	t.Run("seeds", func(t *testing.T) {
		for seed := first; seed <= last; seed++ {
			t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
				t.Parallel()
				r := &run{judge: judge, subject: subject, seed: seed, kinds: map[string]bool{}, heard: map[string]int{}}
				r.play(t, sessions)
				if r.heard["MSG"] == 0 || r.heard["-ERR"] == 0 || 50*r.mute > r.played {
					t.Errorf("the sessions say little: %d played, %d without an answer, heard %v", r.played, r.mute, r.heard)
				}
				t.Logf("%d sessions, %d of them without an answer, %d unsteady, heard %v", r.played, r.mute, r.unsteady, r.heard)
			})
		}
	})
}

// run is what becomes of one seed.
type run struct {
	judge, subject conformance.Target
	seed           uint64
	kinds          map[string]bool // of differences, seen already
	heard          map[string]int  // frames of the judge, by their verb
	played         int
	mute           int
	unsteady       int
	found          []*random.Session
}

func (r *run) play(t *testing.T, sessions uint64) {
	t.Helper()
	for n := uint64(0); n < sessions && t.Context().Err() == nil; n += setupSessions {
		setup := random.DrawSetup(r.seed, n)
		pair, verdict := random.Start(t.Context(), r.judge, r.subject, setup)
		if verdict != nil {
			t.Errorf("seed %d, setup %d: %s\n%s", r.seed, n, strings.Join(verdict.Diff, "\n"), setup.Config())
		}
		if pair == nil {
			continue
		}
		for i := n; i < min(n+setupSessions, sessions); i++ {
			r.session(t, pair, random.DrawSession(setup, r.seed, i), cutOf(i))
		}
		pair.Stop()
	}
}

// cutOf says how our broker gets what is written to it: as it is written, byte
// by byte, or cut once.
func cutOf(n uint64) conformance.Cut {
	switch n % 4 {
	case 1:
		return conformance.Cut{EveryByte: true}
	case 2:
		return conformance.Cut{At: 1 + int(n*37%600)} //nolint:gosec // far below what an int holds
	}
	return conformance.Cut{}
}

func (r *run) session(t *testing.T, pair *random.Pair, s *random.Session, cut conformance.Cut) {
	t.Helper()
	r.played++
	verdict := pair.Try(t.Context(), s, cut)
	r.count(verdict)
	if len(verdict.Diff) == 0 || r.kinds[random.Kind(verdict.Diff)] {
		return
	}
	confirm := func(s *random.Session, times int) random.Verdict {
		return random.Confirm(t.Context(), r.judge, r.subject, s, cut, times)
	}
	if verdict = confirm(s, hearings); len(verdict.Diff) == 0 {
		r.unsteady++
		return
	}
	kind := random.Kind(verdict.Diff)
	if r.kinds[kind] {
		return
	}
	r.kinds[kind] = true
	short := random.Shrink(s, shrinkTries, func(s *random.Session) bool { return random.Kind(confirm(s, 1).Diff) == kind })
	if verdict = confirm(short, hearings); len(verdict.Diff) == 0 {
		short = s
		verdict = confirm(s, hearings)
	}
	if len(verdict.Diff) == 0 {
		r.unsteady++
		return
	}
	r.found = append(r.found, short)
	text := short.Script().Text()
	t.Errorf("cut %+v (- judge, + subject):\n%s\n%s", cut, strings.Join(verdict.Diff, "\n"), text)
	keep(t, text+"# "+strings.Join(verdict.Diff, "\n# ")+"\n\n")
}

var verbs = regexp.MustCompile(`(?m)^\S+ (\S+)`)

func (r *run) count(v random.Verdict) {
	if v.Mute || v.Judge == nil {
		r.mute++
		return
	}
	for _, m := range verbs.FindAllStringSubmatch(v.Judge.String(), -1) {
		r.heard[m[1]]++
	}
}

// keep appends to the file of what was found.
func keep(t *testing.T, text string) {
	t.Helper()
	path := os.Getenv(foundEnv)
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// TestOlderServerIsToldApart plays stock nats-server against an older one: who
// judges must notice, and say so in few words.
func TestOlderServerIsToldApart(t *testing.T) {
	programs := os.Getenv(proc.BinEnv)
	if programs == "" {
		t.Skip(proc.BinEnv + " is not set, and building an older nats-server takes minutes: make test")
	}
	judge, subject := targets(t)
	subject.Path = filepath.Join(programs, "nats-server-2.10")
	if _, err := os.Stat(subject.Path); err != nil {
		t.Fatalf("there is no older nats-server, which make judges builds: %v", err)
	}
	setup := &random.Setup{Users: []random.User{{}}, Anonymous: true, Filters: []string{"a", "b"}, MaxPayload: 64, Lines: []string{"max_payload: 64"}}
	differs := func(s *random.Session) []string {
		var v random.Verdict
		if v = random.Confirm(context.Background(), judge, subject, s, conformance.Cut{}, 1); v.Mute {
			return nil
		}
		for _, line := range v.Diff {
			if !strings.Contains(line, " INFO ") {
				return []string{line}
			}
		}
		return nil
	}
	for n := range uint64(60) {
		s := random.DrawSession(setup, 1, n)
		found := differs(s)
		if len(found) == 0 {
			continue
		}
		kind := random.Kind(found)
		short := random.Shrink(s, shrinkTries, func(s *random.Session) bool { return random.Kind(differs(s)) == kind })
		if len(short.Units) > 3 {
			t.Errorf("what is left is long:\n%s", short.Script().Text())
		}
		return
	}
	t.Error("an older server was not told apart")
}
