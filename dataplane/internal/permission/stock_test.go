package permission_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/coveymq/covey/dataplane/internal/permission"
)

// ruled is one set of rules, as a user of a stock server.
type ruled struct {
	pubAllow, pubDeny, subAllow, subDeny []string
}

func drawRules(rng *rand.Rand) ruled {
	list := func(queues bool) []string {
		if rng.IntN(3) == 0 {
			return nil
		}
		var out []string
		for range 1 + rng.IntN(3) {
			entry := drawSubject(rng)
			if queues && rng.IntN(3) == 0 {
				entry += " " + []string{"q", "v1.*", "*", ">"}[rng.IntN(4)]
			}
			out = append(out, entry)
		}
		return out
	}
	return ruled{list(false), list(false), list(true), list(true)}
}

func drawSubject(rng *rand.Rand) string {
	var parts []string
	for range rng.IntN(3) {
		parts = append(parts, []string{"a", "b", "*"}[rng.IntN(3)])
	}
	return strings.Join(append(parts, []string{"a", "b", "*", ">"}[rng.IntN(4)]), ".")
}

// TestLikeStock asks a stock nats-server and the rules the same questions.
func TestLikeStock(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 5))
	var rules []ruled
	opts := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true}
	for i := range 60 {
		r := drawRules(rng)
		rules = append(rules, r)
		opts.Users = append(opts.Users, &server.User{
			Username: fmt.Sprintf("u%d", i), Password: "p",
			Permissions: &server.Permissions{
				Publish:   &server.SubjectPermission{Allow: r.pubAllow, Deny: r.pubDeny},
				Subscribe: &server.SubjectPermission{Allow: r.subAllow, Deny: r.subDeny},
			},
		})
	}
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer s.WaitForShutdown()
	defer s.Shutdown()
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the stock server did not start")
	}
	for i, r := range rules {
		compareWithStock(t, s.Addr().String(), fmt.Sprintf("u%d", i), r, rng)
	}
}

func compareWithStock(t *testing.T, addr, user string, r ruled, rng *rand.Rand) {
	t.Helper()
	ours := permission.New(&jwt.Permissions{
		Pub: jwt.Permission{Allow: r.pubAllow, Deny: r.pubDeny}, Sub: jwt.Permission{Allow: r.subAllow, Deny: r.subDeny},
	})
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	in := bufio.NewReader(nc)
	ask := func(op string) bool {
		_ = nc.SetDeadline(time.Now().Add(time.Minute))
		_, _ = nc.Write([]byte(op + "PING\r\n"))
		allowed := true
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			allowed = allowed && !strings.HasPrefix(line, "-ERR 'Permissions Violation")
			if strings.HasPrefix(line, "PONG") {
				return allowed
			}
		}
	}
	ask(fmt.Sprintf(`CONNECT {"verbose":false,"user":%q,"pass":"p"}`+"\r\n", user))
	for sid := range 25 {
		subj := drawSubject(rng)
		if want := ask("PUB " + subj + " 0\r\n\r\n"); ours.Publish([]byte(subj)) != want {
			t.Errorf("publish %q with %+v: stock says %v", subj, r, want)
		}
		queue := []string{"", "q", "r", "v1.x", "v1.*"}[rng.IntN(5)]
		want, got := ask(fmt.Sprintf("SUB %s %s %d\r\nUNSUB %d\r\n", subj, queue, sid, sid)), ours.Subscribe(subj, queue)
		if strings.Contains(subj, ">") && got != want && (!got || ours.Filter(subj, queue)) {
			// Stock takes the `>` of a subscription for a token that `*` covers. So
			// it lets `>` pass where only `*` is allowed, and refuses it where `*`
			// is denied; we refuse the one and filter the other.
			continue
		}
		if got != want {
			t.Errorf("subscribe %q queue %q with %+v: %v, stock says %v", subj, queue, r, got, want)
		}
	}
}
