package system

import (
	"context"
	"encoding/json"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/conn"
	"github.com/coveymq/covey/dataplane/internal/ration"
)

// ratesSubject is where brokers of our kind tell each other what accounts with
// rates ask of them. Others do not listen there.
const ratesSubject = "$SYS.COVEY.RATES"

const (
	// wordsMax is how many accounts one message tells of at most.
	wordsMax = 500
	// looks is after how many ticks all accounts with rates are looked at.
	looks = 10
)

// rations is a message about rates.
type rations struct {
	Server   string        `json:"server_id"`
	Accounts []ration.Word `json:"accounts"`
}

// divideRates keeps the parts of the accounts' rates that are this broker's, as
// long as there is a cluster.
func (s *Service) divideRates(ctx context.Context) error {
	t := time.NewTicker(ration.Interval)
	defer t.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
		s.cfg.Accounts.Rated().SetPart(s.rates.Kin(s.cfg.Kin(), s.seated))
		if news := s.cfg.Accounts.Rated().News(); s.rates.Missed() || news || n%looks == 0 {
			s.rates.Look(s.seated)
		}
		s.tellRates(s.rates.Tick(time.Now()))
	}
}

// seated calls visit for all accounts with rates and connections.
func (s *Service) seated(visit func(string, ration.Account)) {
	s.cfg.Accounts.Rated().Each(func(a *account.Account) {
		if a.Members() > 0 {
			visit(a.Key, a)
		}
	})
}

func (s *Service) tellRates(words []ration.Word) {
	for len(words) > 0 {
		n := min(len(words), wordsMax)
		s.publish(ratesSubject, "", rations{Server: s.cfg.ID, Accounts: words[:n]})
		words = words[n:]
	}
}

// hearRates hears what another broker tells. Our own clients in the system account
// may publish there, but are not believed.
func (s *Service) hearRates(m *conn.Message) {
	var told rations
	if err := json.Unmarshal(m.Body, &told); err != nil || told.Server == "" || m.From != nil {
		s.cfg.Log.Warn("what is said of accounts' rates makes no sense", "err", err)
		return
	}
	if s.cfg.Peer != nil && s.cfg.Peer(told.Server) {
		s.rates.Hear(told.Server, told.Accounts, time.Now())
	}
}

// joinedRates notes that an account has a connection here, if it has rates.
func (s *Service) joinedRates(a *account.Account) {
	if s.cfg.Kin != nil && a.HasRates() {
		s.rates.Joined(a.Key, a, time.Now())
	}
}
