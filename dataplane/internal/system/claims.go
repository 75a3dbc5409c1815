package system

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/conn"
)

// claimStatus is what became of claims.
type claimStatus struct {
	Account string `json:"account,omitempty"`
	Code    int    `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
}

// claimFault is why nothing became of them.
type claimFault struct {
	Account     string `json:"account,omitempty"`
	Code        int    `json:"code"`
	Description string `json:"description,omitempty"`
}

// claimResponse is the answer to claims.
type claimResponse struct {
	Server *Server      `json:"server"`
	Data   *claimStatus `json:"data,omitempty"`
	Error  *claimFault  `json:"error,omitempty"`
}

// outcome answers who brought or deleted claims, and logs what went wrong.
func (s *Service) outcome(m *conn.Message, key, message string, err error) {
	r := &claimResponse{Server: s.self()}
	if err == nil {
		s.cfg.Log.Debug(message, "account", key)
		r.Data = &claimStatus{Account: key, Code: http.StatusOK, Message: message}
	} else {
		s.cfg.Log.Warn(message, "account", key, "err", err)
		r.Error = &claimFault{Account: key, Code: http.StatusInternalServerError, Description: fmt.Sprintf("%s - %v", message, err)}
	}
	if m.Reply != "" {
		s.reply(m, r, "")
	}
}

// claimSubscriptions are what a broker listens to whose accounts come from a
// resolver. Those from a control plane come from nowhere else.
func (s *Service) claimSubscriptions(on func(*conn.Inbox, string, func(*conn.Message))) {
	if s.cfg.Resolver == nil {
		return
	}
	on(s.queries, "$SYS.REQ.ACCOUNT.*.CLAIMS.UPDATE", s.updateNamed)
	on(s.queries, "$SYS.ACCOUNT.*.CLAIMS.UPDATE", s.updateNamed)
	if s.cfg.Resolver.Store() == nil {
		return
	}
	on(s.queries, "$SYS.REQ.CLAIMS.UPDATE", s.update)
	on(s.queries, "$SYS.REQ.CLAIMS.LIST", s.list)
	on(s.queries, "$SYS.REQ.CLAIMS.DELETE", s.remove)
	if s.cfg.Full {
		on(s.pings, "$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP", s.lookup)
	}
}

var (
	errEmpty    = errors.New("request body is empty")
	errMismatch = errors.New("subject does not match jwt content")
)

// failed begins what is said of claims that are not taken.
func (s *Service) failed() string {
	if s.cfg.Resolver.Store() != nil && !s.cfg.Full {
		return "jwt update cache resulted in error"
	}
	return "jwt update resulted in error"
}

// updateNamed takes claims of the account that the subject names.
func (s *Service) updateNamed(m *conn.Message) {
	parts := strings.Split(m.Subject, ".")
	key := parts[len(parts)-3]
	switch claims, err := jwt.DecodeAccountClaims(string(m.Body)); {
	case len(m.Body) == 0 && s.cfg.Resolver.Store() == nil:
		s.outcome(m, key, "jwt update error", errEmpty)
	case err != nil:
		s.outcome(m, key, s.failed(), err)
	case claims.Subject != key:
		s.outcome(m, key, s.failed(), errMismatch)
	default:
		s.take(m, key)
	}
}

// update takes claims.
func (s *Service) update(m *conn.Message) {
	claims, err := jwt.DecodeAccountClaims(string(m.Body))
	if err != nil {
		s.outcome(m, "n/a", s.failed(), err)
		return
	}
	s.take(m, claims.Subject)
}

// take puts claims in force that were decoded. Unlike nats-server it takes none
// that no operator of ours signed: nobody could use them.
func (s *Service) take(m *conn.Message, key string) {
	token := string(m.Body)
	loaded := s.cfg.Accounts.Loaded(key) != nil
	store := s.cfg.Resolver.Store()
	switch {
	case s.cfg.Full:
	case loaded:
	case store != nil:
		s.outcome(m, key, "jwt update cache skipped", nil)
		return
	default:
		s.outcome(m, key, "jwt update skipped", nil)
		return
	}
	if err := s.cfg.Accounts.Verify(key, token); err != nil {
		s.outcome(m, key, s.failed(), err)
		return
	}
	if store != nil {
		if _, err := store.Save(key, token); err != nil {
			s.outcome(m, key, s.failed(), err)
			return
		}
	} else {
		s.cfg.Resolver.Update(key, token)
	}
	done := "jwt updated"
	if store != nil && !s.cfg.Full {
		done = "jwt updated cache"
	}
	s.enforce(m, key, token, done)
}

// enforce puts claims in force that are kept already, if the account is loaded.
func (s *Service) enforce(m *conn.Message, key, token, done string) {
	a := s.cfg.Accounts.Loaded(key)
	if a == nil {
		s.outcome(m, key, done, nil)
		return
	}
	if err := s.cfg.Accounts.Apply(key, token, a.State().Revision); err != nil {
		s.outcome(m, key, s.failed(), err)
		return
	}
	s.outcome(m, key, done, nil)
}

// lookup answers with the claims of an account, or with nothing if there are
// none. If that cannot be known there is no answer.
func (s *Service) lookup(m *conn.Message) {
	if m.Reply == "" {
		return
	}
	token, err := s.cfg.Resolver.Store().Find(accountOf(m))
	switch {
	case err == nil:
		s.send(m.Account, m.Reply, nil, []byte(token))
	case errors.Is(err, account.ErrUnknown):
		s.send(m.Account, m.Reply, nil, nil)
	default:
		s.cfg.Log.Error("claims cannot be looked up", "account", accountOf(m), "err", err)
	}
}

// list answers with the keys of all accounts.
func (s *Service) list(m *conn.Message) {
	if m.Reply != "" {
		s.reply(m, map[string]any{"server": s.self(), "data": s.cfg.Resolver.Store().Keys()}, "")
	}
}

// remove deletes accounts. The request is a JWT that an operator's key gave to
// itself.
func (s *Service) remove(m *conn.Message) {
	claims, err := jwt.DecodeGeneric(string(m.Body))
	if err != nil {
		s.outcome(m, "", "delete accounts request by  failed", err)
		return
	}
	keys, err := s.toRemove(claims)
	if err != nil {
		s.outcome(m, "", fmt.Sprintf("delete accounts request by %s failed", claims.Subject), err)
		return
	}
	var failed []error
	for _, key := range keys {
		if err := s.cfg.Resolver.Store().Remove(key); err != nil {
			failed = append(failed, err)
			continue
		}
		if a := s.cfg.Accounts.Loaded(key); a != nil {
			s.cfg.Accounts.Delete(key, a.State().Revision)
		}
	}
	message := fmt.Sprintf("deleted %d accounts", len(keys)-len(failed))
	if len(failed) > 0 {
		message += fmt.Sprintf(", failed for %d", len(failed))
	}
	s.outcome(m, "", message, errors.Join(failed...))
}

var (
	errNoDelete   = errors.New("delete must be enabled in server config")
	errNotSelf    = errors.New("not self signed")
	errNotTrusted = errors.New("not trusted")
	errMalformed  = errors.New("malformed request")
	errSystem     = errors.New("not allowed to delete system account")
)

// toRemove returns the accounts that claims ask to delete.
func (s *Service) toRemove(claims *jwt.GenericClaims) ([]string, error) {
	switch {
	case !s.cfg.Resolver.Store().Removes():
		return nil, errNoDelete
	case claims.Subject != claims.Issuer:
		return nil, errNotSelf
	case !s.cfg.Accounts.Trusts(claims.Issuer):
		return nil, errNotTrusted
	}
	var keys []string
	b, err := json.Marshal(claims.Data["accounts"])
	if err != nil || claims.Data["accounts"] == nil || json.Unmarshal(b, &keys) != nil {
		return nil, errMalformed
	}
	for _, key := range keys {
		switch {
		case !nkeys.IsValidPublicAccountKey(key):
			return nil, errMalformed
		case key == s.cfg.Account():
			return nil, errSystem
		}
	}
	return keys, nil
}
