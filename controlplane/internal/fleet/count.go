package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	fleetv1 "github.com/coveymq/covey/proto/covey/fleet/v1"
)

const (
	askPrefix    = root + "fleet/ask/"
	answerPrefix = root + "fleet/answer/"

	askLife   = 10 * time.Second // what is left of a question goes by itself
	askWithin = 2 * time.Second  // for all brokers together
	asksMax   = 64               // that wait for one broker
)

// Count is how many connections something has at the brokers that answered.
type Count struct {
	Connections int64
	Answered    int // brokers
	Missing     int // brokers that hold a lease and did not answer in time
}

// ask is a question to all brokers, whichever control plane they attend.
type ask struct {
	Account string           `json:"account"`
	User    string           `json:"user,omitempty"` // only its connections
	Lease   clientv3.LeaseID `json:"lease"`          // answers go with it

	id string
}

type counted struct {
	Connections int64 `json:"connections"`
}

// CountConnections asks all brokers that hold a lease how many connections an
// account, or one user of it, has. It costs one write for each of them.
func (s *Service) CountConnections(ctx context.Context, account, user string) (Count, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	lease, err := s.etcd.Grant(ctx, int64(askLife/time.Second))
	if err != nil {
		return Count{}, fmt.Errorf("ask brokers: %w", err)
	}
	text, err := json.Marshal(ask{Account: account, User: user, Lease: lease.ID})
	if err != nil {
		return Count{}, fmt.Errorf("encode question: %w", err)
	}
	id := uuid.NewString()
	done, err := s.etcd.Txn(ctx).Then(
		clientv3.OpPut(askPrefix+id, string(text), clientv3.WithLease(lease.ID)),
		clientv3.OpGet(leasePrefix, clientv3.WithPrefix(), clientv3.WithKeysOnly()),
	).Commit()
	if err != nil {
		return Count{}, fmt.Errorf("ask brokers: %w", err)
	}
	out := Count{Missing: len(done.Responses[1].GetResponseRange().Kvs)}
	answers := s.etcd.Watch(ctx, answerPrefix+id+"/", clientv3.WithPrefix(), clientv3.WithRev(done.Header.GetRevision()))
	for out.Missing > 0 {
		r, ok := <-answers
		if !ok || r.Err() != nil {
			return out, nil //nolint:nilerr // the time is over: who is missing is counted
		}
		for _, e := range r.Events {
			var n counted
			if e.Type != mvccpb.Event_PUT || json.Unmarshal(e.Kv.Value, &n) != nil {
				continue
			}
			out.Connections += n.Connections
			out.Answered++
			out.Missing--
		}
	}
	return out, nil
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
		err := ses.stream.Send(&fleetv1.AttendResponse{Message: &fleetv1.AttendResponse_CountConnections{
			CountConnections: &fleetv1.CountConnections{Id: a.id, AccountPublicKey: a.Account, UserPublicKey: a.User},
		}})
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
	if !asked || a.GetConnections() < 0 {
		return
	}
	text, err := json.Marshal(counted{a.GetConnections()})
	if err == nil {
		ctx, cancel := context.WithTimeout(ses.stream.Context(), askWithin)
		defer cancel()
		_, err = ses.service.etcd.Put(ctx, answerPrefix+a.GetId()+"/"+ses.broker, string(text), clientv3.WithLease(lease))
	}
	if err != nil {
		ses.log.LogAttrs(ses.stream.Context(), slog.LevelDebug, "answer not written", slog.Any("err", err))
	}
}
