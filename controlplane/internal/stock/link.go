package stock

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
)

const (
	connectWithin = 5 * time.Second
	answerWithin  = 5 * time.Second        // a server that does not answer until then counts as gone
	quietAfter    = 250 * time.Millisecond // after the last answer, when it is not known how many there are
	packWithin    = time.Minute            // of the next piece, that is
	deletesMax    = 100                    // accounts in one request
)

// The subjects of stock nats-servers.
const (
	subjectPing     = "$SYS.REQ.SERVER.PING"
	subjectUpdate   = "$SYS.REQ.CLAIMS.UPDATE"
	subjectDelete   = "$SYS.REQ.CLAIMS.DELETE"
	subjectList     = "$SYS.REQ.CLAIMS.LIST"
	subjectPack     = "$SYS.REQ.CLAIMS.PACK"
	subjectShutdown = "$SYS.SERVER.*.SHUTDOWN"
)

// identity is who answered.
type identity struct {
	Name    string `json:"name"`
	ID      string `json:"id"`
	Version string `json:"ver"`
}

// answer is what servers answer with.
type answer struct {
	Server identity        `json:"server"`
	Data   json.RawMessage `json:"data"`
	Error  *struct {
		Description string `json:"description"`
	} `json:"error"`
}

var errNobody = errors.New("no server answers: is the resolver of type full?")

// link is a connection to the system account of a cluster.
type link struct {
	nc        *nats.Conn
	closed    chan struct{}
	shutdowns chan *nats.Msg
}

// dialer lets the end of a context end a connection attempt.
type dialer struct{ ctx context.Context } //nolint:containedctx // the library's interface brings none

// Dial implements nats.CustomDialer.
func (d dialer) Dial(network, address string) (net.Conn, error) {
	within := net.Dialer{Timeout: connectWithin}
	return within.DialContext(d.ctx, network, address)
}

func dial(ctx context.Context, c store.StockCluster, user tenancy.StockUser) (*link, error) {
	l := &link{closed: make(chan struct{}), shutdowns: make(chan *nats.Msg, 64)}
	options := []nats.Option{
		nats.Name("covey-control-plane"), nats.NoReconnect(), nats.Timeout(connectWithin), nats.DontRandomize(), nats.SetCustomDialer(dialer{ctx}),
		nats.UserJWT(func() (string, error) { return user.JWT, nil }, user.Signer.Sign),
		nats.ClosedHandler(func(*nats.Conn) { close(l.closed) }),
	}
	if user.TLS != nil {
		options = append(options, nats.Secure(user.TLS.Clone()))
	}
	var err error
	if l.nc, err = nats.Connect(strings.Join(c.URLs, ","), options...); err != nil {
		return nil, unconnected(err)
	}
	if _, err := l.nc.ChanSubscribe(subjectShutdown, l.shutdowns); err != nil {
		l.nc.Close()
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	return l, nil
}

func (l *link) close() {
	l.nc.Close()
	<-l.closed
}

// ask sends a request and hands over answers until each is done, or none came for
// a while: for a first time within the first duration, then within the second.
func (l *link) ask(ctx context.Context, subject string, data []byte, first, next time.Duration, each func(*nats.Msg) (done bool)) error {
	inbox := nats.NewInbox()
	sub, err := l.nc.SubscribeSync(inbox)
	if err != nil {
		return fmt.Errorf("ask %s: %w", subject, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // the connection is gone if it fails
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return fmt.Errorf("ask %s: %w", subject, err)
	}
	if err := l.nc.PublishRequest(subject, inbox, data); err != nil {
		return fmt.Errorf("ask %s: %w", subject, err)
	}
	for wait := first; ; wait = next {
		m, err := nextWithin(ctx, sub, wait)
		switch {
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
			return nil
		case err != nil:
			return fmt.Errorf("ask %s: %w", subject, err)
		case len(m.Data) == 0 && m.Header.Get("Status") == "503":
			return fmt.Errorf("ask %s: %w", subject, errNobody)
		}
		if each(m) {
			return nil
		}
	}
}

func nextWithin(ctx context.Context, sub *nats.Subscription, wait time.Duration) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return sub.NextMsgWithContext(ctx)
}

// ping asks who is there.
func (l *link) ping(ctx context.Context) ([]identity, error) {
	var all []identity
	err := l.ask(ctx, subjectPing, nil, answerWithin, quietAfter, func(m *nats.Msg) bool {
		var a answer
		if json.Unmarshal(m.Data, &a) == nil && a.Server.ID != "" {
			all = append(all, a.Server)
		}
		return false
	})
	if err == nil && len(all) == 0 {
		err = errNobody
	}
	return all, err
}

// gather asks and waits for an answer of each server that is expected. Those that
// do not answer have none in what it returns.
func (l *link) gather(ctx context.Context, subject string, data []byte, expected map[string]*peer) (map[string]answer, error) {
	got, missing := map[string]answer{}, len(expected)
	if missing == 0 {
		return got, nil
	}
	err := l.ask(ctx, subject, data, answerWithin, answerWithin, func(m *nats.Msg) bool {
		var a answer
		if json.Unmarshal(m.Data, &a) != nil || expected[a.Server.ID] == nil {
			return false
		}
		if _, twice := got[a.Server.ID]; !twice {
			missing--
		}
		got[a.Server.ID] = a
		return missing == 0
	})
	return got, err
}

// list asks each server for the accounts that it has.
func (l *link) list(ctx context.Context, expected map[string]*peer) (map[string][]string, error) {
	answers, err := l.gather(ctx, subjectList, nil, expected)
	if err != nil {
		return nil, err
	}
	lists := make(map[string][]string, len(answers))
	for id, a := range answers {
		var keys []string
		if err := json.Unmarshal(a.Data, &keys); err != nil {
			return nil, fmt.Errorf("list of server %s: %w", a.Server.Name, err)
		}
		lists[id] = keys
	}
	return lists, nil
}

// sum is the hash of claims as a resolver counts them.
type sum = [sha256.Size]byte

// pack asks one of the servers for everything that it has, unless that has the
// hash already. It returns hashes by account; none when it has.
func (l *link) pack(ctx context.Context, hash sum) (differs map[string]sum, err error) {
	ended := false
	err = l.ask(ctx, subjectPack, hash[:], packWithin, packWithin, func(m *nats.Msg) bool {
		if len(m.Data) == 0 {
			ended = true
			return true
		}
		if differs == nil {
			differs = map[string]sum{}
		}
		for line := range strings.SplitSeq(string(m.Data), "\n") {
			if key, text, ok := strings.Cut(line, "|"); ok {
				differs[key] = sha256.Sum256([]byte(text))
			}
		}
		return false
	})
	if err == nil && !ended {
		err = errNobody
	}
	return differs, err
}
