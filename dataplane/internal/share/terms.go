package share

import (
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/dataplane/internal/transform"
)

// Terms are what one account gives, takes and rewrites. Nil is nothing at all.
// Immutable once in use.
type Terms struct {
	Exports  []Export
	Imports  []Import
	Mappings *transform.Mappings // of what its clients publish; nil for none
}

// Kind is what is shared.
type Kind uint8

// The kinds.
const (
	Stream  Kind = iota // messages go from the exporter to importers
	Service             // requests go from importers to the exporter, answers back
)

func (k Kind) String() string {
	if k == Service {
		return "service"
	}
	return "stream"
}

// Response is how many answers a request to a service may get.
type Response uint8

// The responses.
const (
	Singleton Response = iota // one
	Streamed                  // any number
	Chunked                   // any number, ended by an empty one
)

// DefaultThreshold is how long a service may take to answer.
const DefaultThreshold = 2 * time.Minute

// Export is a subject that others may import.
type Export struct {
	Kind     Kind
	Subject  string
	Token    bool     // importers need an activation token
	Accounts []string // who may import; nil for everybody, or whoever has a token
	// Position is which token of the subject, from 1, must be the importer's key;
	// 0 for none.
	Position    int
	Revocations map[string]int64 // of tokens, as those of users

	// Of services.
	Response   Response
	Threshold  time.Duration // for an answer; 0 for the default
	AllowTrace bool
	Latency    *Latency
}

// Latency says which requests to a service are measured, and where that is told.
type Latency struct {
	Percent int // 0 for those whose headers ask for it
	Results string
}

// Import is a subject of another account.
type Import struct {
	Kind    Kind
	Account string // the exporter's key
	Subject string // there
	// Local is the subject here, with wildcards or numbered ones in it; empty for
	// the same. Of a stream it may come from a prefix.
	Local      string
	Share      bool        // the exporter learns who asks
	AllowTrace bool        // of streams
	Claim      *jwt.Import // with its activation token; nil without claims
}

// To returns the subject here.
func (im *Import) To() string {
	if im.Local == "" {
		return im.Subject
	}
	return im.Local
}

// AnswerWithin returns how long an answer may take.
func (e *Export) AnswerWithin() time.Duration {
	if e.Threshold > 0 {
		return e.Threshold
	}
	return DefaultThreshold
}
