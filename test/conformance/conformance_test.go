package conformance_test

import (
	"context"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/coveymq/covey/internal/testleak"
	"github.com/coveymq/covey/test/conformance"
	"github.com/coveymq/covey/test/conformance/proc"
)

// SubjectEnv names the environment variable with the path of the broker under
// test, for those who cannot pass -subject.
const subjectEnv = "COVEY_CONFORMANCE_SUBJECT"

var (
	judgeFlag    = flag.String("judge", "", "path of stock nats-server (else $"+proc.JudgeEnv+", else built)")
	subjectFlag  = flag.String("subject", "", "path of the broker under test (else $"+subjectEnv+", else the judge itself)")
	featuresFlag = flag.String("features", "config,auth,accounts,imports,mappings,jwt,pings,tls", "what the subject can do; scripts that need more are skipped")
	offsetsFlag  = flag.Bool("offsets", true, "replay the scripts tagged split once per offset")
	verboseFlag  = flag.Bool("transcripts", false, "log the judge's transcripts")
)

func TestMain(m *testing.M) { testleak.Main(m) }

// suite is what the conformance test plays with.
type suite struct {
	judge, subject conformance.Target
	self           bool // judge against itself: the runner is under test
	features       []string
	differences    conformance.Differences
}

func newSuite(t *testing.T) *suite {
	t.Helper()
	if testing.Short() && *judgeFlag == "" && os.Getenv(proc.JudgeEnv) == "" {
		t.Skip("short: building the judge takes minutes")
	}
	judge, err := proc.Judge(t.Context(), *judgeFlag)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("differences.txt")
	if err != nil {
		t.Fatal(err)
	}
	differences, err := conformance.ParseDifferences(string(text))
	if err != nil {
		t.Fatal(err)
	}
	subject := *subjectFlag
	if subject == "" {
		subject = os.Getenv(subjectEnv)
	}
	s := &suite{differences: differences, features: strings.Split(*featuresFlag, ",")}
	if s.self = subject == ""; s.self {
		subject, s.differences = judge, nil
	}
	dir := t.TempDir()
	s.judge = conformance.Target{Path: judge, Dir: dir}
	s.subject = conformance.Target{Path: subject, Dir: dir}
	return s
}

// TestConformance plays every script against the judge and the subject and
// wants equal answers; without a subject it plays the judge against itself.
func TestConformance(t *testing.T) {
	s := newSuite(t)
	scripts := load(t)
	t.Run("scripts", func(t *testing.T) {
		for _, script := range scripts {
			t.Run(script.Name, func(t *testing.T) {
				t.Parallel()
				if missing := script.Missing(s.features); len(missing) > 0 {
					t.Skipf("the subject has no %s", strings.Join(missing, ", "))
				}
				s.compare(t, script)
			})
		}
	})
	for name := range s.differences {
		if !exists(scripts, name) {
			t.Errorf("differences.txt names %s, which does not exist", name)
		}
	}
}

func load(t *testing.T) []*conformance.Script {
	t.Helper()
	scripts, err := conformance.Load(os.DirFS("testdata"))
	if err != nil {
		t.Fatal(err)
	}
	return scripts
}

func exists(scripts []*conformance.Script, name string) bool {
	for _, s := range scripts {
		if s.Name == name {
			return true
		}
	}
	return false
}

func (s *suite) compare(t *testing.T, script *conformance.Script) {
	t.Helper()
	ctx := t.Context()
	want, err := conformance.Play(ctx, s.judge, script, conformance.Cut{})
	if err != nil {
		t.Fatalf("the judge cannot play it: %v", err)
	}
	if len(want.Surprises) > 0 {
		t.Fatalf("the judge closed %v, which no step expects:\n%s", want.Surprises, want)
	}
	if *verboseFlag {
		t.Logf("judge:\n%s", want)
	}
	s.check(ctx, t, script, want, conformance.Cut{})
	if !hasTag(script, conformance.TagWhole) {
		s.check(ctx, t, script, want, conformance.Cut{EveryByte: true})
	}
	if hasTag(script, conformance.TagSplit) && *offsetsFlag && !testing.Short() {
		for at := 1; at < want.Sent; at++ {
			s.check(ctx, t, script, want, conformance.Cut{At: at})
		}
	}
}

func hasTag(s *conformance.Script, tag string) bool {
	for _, t := range s.Tags {
		if t == tag {
			return true
		}
	}
	return false
}

func (s *suite) check(ctx context.Context, t *testing.T, script *conformance.Script, want *conformance.Transcript, cut conformance.Cut) {
	t.Helper()
	got, err := conformance.Play(ctx, s.subject, script, cut)
	if err != nil {
		t.Fatalf("subject, %+v: %v", cut, err)
	}
	wrong := s.differences.Unexpected(script.Name, conformance.Diff(want, got))
	for i := 0; wrong != nil && i < hearings; i++ {
		if want, err = conformance.Play(ctx, s.judge, script, conformance.Cut{}); err != nil {
			t.Fatalf("the judge cannot play it again: %v", err)
		}
		if s.differences.Unexpected(script.Name, conformance.Diff(want, got)) == nil {
			t.Logf("the judge does not always answer alike; not this time (- judge, + subject), %+v:\n%s", cut, strings.Join(wrong, "\n"))
			return
		}
	}
	if wrong != nil {
		t.Fatalf("subject answers otherwise (- judge, + subject), %+v:\n%s", cut, strings.Join(wrong, "\n"))
	}
}

// hearings is how often the judge is heard again when the subject answers in
// another way: stock has races of its own. The subject has to answer as the judge
// does at least now and then, at once.
const hearings = 3
