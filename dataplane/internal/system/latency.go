package system

import (
	"crypto/sha256"
	"errors"

	"github.com/coveymq/covey/dataplane/internal/conn"
)

// halfSubject is where brokers tell each other of requests that they measure, by
// the node that asked.
const halfSubject = "$SYS.LATENCY.M2."

// Node is what other brokers call this one there: eight characters that depend on
// its name alone, as among nats-servers.
func (s *Service) Node() string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	sum := sha256.Sum256([]byte(s.cfg.Name))
	node := sum[:8]
	for i, b := range node {
		node[i] = digits[int(b)%len(digits)]
	}
	return string(node)
}

// PublishHalf sends what is known here of a request to the broker that asked.
func (s *Service) PublishHalf(node string, half any) { s.publish(halfSubject+node, "", half) }

var errForged = errors.New("a client of this broker said it")

// hearHalf takes what another broker knows of a request of ours. Our own clients in
// the system account may publish there, but are not believed.
func (s *Service) hearHalf(m *conn.Message) {
	err := errForged
	if m.From == nil {
		err = s.cfg.Host.Measured(m.Body)
	}
	if err != nil {
		s.cfg.Log.Warn("what another broker says of a request makes no sense", "subject", m.Subject, "err", err)
	}
}
