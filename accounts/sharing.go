package accounts

import (
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/internal/errs"
)

// ShareType is which way messages of an export go.
type ShareType string

// The types of exports.
const (
	Stream  ShareType = "stream"  // importers receive what the exporter publishes
	Service ShareType = "service" // importers ask, the exporter answers
)

// Answers is how a service answers one request.
type Answers string

// The ways to answer. The zero value is one message.
const (
	AnswersOne     Answers = ""
	AnswersMany    Answers = "stream"
	AnswersChunked Answers = "chunked"
)

// Export is a subject that other accounts may import with an activation token.
type Export struct {
	Name              string
	Description       string
	Subject           string
	Type              ShareType
	Answers           Answers
	ResponseThreshold time.Duration
	LatencySubject    string // where measurements go; "" is nowhere
	LatencyPercent    int
	Revoked           map[string]int64 // by account key: activations issued up to that second are refused
}

// Import is what an account takes from another.
type Import struct {
	Name           string
	Account        string // the exporter's public key
	Subject        string // in the exporter
	Local          string // in the importer; "" is the same
	Type           ShareType
	ShareRequestor bool
	Activation     string
}

const (
	descriptionMax       = 250
	responseThresholdMax = 24 * time.Hour
	revokedActivations   = 1000 // of one export; they are in the claims that every broker of the account holds
)

// Validate checks an export; field is where it sits in the request.
func (e Export) Validate(field string) error {
	if err := validateSubject(e.Subject); err != nil {
		return shareError(err, field+".subject")
	}
	if len(e.Subject) > subjectBytesMax {
		return invalidShare("a subject of %d bytes is longer than %d", len(e.Subject), subjectBytesMax).WithField(field + ".subject")
	}
	if len(e.Description) > descriptionMax {
		return invalidShare("the description is longer than %d bytes", descriptionMax).WithField(field + ".description")
	}
	if e.Type != Stream && e.Type != Service {
		return invalidShare("an export is a stream or a service").WithField(field + ".type")
	}
	if e.ResponseThreshold < 0 || e.ResponseThreshold > responseThresholdMax {
		return invalidShare("an answer cannot take %s", e.ResponseThreshold).WithField(field + ".response_threshold_ms")
	}
	if e.Type == Stream && (e.Answers != AnswersOne || e.ResponseThreshold != 0 || e.LatencySubject != "") {
		return invalidShare("a stream has no answers").WithField(field + ".type").WithNext("leave out what is only of services, or export a service")
	}
	return e.validateLatency(field)
}

func (e Export) validateLatency(field string) error {
	if e.LatencySubject == "" {
		if e.LatencyPercent != 0 {
			return invalidShare("latency is sampled for nobody").WithField(field + ".latency_sampling_percent").WithNext("say where measurements go, too")
		}
		return nil
	}
	if err := validateSubject(e.LatencySubject); err != nil {
		return shareError(err, field+".latency_subject")
	}
	if wildcards(e.LatencySubject) > 0 {
		return invalidShare("measurements cannot go to %q", e.LatencySubject).WithField(field + ".latency_subject").WithNext("leave out the wildcards")
	}
	if e.LatencyPercent < 0 || e.LatencyPercent > 100 {
		return invalidShare("%d of a hundred requests cannot be sampled", e.LatencyPercent).WithField(field + ".latency_sampling_percent")
	}
	return nil
}

// Revoke returns e with the activations of an account refused that were issued
// up to a second. Nothing in place changes.
func (e Export) Revoke(account string, second int64) (Export, error) {
	if len(e.Revoked) >= revokedActivations && e.Revoked[account] == 0 {
		return e, errs.New(errs.Exhausted, "ACTIVATION_QUOTA", "%d accounts lost their right to the export, and no more can be remembered", len(e.Revoked)).
			WithNext("make another export of the subject, and delete this one")
	}
	revoked := map[string]int64{account: second}
	for key, at := range e.Revoked {
		revoked[key] = max(at, revoked[key])
	}
	e.Revoked = revoked
	return e, nil
}

func (e Export) claims() *jwt.Export {
	out := &jwt.Export{
		Name: e.Name, Subject: jwt.Subject(e.Subject), Type: e.Type.claims(), TokenReq: true,
		ResponseThreshold: e.ResponseThreshold, Info: jwt.Info{Description: e.Description},
	}
	switch {
	case e.Type != Service:
	case e.Answers == AnswersMany:
		out.ResponseType = jwt.ResponseTypeStream
	case e.Answers == AnswersChunked:
		out.ResponseType = jwt.ResponseTypeChunked
	default:
		out.ResponseType = jwt.ResponseTypeSingleton
	}
	if e.LatencySubject != "" {
		percent := e.LatencyPercent
		if percent == 0 {
			percent = 100
		}
		out.Latency = &jwt.ServiceLatency{Sampling: jwt.SamplingRate(percent), Results: jwt.Subject(e.LatencySubject)}
	}
	for key, at := range e.Revoked {
		out.RevokeAt(key, time.Unix(at, 0))
	}
	return out
}

