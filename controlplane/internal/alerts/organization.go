package alerts

import (
	"context"
	"errors"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
)

// organization is what is looked at of one organization, as it was when its audit
// log ended at head. It is read anew only when that moved.
type organization struct {
	name     string
	head     int64
	policies []policy
	subjects []subject // the accounts that policies are about
	byID     map[string]int
	marks    map[store.AlertMarkKey]store.AlertMark
	open     int   // alerts
	total    int64 // alerts, closed ones included
	counts   map[string]int64
	standing tenancy.Standing
	full     bool // that there are too many alerts was told
}

// dirty is no end of an audit log.
const dirty = -1

// policy is a policy with its metric.
type policy struct {
	store.AlertPolicy
	metric accounts.AlertMetric
}

// subject is an account that is looked at.
type subject struct {
	id, uid, key string
	limits       map[string]*int64 // by metric; nil is none
}

// load reads an organization at one moment. All accounts are read only if a policy
// is about all.
func (e *Engine) load(ctx context.Context, name string, head int64) (*organization, error) {
	o := &organization{name: name, head: head, byID: map[string]int{}, marks: map[store.AlertMarkKey]store.AlertMark{}, counts: map[string]int64{}}
	v, err := e.store.View(store.Everything(), name)
	if err != nil {
		return nil, err
	}
	if o.standing, err = tenancy.StandingOf(ctx, v); err != nil {
		return nil, err
	}
	list, err := v.AllAlertPolicies(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range list {
		m, err := accounts.AlertMetricOf(p.Metric)
		if err != nil {
			return nil, err
		}
		o.policies = append(o.policies, policy{p, m})
	}
	marks, err := v.AlertMarks(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range marks {
		o.remember(m)
	}
	if err := o.readCounts(ctx, v); err != nil {
		return nil, err
	}
	if o.total, err = v.CountAlerts(ctx); err != nil {
		return nil, err
	}
	return o, o.readSubjects(ctx, v)
}

func (o *organization) remember(m store.AlertMark) {
	o.marks[m.Key()] = m
	if m.Alert != "" && !m.Closed {
		o.open++
	}
}

// readCounts counts what is of the organization, if somebody looks at it.
func (o *organization) readCounts(ctx context.Context, v *store.View) (err error) {
	for _, p := range o.policies {
		switch p.metric.Name {
		case accounts.MetricAccounts:
			o.counts[p.metric.Name], err = v.CountAccounts(ctx)
		case accounts.MetricUsers:
			o.counts[p.metric.Name], err = v.CountUsers(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readSubjects reads the accounts that policies are about. Deleted ones are none.
func (o *organization) readSubjects(ctx context.Context, v *store.View) error {
	all := false
	named := map[string]bool{}
	for _, p := range o.policies {
		if !p.metric.Organization {
			named[p.Account] = true
			all = all || p.Account == ""
		}
	}
	if !all {
		for id := range named {
			a, err := v.Account(ctx, id)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			if err == nil {
				o.addSubject(a)
			}
		}
		return nil
	}
	list, err := v.AllAccounts(ctx)
	for _, a := range list {
		o.addSubject(a)
	}
	return err
}

func (o *organization) addSubject(a store.Account) {
	if a.Deleted() {
		return
	}
	s := subject{id: a.ID, uid: a.UID, key: a.PublicKey, limits: map[string]*int64{}}
	for _, p := range o.policies {
		if _, known := s.limits[p.Metric]; !known && !p.metric.Organization && (p.Account == "" || p.Account == a.ID) {
			s.limits[p.Metric] = o.standing.AlertLimit(p.metric, &a)
		}
	}
	o.byID[a.ID] = len(o.subjects)
	o.subjects = append(o.subjects, s)
}

// about lists the accounts that a policy is about. Of the organization's own there
// is one without a name.
func (o *organization) about(p policy) []subject {
	switch {
	case p.metric.Organization:
		return []subject{{limits: map[string]*int64{p.Metric: o.standing.AlertLimit(p.metric, nil)}}}
	case p.Account == "":
		return o.subjects
	}
	if i, ok := o.byID[p.Account]; ok {
		return o.subjects[i : i+1]
	}
	return nil
}
