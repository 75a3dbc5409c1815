package route

import (
	"encoding/json"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/dataplane/internal/egress"
	"github.com/coveymq/covey/dataplane/internal/permission"
)

// Permissions say what crosses routes. Import is what our clients may get from
// other brokers, Export what others' clients may get from us; nil for all.
type Permissions struct {
	Import, Export *Subjects
}

// Subjects are allowed, if there are any, and denied.
type Subjects struct {
	Allow []string `json:"allow,omitempty"`
	Deny  []string `json:"deny,omitempty"`
}

func (s *Subjects) permission() jwt.Permission {
	if s == nil {
		return jwt.Permission{}
	}
	return jwt.Permission{Allow: s.Allow, Deny: s.Deny}
}

// set compiles the permissions: import as publishing, export as subscribing, as
// nats-server takes them. It is nil when all is allowed.
func (p *Permissions) set() *permission.Set {
	return permission.New(&jwt.Permissions{Pub: p.Import.permission(), Sub: p.Export.permission()})
}

func (s *Subjects) json() json.RawMessage {
	if s == nil {
		return nil
	}
	b, err := json.Marshal(s)
	if err != nil {
		return nil // lists of strings can always be encoded
	}
	return b
}

// restrict notes that what goes over the link must be checked, if so.
func (l *link) restrict() {
	if l.allowed != nil {
		l.out.Flags.Or(egress.Filtered)
	}
}

// imports reports whether the peer is told of interest in a subject.
func (l *link) imports(subject string) bool {
	return l.allowed == nil || l.allowed.Publish([]byte(subject))
}

// Admits reports whether a message may go to the peer.
func (l *link) Admits(subject []byte) bool { return l.allowed.Deliver(subject, "") }
