package share

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/dataplane/internal/transform"
)

// FromClaims reads the terms of an account's claims; nil if there are none. What
// means nothing is left out; faults say so.
func FromClaims(claims *jwt.AccountClaims) (*Terms, []string) {
	var faults []string
	t := &Terms{}
	for _, source := range slices.Sorted(maps.Keys(claims.Mappings)) {
		var dests []transform.Dest
		for _, d := range claims.Mappings[source] {
			dests = append(dests, transform.Dest{Subject: string(d.Subject), Weight: d.GetWeight(), Cluster: d.Cluster})
		}
		if t.Mappings == nil {
			t.Mappings = &transform.Mappings{}
		}
		if err := t.Mappings.Add(string(source), dests...); err != nil {
			faults = append(faults, fmt.Sprintf("subject mapping %q: %v", source, err))
		}
	}
	for _, e := range claims.Exports {
		made := fromExport(e)
		if err := made.Check(); err != nil {
			faults = append(faults, fmt.Sprintf("%s export %q: %v", made.Kind, made.Subject, err))
			continue
		}
		t.Exports = append(t.Exports, made)
	}
	for i := range t.Exports {
		e := &t.Exports[i]
		if err := t.CheckLatency(e); err != nil {
			faults = append(faults, fmt.Sprintf("latency of service export %q: %v", e.Subject, err))
			e.Latency = nil
		}
	}
	for _, im := range claims.Imports {
		made, err := fromImport(im)
		if err != nil {
			faults = append(faults, fmt.Sprintf("%s import %q: %v", made.Kind, made.Subject, err))
			continue
		}
		t.Imports = append(t.Imports, made)
	}
	if t.Mappings == nil && t.Exports == nil && t.Imports == nil {
		t = nil
	}
	return t, faults
}

func fromExport(e *jwt.Export) Export {
	made := Export{
		Kind: kindOf(e.Type), Subject: string(e.Subject), Token: e.TokenReq, Position: int(min(e.AccountTokenPosition, math.MaxInt32)),
		Revocations: e.Revocations, Threshold: e.ResponseThreshold, AllowTrace: e.AllowTrace,
	}
	switch e.ResponseType {
	case jwt.ResponseTypeStream:
		made.Response = Streamed
	case jwt.ResponseTypeChunked:
		made.Response = Chunked
	default:
	}
	if e.Latency != nil {
		made.Latency = &Latency{Percent: int(e.Latency.Sampling), Results: string(e.Latency.Results)}
	}
	return made
}

func kindOf(t jwt.ExportType) Kind {
	if t == jwt.Service {
		return Service
	}
	return Stream
}

func fromImport(im *jwt.Import) (Import, error) {
	made := Import{
		Kind: kindOf(im.Type), Account: im.Account, Subject: string(im.Subject),
		Local: string(im.LocalSubject), Share: im.Share, AllowTrace: im.AllowTrace, Claim: im,
	}
	to := im.GetTo()
	if made.Local != "" || to == "" {
		return made, nil
	}
	if made.Kind == Service {
		made.Local, made.Subject = made.Subject, to
		return made, nil
	}
	local, err := Prefixed(to, made.Subject)
	made.Local = local
	return made, err
}
