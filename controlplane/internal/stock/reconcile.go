package stock

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/coveymq/covey/controlplane/internal/store"
)

const (
	claimsPage  = 500
	verifyAgain = 2 * time.Second // after something differed: servers hand each other what they have, the outdated too
)

// desired reads the hash of every account's claims at one revision.
func (s *syncer) desired(ctx context.Context) (map[string]sum, int64, error) {
	all := map[string]sum{}
	for page := (store.ClaimsPage{}); ; {
		var err error
		if page, err = s.cfg.Store.ClaimsFrom(ctx, page.Next, page.Revision, claimsPage); err != nil {
			return nil, 0, err
		}
		for key, text := range page.Claims {
			all[key] = sha256.Sum256([]byte(text))
		}
		if page.Next == "" {
			return all, page.Revision, nil
		}
	}
}

// reconcile compares the servers that are there with the store and pushes what
// differs. Several servers of which one may lack anything are told everything,
// because only the answer to an update says whose it is.
func (s *syncer) reconcile(ctx context.Context, l *link) error {
	wanted, revision, err := s.desired(ctx)
	if err != nil {
		return err
	}
	expected := s.peers.present()
	lists, err := l.list(ctx, expected)
	if err != nil {
		return err
	}
	for id, p := range expected {
		if lists[id] == nil {
			p.gone()
			delete(expected, id)
			s.fault(fmt.Errorf("server %s does not list its accounts: is its resolver of type full?", p.Name))
		}
	}
	if len(expected) == 0 {
		return errNobody
	}
	todo := map[string]struct{}{}
	if err := s.compareKeys(ctx, wanted, lists, todo); err != nil {
		return err
	}
	if s.peers.unsure() && len(expected) > 1 {
		for key := range wanted {
			todo[key] = struct{}{}
		}
	} else if err := s.compareClaims(ctx, l, wanted, todo); err != nil {
		return err
	}
	return s.even(ctx, l, todo, expected, revision)
}

// even pushes what differed and notes who has everything of a revision then.
func (s *syncer) even(ctx context.Context, l *link, todo map[string]struct{}, expected map[string]*peer, revision int64) error {
	keys := make([]string, 0, len(todo))
	for key := range todo {
		keys = append(keys, key)
	}
	s.lacking = len(keys)
	if len(keys) > 0 {
		if err := s.note(ctx); err != nil {
			return err
		}
	}
	out, err := s.tell(ctx, l, keys, expected)
	if err != nil {
		return err
	}
	// What differs once more right after it was pushed was not taken.
	again := len(keys) > 0 && s.repaired
	s.repaired = len(keys) > 0
	if !again {
		s.lacking = 0
	}
	for id, p := range expected {
		if _, silent := out.silent[id]; !silent {
			p.Unsure = false
		}
	}
	s.reached = max(s.reached, revision)
	s.settle(keys, expected, out)
	now := time.Now()
	if again {
		s.fault(fmt.Errorf("%d accounts differ again after they were pushed: look at the resolver's directory", len(keys)))
	}
	if len(keys) > 0 {
		s.verify = now.Add(min(verifyAgain, s.cfg.VerifyEvery))
		return nil
	}
	s.verify, s.status.VerifyTime = now.Add(s.cfg.VerifyEvery), now.UTC().Truncate(time.Second)
	if len(s.peers.owed()) == 0 {
		s.status.Error, s.status.ErrorTime = "", time.Time{}
	}
	return nil
}

// compareKeys finds the accounts that a server lacks, and those that it has though
// they have ended.
func (s *syncer) compareKeys(ctx context.Context, wanted map[string]sum, lists map[string][]string, todo map[string]struct{}) error {
	foreign := map[string]sum{}
	for _, keys := range lists {
		has := make(map[string]struct{}, len(keys))
		for _, key := range keys {
			has[key] = struct{}{}
			if _, ours := wanted[key]; ours {
				continue
			}
			if hash, known := s.foreign[key]; known {
				foreign[key] = hash
				continue
			}
			ref, err := s.cfg.Store.AccountByKey(ctx, key)
			switch {
			case errors.Is(err, store.ErrNotFound):
				foreign[key] = sum{}
			case err != nil:
				return err
			case !ref.DeleteTime.IsZero():
				todo[key] = struct{}{}
			}
		}
		for key := range wanted {
			if _, ok := has[key]; !ok {
				todo[key] = struct{}{}
			}
		}
	}
	s.foreign = foreign
	return nil
}

// compareClaims finds the accounts whose claims are others at the server that
// answers.
func (s *syncer) compareClaims(ctx context.Context, l *link, wanted map[string]sum, todo map[string]struct{}) error {
	var expected sum
	for _, all := range []map[string]sum{wanted, s.foreign} {
		for _, hash := range all {
			for i, b := range hash {
				expected[i] ^= b
			}
		}
	}
	differs, err := l.pack(ctx, expected)
	if err != nil || differs == nil {
		return err
	}
	for key, hash := range differs {
		if _, ok := s.foreign[key]; ok {
			s.foreign[key] = hash
		}
		if want, ours := wanted[key]; ours && want != hash {
			todo[key] = struct{}{}
		}
	}
	return nil
}
