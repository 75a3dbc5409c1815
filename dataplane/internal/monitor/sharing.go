package monitor

import (
	"cmp"
	"slices"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/share"
)

// Export is what an account gives others.
type Export struct {
	jwt.Export
	Approved []string             `json:"approved_accounts,omitempty"`
	Revoked  map[string]time.Time `json:"revoked_activations,omitempty"`
}

// Import is what an account takes from another.
type Import struct {
	jwt.Import
	Invalid  bool                `json:"invalid"`
	Share    bool                `json:"share"`
	Tracking bool                `json:"tracking"`
	Latency  *jwt.ServiceLatency `json:"latency,omitempty"`
}

// Mapped is where a mapping leads, with the weights as they were given; those of
// nats-server are sums.
type Mapped struct {
	Subject string `json:"subject"`
	Weight  uint8  `json:"weight"`
	Cluster string `json:"cluster,omitempty"`
}

// share fills in what an account shares.
func (i *AccountInfo) share(a *account.Account) {
	t := a.State().Terms
	if t == nil {
		return
	}
	for j := range t.Exports {
		i.Exports = append(i.Exports, exported(&t.Exports[j]))
	}
	links := a.Links()
	for j := range t.Imports {
		i.Imports = append(i.Imports, imported(&t.Imports[j], links))
	}
	i.Complete = len(links.Faults()) == 0
	if t.Mappings == nil {
		return
	}
	i.Mappings = make(map[string][]Mapped)
	for _, m := range t.Mappings.All() {
		for _, d := range m.Dests {
			i.Mappings[m.Source] = append(i.Mappings[m.Source], Mapped{d.Subject, d.Weight, d.Cluster})
		}
	}
}

func kindOf(k share.Kind) jwt.ExportType {
	if k == share.Service {
		return jwt.Service
	}
	return jwt.Stream
}

func exported(e *share.Export) Export {
	out := Export{Approved: slices.Sorted(slices.Values(e.Accounts))}
	out.Subject, out.Type, out.TokenReq = jwt.Subject(e.Subject), kindOf(e.Kind), e.Token
	if e.Kind == share.Service {
		out.Latency = latencyOf(e)
		out.ResponseType = map[share.Response]jwt.ResponseType{
			share.Singleton: jwt.ResponseTypeSingleton, share.Streamed: "Streamed", share.Chunked: jwt.ResponseTypeChunked,
		}[e.Response]
	}
	if len(e.Revocations) > 0 {
		out.Revoked = make(map[string]time.Time, len(e.Revocations))
		for key, until := range e.Revocations {
			out.Revoked[key] = time.Unix(until, 0).UTC()
		}
	}
	return out
}

func latencyOf(e *share.Export) *jwt.ServiceLatency {
	if e.Latency == nil {
		return nil
	}
	return &jwt.ServiceLatency{Sampling: jwt.SamplingRate(e.Latency.Percent), Results: jwt.Subject(e.Latency.Results)}
}

// imported tells of an import, in force or not.
func imported(im *share.Import, links *account.Links) Import {
	out := Import{Invalid: true, Share: im.Share}
	out.Subject, out.Account, out.Type = jwt.Subject(im.Subject), im.Account, kindOf(im.Kind)
	local := im.To()
	if link := links.Of(im); link != nil {
		out.Invalid, local = false, link.Local
		if im.Kind == share.Service {
			out.Latency = latencyOf(link.Export)
		}
	}
	out.LocalSubject = jwt.RenamingSubject(local)
	if im.Kind == share.Service {
		out.To = jwt.Subject(local) //nolint:staticcheck // nats-server says it twice
	}
	return out
}

// sortSharing puts what an account shares in an order that does not change.
func (i *AccountInfo) sortSharing() {
	slices.SortFunc(i.Exports, func(a, b Export) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Subject, b.Subject))
	})
	slices.SortFunc(i.Imports, func(a, b Import) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Account, b.Account), cmp.Compare(a.Subject, b.Subject))
	})
}
