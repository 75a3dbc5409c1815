package share

import (
	"errors"
	"time"

	"github.com/coveymq/covey/dataplane/internal/subject"
)

// Errors of a latency measurement, in nats-server's words.
var (
	errSampling = errors.New("bad sampling percentage, should be 1-100")
	errResults  = errors.New("invalid publish subject")
	errType     = errors.New("bad service response type")
)

// Verify links all imports of accounts that are known at once: those of streams
// first, then those of services. Report hears of each that cannot be.
func Verify(sides []*Side, now time.Time, report func(importer *Side, im *Import, err error)) {
	byKey := make(map[string]*Side, len(sides))
	for _, s := range sides {
		byKey[s.Key] = s
	}
	look := func(key string) *Side { return byKey[key] }
	for _, k := range [...]Kind{Stream, Service} {
		for _, s := range sides {
			if s.Terms == nil {
				continue
			}
			for i := range s.Terms.Imports {
				im := &s.Terms.Imports[i]
				if im.Kind != k {
					continue
				}
				if l, err := NewLink(s, im, look, now); err != nil {
					report(s, im, err)
				} else {
					s.Links = append(s.Links, l)
				}
			}
		}
	}
}

// CheckLatency refuses a measurement of an export that cannot be.
func (t *Terms) CheckLatency(e *Export) error {
	l := e.Latency
	switch {
	case l == nil:
		return nil
	case l.Percent < 0 || l.Percent > 100:
		return errSampling
	case !subject.ValidLiteral(l.Results) || t.export(Service, l.Results) != nil:
		return errResults
	case e.Response != Singleton:
		return errType
	}
	return nil
}
