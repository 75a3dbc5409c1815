package conn

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/egress"
	"github.com/coveymq/covey/dataplane/internal/interest"
	"github.com/coveymq/covey/dataplane/internal/wire"
)

// link returns the outbound half of a route, and a function that closes it and
// returns what its peer got.
func link(t *testing.T, slots *egress.Slots, flags uint32) (out *egress.Conn, received func() string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	var wg sync.WaitGroup
	wg.Go(func() { got, _ = io.ReadAll(far) })
	limits := &egress.Limits{MaxPending: 64 << 20, WriteDeadline: 10 * time.Second}
	out = egress.New(near, slots, limits, func(egress.Reason) {})
	out.Flags.Store(egress.Routed | flags)
	return out, func() string {
		out.Finish(time.Minute)
		out.Close()
		wg.Wait()
		_ = far.Close()
		return string(got)
	}
}

// A message goes to each route once, with the groups that its peer is to serve,
// and costs no memory.
func TestForwarding(t *testing.T) {
	var slots egress.Slots
	shared, sharedGot := link(t, &slots, 0)
	dedicated, dedicatedGot := link(t, &slots, egress.Dedicated|egress.NoHeaders)
	gone, goneGot := link(t, &slots, egress.Closed)
	x := interest.New()
	for _, sub := range []*interest.Sub{
		interest.NewRemote(shared, "foo", ""),
		interest.NewRemote(shared, "*", ""),
		interest.NewRemote(shared, ">", "q"),
		interest.NewRemote(gone, "foo", "q"),
		interest.NewRemote(gone, "foo", ""),
		interest.NewRemote(dedicated, "foo", "p"),
	} {
		sub.Weight.Store(1)
		x.Add(sub)
	}
	local, localGot := link(t, &slots, 0)
	defer localGot()
	w := getWorker(&Host{})
	defer putWorker(w)
	parser := wire.Parser{MaxControlLine: 4096, MaxPayload: -1}
	acct := &account.Account{Key: "A"}
	publish := func(line string) {
		if _, err := parser.Next([]byte(line)); err != nil || parser.Op.Kind == wire.None {
			t.Fatalf("%q: %v", line, err)
		}
		x.Match(parser.Op.Subject, &w.result)
		w.prepare(&parser.Op)
		if !w.fanOut(local, &parser.Op) {
			t.Error("nobody gets the message")
		}
		w.forward(acct, &parser.Op)
		w.batch.Flush(nil)
	}
	publish("PUB foo back 2\r\nhi\r\n")
	publish("PUB foo 2\r\nhi\r\n")
	publish("HPUB foo back 12 14\r\nNATS/1.0\r\n\r\nhi\r\n")
	if n := testing.AllocsPerRun(200, func() { publish("PUB foo 2\r\nhi\r\n") }); n > 1 && !raceEnabled { // one is the test's own
		t.Errorf("a message costs %v allocations", n)
	}
	const want = "RMSG A foo + back q 2\r\nhi\r\nRMSG A foo | q 2\r\nhi\r\nHMSG A foo + back q 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"
	if got := sharedGot(); len(got) < len(want) || got[:len(want)] != want {
		t.Errorf("the shared route got %.200q, want %q", got, want)
	}
	const wantDedicated = "RMSG foo + back p 2\r\nhi\r\nRMSG foo | p 2\r\nhi\r\nRMSG foo + back p 2\r\nhi\r\n"
	if got := dedicatedGot(); len(got) < len(wantDedicated) || got[:len(wantDedicated)] != wantDedicated {
		t.Errorf("the dedicated route got %.200q, want %q", got, wantDedicated)
	}
	if got := goneGot(); got != "" {
		t.Errorf("a closed route got %q", got)
	}
}
