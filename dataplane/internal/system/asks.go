package system

import (
	"crypto/rand"
	"strings"
	"sync"
	"time"

	"github.com/coveymq/covey/dataplane/internal/conn"
)

// asksMax bounds the questions to other brokers that are open at a time.
const asksMax = 4096

// asks are our questions to other brokers. Answers come to one subject that ends
// in the question's token, so that no interest has to travel for each.
type asks struct {
	mu   sync.Mutex
	open map[string]ask // by token; guarded by mu
}

type ask struct {
	until  time.Time
	answer func(*conn.Message)
}

// begin opens a question. It reports false if there are too many.
func (a *asks) begin(until time.Time, answer func(*conn.Message)) (token string, ok bool) {
	token = rand.Text()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open == nil {
		a.open = make(map[string]ask)
	}
	if len(a.open) >= asksMax {
		return "", false
	}
	a.open[token] = ask{until, answer}
	return token, true
}

func (a *asks) end(token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.open, token)
}

// sweep ends the questions whose time is over.
func (a *asks) sweep(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for token, q := range a.open {
		if now.After(q.until) {
			delete(a.open, token)
		}
	}
}

// answered hands an answer to who asked.
func (a *asks) answered(m *conn.Message) {
	token := m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]
	a.mu.Lock()
	q, ok := a.open[token]
	a.mu.Unlock()
	if ok {
		q.answer(m)
	}
}

// inbox is where answers to us come to.
func (s *Service) inbox(token string) string { return "$SYS._INBOX." + s.cfg.ID + "." + token }
