package system

import (
	"encoding/json"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/conn"
)

// PublishTrace sends what became of a message to whom it names, who may be with
// another broker.
func (s *Service) PublishTrace(a *account.Account, dest, accept string, event *conn.MessageTrace) {
	if !s.cfg.Host.Wanted(a, dest) {
		return
	}
	event.Server = s.self()
	b, err := json.Marshal(event)
	if err != nil {
		s.cfg.Log.Error("a trace cannot be encoded", "account", a.Key, "err", err)
		return
	}
	var header []byte
	if encoding := encodingOf(accept); encoding != "" {
		if b, err = compress(encoding, b); err != nil {
			s.cfg.Log.Error("a trace cannot be compressed", "account", a.Key, "err", err)
			return
		}
		header = []byte("NATS/1.0\r\nContent-Encoding: " + encoding + "\r\n\r\n")
	}
	s.send(a, dest, header, b)
}
