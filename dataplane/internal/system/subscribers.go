package system

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coveymq/covey/dataplane/internal/conn"
	"github.com/coveymq/covey/dataplane/internal/subject"
)

// othersWait is how long the other brokers have to count their subscribers.
const othersWait = 500 * time.Millisecond

// subscriberCount is where brokers ask each other for subscribers. One without
// connections of the account does not answer.
const subscriberCount = "$SYS.REQ.ACCOUNT.NSUBS"

// count is a question to other brokers for their subscribers.
type count struct {
	Account string `json:"acc"`
	Subject string `json:"subject"`
	Queue   []byte `json:"queue,omitempty"`
}

// subscribers counts those who would get a message, or, for a wildcard, those
// whose subject is within it; with a queue group behind the subject, its members
// only. It asks the other brokers, too.
func (s *Service) subscribers(m *conn.Message) {
	if m.Reply == "" {
		return
	}
	args := strings.Fields(string(m.Body))
	if len(args) == 0 {
		s.reply(m, 0, "")
		return
	}
	q := count{Account: m.Account.Key, Subject: args[0]}
	if len(args) > 1 {
		q.Queue = []byte(args[1])
	}
	n := int64(s.count(&q))
	sys := s.account()
	asked := s.cfg.Host.Audience(sys, subscriberCount)
	if asked == 0 {
		s.reply(m, n, "")
		return
	}
	s.group.Side(func(ctx context.Context) error {
		s.reply(m, n+s.askOthers(ctx, &q, asked), "")
		return nil
	})
}

// askOthers adds up what the other brokers count.
func (s *Service) askOthers(ctx context.Context, q *count, asked int) int64 {
	ctx, cancel := context.WithTimeout(ctx, othersWait)
	defer cancel()
	var sum, answers atomic.Int64
	tok, ok := s.asks.begin(time.Now().Add(othersWait), func(m *conn.Message) {
		if n, err := strconv.ParseInt(string(m.Body), 10, 32); err == nil {
			sum.Add(n)
		}
		if answers.Add(1) >= int64(asked) {
			cancel()
		}
	})
	if !ok {
		return 0
	}
	defer s.asks.end(tok)
	if s.publish(subscriberCount, s.inbox(tok), q) {
		<-ctx.Done()
	}
	return sum.Load()
}

// nsubs answers another broker that counts subscribers.
func (s *Service) nsubs(m *conn.Message) {
	var q count
	if err := json.Unmarshal(m.Body, &q); err != nil {
		s.cfg.Log.Warn("request for a count of subscribers cannot be read", "err", err)
		return
	}
	if a := s.cfg.Accounts.Loaded(q.Account); a != nil && a.Members() > 0 && m.Reply != "" {
		s.reply(m, s.count(&q), "")
	}
}

// count counts our own clients' subscriptions.
func (s *Service) count(q *count) int {
	literal := !subject.HasWildcard(q.Subject)
	n := 0
	for _, c := range s.cfg.Host.Clients() {
		if id := c.Identity(); id == nil || id.Account.Key != q.Account {
			continue
		}
		for _, sub := range c.Subscriptions(-1) {
			if q.Queue != nil && sub.Queue != string(q.Queue) {
				continue
			}
			if literal && subject.Matches(q.Subject, sub.Subject) || !literal && subject.Matches(sub.Subject, q.Subject) {
				n++
			}
		}
	}
	return n
}
