package accounts

import (
	"cmp"
	"slices"
	"time"

	"github.com/nats-io/jwt/v2"
)

const (
	// RevocationsFoldAbove is how many entries an account keeps before old ones
	// are folded into its cut-off. An entry takes about 95 bytes of the claims.
	RevocationsFoldAbove = 500
	// RevocationsMax is how many entries an account's claims ever carry, well
	// under the 1 MB that readers of claims accept.
	RevocationsMax = 5000
)

// Revocation refuses the credentials of one user key that were issued up to a
// moment.
type Revocation struct {
	PublicKey string `json:"public_key"`
	At        int64  `json:"at"`     // unix seconds; credentials issued at or before it are refused
	Issued    int64  `json:"issued"` // unix seconds of the key's latest credential before At
	Until     int64  `json:"until"`  // unix seconds; all those credentials have expired by then
}

// Revocations is what an account refuses: entries by key, in key order, and a
// cut-off for everything issued at or before it. The zero value refuses nothing.
type Revocations struct {
	Entries     []Revocation `json:"entries,omitempty"`
	CutOff      int64        `json:"cut_off,omitempty"`       // unix seconds; 0 for none
	CutOffUntil int64        `json:"cut_off_until,omitempty"` // unix seconds; when the cut-off lapses
}

// Revoked reports whether a credential of key, issued at the given second, is
// refused.
func (r Revocations) Revoked(key string, issued int64) bool {
	if r.CutOff != 0 && issued <= r.CutOff {
		return true
	}
	i, found := r.find(key)
	return found && issued <= r.Entries[i].At
}

// At returns the moment up to which key's credentials are refused, 0 for none.
func (r Revocations) At(key string) int64 {
	at := r.CutOff
	if i, found := r.find(key); found {
		at = max(at, r.Entries[i].At)
	}
	return at
}

func (r Revocations) find(key string) (int, bool) {
	return slices.BinarySearchFunc(r.Entries, key, func(e Revocation, k string) int { return cmp.Compare(e.PublicKey, k) })
}

// With returns r with one more revocation; one key has one entry, the widest.
func (r Revocations) With(add Revocation) Revocations {
	out := r
	out.Entries = slices.Clone(r.Entries)
	i, found := out.find(add.PublicKey)
	if !found {
		out.Entries = slices.Insert(out.Entries, i, add)
		return out
	}
	e := &out.Entries[i]
	e.At, e.Issued, e.Until = max(e.At, add.At), max(e.Issued, add.Issued), max(e.Until, add.Until)
	return out
}

// Lapsed returns r without what no unexpired credential can need any more.
func (r Revocations) Lapsed(now time.Time) Revocations {
	second := now.Unix()
	out := Revocations{CutOff: r.CutOff, CutOffUntil: r.CutOffUntil}
	if out.CutOffUntil <= second {
		out.CutOff, out.CutOffUntil = 0, 0
	}
	for _, e := range r.Entries {
		if e.Until > second {
			out.Entries = append(out.Entries, e)
		}
	}
	return out
}

// Compact bounds r. Above RevocationsFoldAbove entries it raises the cut-off
// to just before the oldest credential that is still good, which refuses
// nothing more than before. Should more than RevocationsMax be left, it raises
// the cut-off until half of them fold: that also refuses good credentials as
// old as the folded ones, and the second result is true.
//
// oldestGood is the issue time, in unix seconds, of the account's oldest
// credential that is neither expired nor revoked; with none, pass now.
func (r Revocations) Compact(now time.Time, oldestGood int64) (Revocations, bool) {
	out := r.Lapsed(now)
	if len(out.Entries) <= RevocationsFoldAbove {
		return out, false
	}
	out = out.fold(oldestGood-1, now)
	if len(out.Entries) <= RevocationsMax {
		return out, false
	}
	issued := make([]int64, 0, len(out.Entries))
	for _, e := range out.Entries {
		issued = append(issued, e.Issued)
	}
	slices.Sort(issued)
	return out.fold(issued[len(issued)/2], now), true
}

// fold moves the entries whose credentials were all issued by cutOff into it.
func (r Revocations) fold(cutOff int64, now time.Time) Revocations {
	if cutOff <= r.CutOff {
		return r
	}
	out := Revocations{CutOff: r.CutOff, CutOffUntil: r.CutOffUntil}
	until := max(r.CutOffUntil, now.Add(CredentialTTLMax).Unix())
	for _, e := range r.Entries {
		if e.Issued > cutOff {
			out.Entries = append(out.Entries, e)
			continue
		}
		out.CutOff, until = cutOff, max(until, e.Until)
	}
	if out.CutOff != r.CutOff {
		out.CutOffUntil = until
	}
	return out
}

func (r Revocations) claims() jwt.RevocationList {
	if r.CutOff == 0 && len(r.Entries) == 0 {
		return nil
	}
	list := make(jwt.RevocationList, len(r.Entries)+1)
	if r.CutOff != 0 {
		list[jwt.All] = r.CutOff
	}
	for _, e := range r.Entries {
		list[e.PublicKey] = e.At
	}
	return list
}
