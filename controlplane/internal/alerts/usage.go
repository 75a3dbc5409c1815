package alerts

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/billing"
)

const (
	recentHours  = 26 * time.Hour  // of which the ledger is asked each time; older ones change rarely
	olderEvery   = time.Hour       // how often those are added up again
	clocksDiffer = 2 * time.Minute // among who records and who asks
	usageAtOnce  = 500             // accounts in one transaction of the ledger
)

// usage adds up what accounts used in the month. A month has thousands of rows of one
// account, and most of them do not change any more: the older ones are added up
// once an hour, and the others only of accounts that were reported since the last
// time.
type usage struct {
	ledger Ledger
	month  time.Time
	asked  time.Time // when the ledger was asked last
	of     map[string]*used
}

type used struct {
	older, all billing.AccountUsage
	border     time.Time // the hours before it are in older
	added      time.Time // when they were
}

func newUsage(l Ledger) *usage { return &usage{ledger: l, of: map[string]*used{}} }

// read brings what is known of accounts up to date.
func (u *usage) read(ctx context.Context, keys []string, now time.Time) error {
	month := accounts.MonthOf(now)
	if !month.Equal(u.month) {
		u.month, u.of, u.asked = month, map[string]*used{}, time.Time{}
	}
	if len(keys) == 0 {
		clear(u.of)
		return nil
	}
	reported, err := u.ledger.ReportedSince(ctx, u.asked.Add(-clocksDiffer))
	if err != nil {
		return err
	}
	changed := make(map[string]bool, len(reported))
	for _, key := range reported {
		changed[key] = true
	}
	border := now.Add(-recentHours).Truncate(billing.Window)
	if border.Before(month) {
		border = month
	}
	kept := make(map[string]*used, len(keys))
	var older, recent []string
	for _, key := range keys {
		is := u.of[key]
		if is == nil || now.Sub(is.added) >= olderEvery {
			older = append(older, key)
		}
		if is == nil || changed[key] || now.Sub(is.added) >= olderEvery {
			recent = append(recent, key)
		}
		if is == nil {
			is = &used{border: month}
		}
		kept[key] = is
	}
	if err := u.add(ctx, kept, older, recent, border, now); err != nil {
		u.of = map[string]*used{} // half of it may be new
		return err
	}
	u.of, u.asked = kept, now
	return nil
}

func (u *usage) add(ctx context.Context, kept map[string]*used, older, recent []string, border, now time.Time) error {
	if border.After(u.month) {
		err := u.each(ctx, older, u.month, border.Add(-billing.Window), func(one billing.AccountUsage) {
			is := kept[one.Account]
			is.older, is.border, is.added = one, border, now
		})
		if err != nil {
			return err
		}
	} else {
		for _, key := range older {
			is := kept[key]
			is.older, is.border, is.added = billing.AccountUsage{Account: key}, border, now
		}
	}
	byBorder := map[time.Time][]string{}
	for _, key := range recent {
		byBorder[kept[key].border] = append(byBorder[kept[key].border], key)
	}
	for from, keys := range byBorder {
		err := u.each(ctx, keys, from, now, func(one billing.AccountUsage) {
			is := kept[one.Account]
			is.all = sum(is.older, one)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (u *usage) each(ctx context.Context, keys []string, from, to time.Time, f func(billing.AccountUsage)) error {
	for len(keys) > 0 {
		n := min(len(keys), usageAtOnce)
		part, err := u.ledger.Usage(ctx, keys[:n], from, to)
		if err != nil {
			return fmt.Errorf("read usage: %w", err)
		}
		for _, one := range part {
			f(one)
		}
		keys = keys[n:]
	}
	return nil
}

func sum(a, b billing.AccountUsage) billing.AccountUsage {
	b.Published += a.Published
	b.PublishedBytes += a.PublishedBytes
	b.Delivered += a.Delivered
	b.DeliveredBytes += a.DeliveredBytes
	return b
}

// value returns what an account used in the month.
func (u *usage) value(metric, key string) reading {
	is := u.of[key]
	if is == nil {
		return reading{}
	}
	r := reading{known: true}
	switch metric {
	case accounts.MetricData:
		r.value = is.all.PublishedBytes + is.all.DeliveredBytes
	case accounts.MetricPublished:
		r.value = is.all.Published
	case accounts.MetricPublishedBytes:
		r.value = is.all.PublishedBytes
	case accounts.MetricDelivered:
		r.value = is.all.Delivered
	case accounts.MetricDeliveredBytes:
		r.value = is.all.DeliveredBytes
	default:
		r.known = false
	}
	return r
}

// readings are what everything uses that is looked at, at one time.
type readings struct {
	usage       *usage
	connections map[string]reading // by account key
}

func (r readings) of(o *organization, p policy, s subject) reading {
	switch {
	case p.metric.Organization:
		return reading{value: o.counts[p.Metric], known: true}
	case p.metric.Monthly:
		return r.usage.value(p.Metric, s.key)
	}
	return r.connections[s.key]
}

// read asks the ledger and the brokers of whatever is looked at, of all organizations
// together. What cannot be read is not known.
func (e *Engine) read(ctx context.Context, now time.Time) (readings, error) {
	monthly, moment := map[string]bool{}, map[string]bool{}
	for _, o := range e.known {
		for _, p := range o.policies {
			if p.Disabled || p.metric.Organization {
				continue
			}
			to := moment
			if p.metric.Monthly {
				to = monthly
			}
			for _, s := range o.about(p) {
				to[s.key] = true
			}
		}
	}
	r := readings{usage: e.usage}
	err := e.usage.read(ctx, keysOf(monthly), now)
	if err != nil {
		r.usage = newUsage(nil) // nothing is known
	}
	var counted error
	r.connections, counted = e.connections(ctx, keysOf(moment))
	return r, errors.Join(err, counted)
}

func keysOf(set map[string]bool) []string {
	keys := make([]string, 0, len(set))
	for key := range set {
		keys = append(keys, key)
	}
	return keys
}

// connections asks brokers, a bounded number of accounts at a time.
func (e *Engine) connections(ctx context.Context, keys []string) (map[string]reading, error) {
	out := make(map[string]reading, len(keys))
	for len(keys) > 0 {
		n := min(len(keys), countsAtOne)
		counts, missing, err := e.counter.CountAccounts(ctx, keys[:n])
		if err != nil {
			return out, fmt.Errorf("count connections: %w", err)
		}
		for _, key := range keys[:n] {
			out[key] = reading{value: counts[key], known: true, least: missing > 0}
		}
		keys = keys[n:]
	}
	return out, nil
}
