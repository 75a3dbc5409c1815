package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	fleetv1 "github.com/coveymq/covey/proto/covey/fleet/v1"
)

const (
	askPrefix    = root + "fleet/ask/"
	answerPrefix = root + "fleet/answer/"

	askLife       = 10 * time.Second       // what is left of a question goes by itself
	askWithin     = 2 * time.Second        // for all brokers together
	askWithinPart = 100 * time.Millisecond // more, for each further part
	askWithinMax  = 8 * time.Second
	asksMax       = 64  // that wait for one broker
	selectionsMax = 500 // of one part of a question
)

// Selection is whose connections are counted: those of users of an account and
// those whose JWTs keys have signed, or all of the account without either.
type Selection struct {
	Account string   `json:"account"`
	Users   []string `json:"users,omitempty"`
	Issuers []string `json:"issuers,omitempty"`
}

// Count is how many connections selections have at the brokers that answered.
type Count struct {
	Connections []int64  // of each selection
	Answered    []string // brokers
	Missing     []string // brokers that hold a lease and did not answer in time
}

// ask is a part of a question to all brokers, whichever control plane they attend.
type ask struct {
	Of    []Selection      `json:"of"`
	Lease clientv3.LeaseID `json:"lease"` // answers go with it

	id string
}

type counted struct {
	Counts []int64 `json:"counts"` // of each selection; none from a broker that knows of none
}

// CountConnections asks all brokers that hold a lease how many connections there
// are. It costs one write for each of them, for every few hundred selections.
func (s *Service) CountConnections(ctx context.Context, of []Selection) (Count, error) {
	parts := slices.Collect(slices.Chunk(of, selectionsMax))
	q := question{parts: parts, out: Count{Connections: make([]int64, len(of))}, waits: map[string]int{}, seen: map[string]bool{}}
	ctx, cancel := context.WithTimeout(ctx, min(askWithin+askWithinPart*time.Duration(len(parts)), askWithinMax))
	defer cancel()
	there, err := s.etcd.Get(ctx, leasePrefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return Count{}, fmt.Errorf("ask brokers: %w", err)
	}
	if there.Count == 0 || len(parts) == 0 {
		return q.out, nil
	}
	for _, kv := range there.Kvs {
		q.waits[string(kv.Key[len(leasePrefix):])] = len(parts)
	}
	lease, err := s.etcd.Grant(ctx, int64(askLife/time.Second))
	if err != nil {
		return Count{}, fmt.Errorf("ask brokers: %w", err)
	}
	id := uuid.NewString() + "-"
	for i, part := range parts {
		text, err := json.Marshal(ask{Of: part, Lease: lease.ID})
		if err != nil {
			return Count{}, fmt.Errorf("encode question: %w", err)
		}
		if _, err := s.etcd.Put(ctx, askPrefix+id+strconv.Itoa(i), string(text), clientv3.WithLease(lease.ID)); err != nil {
			return Count{}, fmt.Errorf("ask brokers: %w", err)
		}
	}
	answers := s.etcd.Watch(ctx, answerPrefix+id, clientv3.WithPrefix(), clientv3.WithRev(there.Header.GetRevision()+1))
	for len(q.waits) > 0 {
		r, ok := <-answers
		if !ok || r.Err() != nil {
			break // the time is over: who is missing is named
		}
		for _, e := range r.Events {
			if e.Type == mvccpb.Event_PUT {
				q.hear(string(e.Kv.Key[len(answerPrefix+id):]), e.Kv.Value)
			}
		}
	}
	q.out.Missing = slices.Sorted(maps.Keys(q.waits))
	return q.out, nil
}

// question is one that is being answered.
type question struct {
	parts [][]Selection
	out   Count
	waits map[string]int  // parts that a broker has not answered yet
	seen  map[string]bool // answers; a broker that attends anew may give one twice
}

// hear takes the answer under a key: the part's number and the broker.
func (q *question) hear(key string, value []byte) {
	number, broker, _ := strings.Cut(key, "/")
	i, err := strconv.Atoi(number)
	var n counted
	if err != nil || i < 0 || i >= len(q.parts) || q.waits[broker] == 0 || q.seen[key] ||
		json.Unmarshal(value, &n) != nil || len(n.Counts) != len(q.parts[i]) {
		return
	}
	q.seen[key] = true
	for j, c := range n.Counts {
		q.out.Connections[i*selectionsMax+j] += max(c, 0)
	}
	if q.waits[broker]--; q.waits[broker] == 0 {
		delete(q.waits, broker)
		q.out.Answered = append(q.out.Answered, broker)
	}
}

// applyAsks hands questions to the sessions here.
func (f *feed) applyAsks(resp clientv3.WatchResponse) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range resp.Events {
		a := ask{id: string(e.Kv.Key[len(askPrefix):])}
		if e.Type != mvccpb.Event_PUT || json.Unmarshal(e.Kv.Value, &a) != nil {
			continue
		}
		for q := range f.queues {
			q.putAsk(a)
		}
	}
}

func (q *queue) putAsk(a ask) {
	q.change(func(o *orders) {
		if len(o.asks) < asksMax {
			o.asks = append(o.asks, a)
		}
	})
}

// ask sends questions, and remembers where the answers go.
func (ses *session) ask(asks []ask) error {
	for _, a := range asks {
		ses.mu.Lock()
		if len(ses.asked) >= asksMax {
			clear(ses.asked) // nobody waits for answers that are this late
		}
		ses.asked[a.id] = a.Lease
		ses.mu.Unlock()
		q := &fleetv1.CountConnections{Id: a.id}
		for _, s := range a.Of {
			q.Selections = append(q.Selections, &fleetv1.ConnectionSelection{
				AccountPublicKey: s.Account, UserPublicKeys: s.Users, IssuerPublicKeys: s.Issuers,
			})
		}
		err := ses.stream.Send(&fleetv1.AttendResponse{Message: &fleetv1.AttendResponse_CountConnections{CountConnections: q}})
		if err != nil {
			return err
		}
	}
	return nil
}

// answered writes a broker's answer down for who asked.
func (ses *session) answered(a *fleetv1.ConnectionCount) {
	ses.mu.Lock()
	lease, asked := ses.asked[a.GetId()]
	delete(ses.asked, a.GetId())
	ses.mu.Unlock()
	if !asked {
		return
	}
	text, err := json.Marshal(counted{a.GetCounts()})
	if err == nil {
		ctx, cancel := context.WithTimeout(ses.stream.Context(), askWithin)
		defer cancel()
		_, err = ses.service.etcd.Put(ctx, answerPrefix+a.GetId()+"/"+ses.broker, string(text), clientv3.WithLease(lease))
	}
	if err != nil {
		ses.log.LogAttrs(ses.stream.Context(), slog.LevelDebug, "answer not written", slog.Any("err", err))
	}
}
