package store

import (
	"context"
	"strings"
	"time"
)

// Collector is what is known of a collector of usage: which authority signed its
// certificate last.
type Collector struct {
	Stored

	Name       string    `json:"name"`
	Authority  string    `json:"authority"`
	ExpireTime time.Time `json:"expire_time"`
}

const (
	fleetAuthorityKey = FleetPrefix + "ca"
	collectorPrefix   = FleetPrefix + "collector/"
)

// FleetAuthority reads the fleet's certificate authorities, as the fleet service
// keeps them.
func (v *View) FleetAuthority(ctx context.Context) (string, error) {
	value, revision, err := v.get(ctx, fleetAuthorityKey)
	if err == nil && revision == 0 {
		err = ErrNotFound
	}
	return string(value), err
}

// PutFleetAuthority replaces them.
func (t *Tx) PutFleetAuthority(value string) { t.putText(fleetAuthorityKey, value) }

// Collectors lists the collectors that have certificates.
func (v *View) Collectors(ctx context.Context) ([]Collector, error) {
	return loadAll[Collector](ctx, v, collectorPrefix)
}

// PutCollector notes who signed for a collector.
func (t *Tx) PutCollector(c Collector) error {
	return t.put(collectorPrefix+strings.ToLower(c.Name), c)
}
