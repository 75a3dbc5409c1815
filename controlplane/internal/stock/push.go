package stock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// pushers is how many accounts are on their way to a cluster at the same time.
const pushers = 32

// results is what servers said to what they were told.
type results struct {
	mu      sync.Mutex
	failed  map[string]map[string]struct{} // accounts that were refused, by server
	silent  map[string]struct{}            // servers that did not answer
	refusal error                          // one of them
}

func newResults() *results {
	return &results{failed: map[string]map[string]struct{}{}, silent: map[string]struct{}{}}
}

func (r *results) take(keys []string, expected map[string]*peer, answers map[string]answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, s := range expected {
		a, ok := answers[id]
		switch {
		case !ok:
			r.silent[id] = struct{}{}
		case a.Error != nil:
			if r.failed[id] == nil {
				r.failed[id] = map[string]struct{}{}
			}
			for _, key := range keys {
				r.failed[id][key] = struct{}{}
			}
			r.refusal = fmt.Errorf("server %s: %s", s.Name, a.Error.Description)
		}
	}
}

// heed leaves out who did not answer once: nobody waits for it again and again.
func (r *results) heed(expected map[string]*peer) map[string]*peer {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.silent) == 0 {
		return expected
	}
	heeded := make(map[string]*peer, len(expected))
	for id, p := range expected {
		if _, silent := r.silent[id]; !silent {
			heeded[id] = p
		}
	}
	return heeded
}

// tell pushes accounts as they are now to the servers that are expected to
// answer.
func (s *syncer) tell(ctx context.Context, l *link, keys []string, expected map[string]*peer) (*results, error) {
	out := newResults()
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		ended  []string
		failed error
	)
	next := make(chan string)
	for range min(pushers, len(keys)) {
		wg.Go(func() {
			for key := range next {
				over, err := s.tellOne(ctx, l, key, expected, out)
				mu.Lock()
				if over {
					ended = append(ended, key)
				}
				failed = errors.Join(failed, err)
				mu.Unlock()
			}
		})
	}
	for _, key := range keys {
		mu.Lock()
		broken := failed != nil
		mu.Unlock()
		if broken {
			break
		}
		next <- key
	}
	close(next)
	wg.Wait()
	if failed != nil {
		return nil, failed
	}
	for some := range slices.Chunk(ended, deletesMax) {
		request, err := s.cfg.Deletion(ctx, some)
		if err != nil {
			return nil, err
		}
		heeded := out.heed(expected)
		answers, err := l.gather(ctx, subjectDelete, []byte(request), heeded)
		if err != nil {
			return nil, err
		}
		out.take(some, heeded, answers)
	}
	return out, nil
}

// tellOne pushes one account, or says that it has ended.
func (s *syncer) tellOne(ctx context.Context, l *link, key string, expected map[string]*peer, out *results) (ended bool, err error) {
	text, err := s.claims(ctx, key)
	if err != nil || text == "" {
		return err == nil, err
	}
	expected = out.heed(expected)
	answers, err := l.gather(ctx, subjectUpdate, []byte(text), expected)
	if err == nil {
		out.take([]string{key}, expected, answers)
	}
	return false, err
}

// push tells all servers that are there of accounts, and notes who has everything
// up to the watermark, or what was reached before, now.
func (s *syncer) push(ctx context.Context, l *link, keys []string, watermark int64) error {
	expected := s.peers.present()
	out, err := s.tell(ctx, l, keys, expected)
	if err != nil {
		s.queue.back(keys)
		s.queue.wake()
		return err
	}
	s.reached = max(s.reached, watermark)
	s.settle(keys, expected, out)
	return nil
}

// settle writes down what servers said.
func (s *syncer) settle(keys []string, expected map[string]*peer, out *results) {
	now := time.Now().UTC()
	for id, p := range expected {
		if _, silent := out.silent[id]; silent {
			p.gone()
			s.fault(fmt.Errorf("server %s does not answer", p.Name))
			continue
		}
		for _, key := range keys {
			if _, failed := out.failed[id][key]; failed {
				p.owes[key] = struct{}{}
			} else {
				delete(p.owes, key)
			}
		}
		p.acknowledge(s.reached, now)
	}
	if out.refusal != nil {
		s.fault(out.refusal)
	}
	if len(s.peers.owed()) > 0 {
		s.retry.Reset(s.pause.Next())
	} else {
		s.pause.Reset()
	}
}

// heardShutdown takes a server's word that it stops.
func (s *syncer) heardShutdown(data []byte) {
	var a answer
	if json.Unmarshal(data, &a) == nil && a.Server.ID != "" {
		s.peers.exited(a.Server.ID)
	}
}

// lastWords takes in what was said before a connection ended.
func (s *syncer) lastWords(l *link) {
	for {
		select {
		case m := <-l.shutdowns:
			s.heardShutdown(m.Data)
		default:
			return
		}
	}
}
