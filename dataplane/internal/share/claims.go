package share

import (
	"fmt"
	"maps"
	"slices"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/dataplane/internal/transform"
)

// FromClaims reads the terms of an account's claims. What means nothing is left
// out; faults say so.
func FromClaims(claims *jwt.AccountClaims) (t *Terms, faults []string) {
	t = &Terms{}
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
	if t.Mappings == nil {
		t = nil
	}
	return t, faults
}