func (t ShareType) claims() jwt.ExportType {
	switch t {
	case Stream:
		return jwt.Stream
	case Service:
		return jwt.Service
	}
	return jwt.Unknown
}

// Validate checks an import; field is where it sits in the request.
func (i Import) Validate(field string) error {
	if err := validateSubject(i.Subject); err != nil {
		return shareError(err, field+".subject")
	}
	if i.ShareRequestor && i.Type != Service {
		return invalidShare("a stream has no requestors").WithField(field + ".share_requestor")
	}
	if i.Local == "" {
		return nil
	}
	if err := validateSubject(i.Local); err != nil {
		return shareError(err, field+".local_subject")
	}
	results := jwt.CreateValidationResults()
	jwt.RenamingSubject(i.Local).Validate(jwt.Subject(i.Subject), results)
	for _, issue := range results.Issues {
		if issue.Blocking {
			return invalidShare("%s", issue.Description).WithField(field+".local_subject").
				WithNext("name every wildcard of %q once, as * or $1, $2 and so on", i.Subject)
		}
	}
	return nil
}

func (i Import) claims() *jwt.Import {
	return &jwt.Import{
		Name: i.Name, Subject: jwt.Subject(i.Subject), Account: i.Account, Token: i.Activation,
		LocalSubject: jwt.RenamingSubject(i.Local), Type: i.Type.claims(), Share: i.ShareRequestor,
	}
}

// Activation is the right of an account to import.
type Activation struct {
	Importer, Exporter string // public account keys
	Subject            string
	Type               ShareType
	Expires            time.Time // zero: never
}

// SignActivation signs an activation with a signing key of the exporter. It
// returns the token and the second that it was issued in.
func SignActivation(a Activation, key Signer) (string, int64, error) {
	claims := jwt.NewActivationClaims(a.Importer)
	claims.IssuerAccount, claims.ImportSubject, claims.ImportType = a.Exporter, jwt.Subject(a.Subject), a.Type.claims()
	claims.Name = a.Subject
	if !a.Expires.IsZero() {
		claims.Expires = a.Expires.Unix()
	}
	text, err := sign(claims, key)
	return text, claims.IssuedAt, err
}

// Contains reports whether every subject that matches inner matches outer. It
// is stricter than the claims library, for which a.* contains a.> too.
func Contains(outer, inner string) bool {
	in := strings.Split(inner, ".")
	for k, token := range strings.Split(outer, ".") {
		switch {
		case k >= len(in):
			return false
		case token == ">":
			return true
		case in[k] == ">", token != "*" && token != in[k]:
			return false
		}
	}
	return len(in) == strings.Count(outer, ".")+1
}

// LocalPattern returns what subjects of the importer an import is about: local,
// with wildcards for its references, or subject when there is none.
func LocalPattern(local, subject string) string {
	if local == "" {
		return subject
	}
	return string(jwt.RenamingSubject(local).ToSubject())
}

func wildcards(subject string) int {
	n := 0
	for token := range strings.SplitSeq(subject, ".") {
		if token == "*" || token == ">" {
			n++
		}
	}
	return n
}

// shareError gives the refusal of a subject the reason of sharing.
func shareError(err *errs.Error, field string) error {
	return invalidShare("%s", err.Message).WithField(field)
}

func invalidShare(format string, args ...any) *errs.Error {
	return errs.New(errs.Invalid, "INVALID_SHARE", format, args...)
}

// sharing puts exports and imports into claims, in the order of their names.
func (spec AccountSpec) sharing(claims *jwt.AccountClaims) {
	byName := func(a, b string) int { return strings.Compare(a, b) }
	exports := slices.SortedFunc(slices.Values(spec.Exports), func(a, b Export) int { return byName(a.Name, b.Name) })
	for _, e := range exports {
		claims.Exports.Add(e.claims())
	}
	imports := slices.SortedFunc(slices.Values(spec.Imports), func(a, b Import) int { return byName(a.Name, b.Name) })
	for _, i := range imports {
		claims.Imports.Add(i.claims())
	}
}
