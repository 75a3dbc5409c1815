package store

import (
	"context"
	"maps"
)

// sharersTied is how many accounts that were followed a change depends on: etcd
// compares 128 things in one transaction. Who comes later is read at the same
// revision, and may have changed when the change commits; brokers check, too.
const sharersTied = 12

// SharingOf reads what an account exports and imports, whoever's it is. It is for
// checks of the control plane's own: the answer crosses organizations and must be
// shown to nobody.
func (v *View) SharingOf(ctx context.Context, public string) ([]Export, []Import, AccountRef, error) {
	tied := v.sharers < sharersTied
	v.sharers++
	on := v
	if !tied {
		on = &View{store: v.store, org: v.org, rev: v.rev, keys: maps.Clone(v.keys)}
	}
	var ref AccountRef
	if err := on.load(ctx, accountIndexKey(public), &ref); err != nil || ref.Organization == "" {
		return nil, nil, ref, ignoreNotFound(err)
	}
	there := &View{store: v.store, org: ref.Organization, rev: on.rev, keys: on.keys}
	exports, err := there.AllExports(ctx, ref.Account)
	if err != nil {
		return nil, nil, ref, err
	}
	imports, err := there.AllImports(ctx, ref.Account)
	if tied {
		v.ranges = append(v.ranges, there.ranges...)
	}
	return exports, imports, ref, err
}
