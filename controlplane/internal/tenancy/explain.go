package tenancy

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

// Attempt is what a user tries.
type Attempt struct {
	Subject    string // "" only connects
	Subscribe  bool
	Queue      string
	Credential string // "" is any
}

// FindingOutcome is what a layer decides.
type FindingOutcome int

// The outcomes.
const (
	Allows FindingOutcome = iota
	Refuses
	Notes // it allows, and there is something to know
)

// Finding is what one layer says about an attempt.
type Finding struct {
	Layer   string
	Outcome FindingOutcome
	Detail  string
	Next    string
}

// explanation collects findings.
type explanation struct {
	findings []Finding
	refused  bool
}

func (x *explanation) add(layer string, outcome FindingOutcome, next, format string, args ...any) {
	x.findings = append(x.findings, Finding{Layer: layer, Outcome: outcome, Detail: fmt.Sprintf(format, args...), Next: next})
	x.refused = x.refused || outcome == Refuses
}

// Explain says whether brokers let a user do something, layer by layer. They
// decide by the claims in force, which is what is read here.
func (s *Service) Explain(ctx context.Context, v *store.View, account, user string, try Attempt, now time.Time) ([]Finding, bool, error) {
	if try.Subject != "" {
		if err := accounts.ValidSubject(try.Subject, !try.Subscribe); err != nil {
			return nil, false, err
		}
	}
	a, err := v.Account(ctx, account)
	if err != nil {
		return nil, false, err
	}
	u, err := v.User(ctx, account, user)
	if err != nil {
		return nil, false, err
	}
	x := &explanation{}
	standing, err := StandingOf(ctx, v)
	if err != nil {
		return nil, false, err
	}
	if o := standing.Organization; o.Closing() {
		x.add("organization", Refuses, "an owner can undelete it", "the organization is closed and ends at %s", o.PurgeTime.Format(time.RFC3339))
	}
	if standing.Organization.Suspended {
		x.add("organization", Refuses, "ask the operator's staff to resume it", "the organization is suspended: %s", standing.Organization.SuspendReason)
	}
	x.account(a, standing.Effective(a))
	if u.Suspended {
		x.add("user", Refuses, "resume it", "the user is suspended")
	} else {
		x.add("user", Allows, "", "the user is active")
	}
	if err := s.explainCredentials(ctx, v, x, u, try, now); err != nil {
		return nil, false, err
	}
	if try.Subject == "" {
		return x.findings, !x.refused, nil
	}
	var permissions accounts.Permissions
	from := "the user's own permissions"
	if u.Permissions != nil {
		permissions = *u.Permissions
	} else {
		role, err := v.Role(ctx, account, u.Role)
		if err != nil {
			return nil, false, err
		}
		permissions, from = role.Permissions, fmt.Sprintf("the role %q", u.Role)
	}
	x.permissions(permissions, from, try)
	return x.findings, !x.refused, s.explainImports(ctx, v, x, a, try, now)
}

func (x *explanation) account(a store.Account, limits []accounts.EffectiveLimit) {
	switch {
	case a.Deleted():
		x.add("account", Refuses, "undelete it until "+a.PurgeTime.Format(time.RFC3339), "the account is deleted")
	case a.Suspended:
		x.add("account", Refuses, "resume it", "the account is suspended")
	default:
		x.add("account", Allows, "", "the account is active")
	}
	for _, l := range limits {
		if l.Value == nil || l.Layer == LayerDeletion || l.Layer == LayerSuspension || l.Layer == LayerOrganizationSuspension || l.Layer == LayerOrganizationClosing {
			continue
		}
		n, from := l.Value.Amount, setBy(l.Layer)
		switch {
		case l.Name == "connections" && n == 0:
			x.add("limits", Refuses, "raise limits.connections", "the account may have no connections%s", from)
		case l.Name == "connections":
			x.add("limits", Notes, "", "the account may have %d connections at the same time%s: one more is refused", n, from)
		case l.Name == "payload_bytes":
			x.add("limits", Notes, "", "a message of more than %d bytes is refused%s", n, from)
		case l.Name == "subscriptions":
			x.add("limits", Notes, "", "a connection may have %d subscriptions%s: one more is refused", n, from)
		}
	}
}

// setBy tells what set a limit unless the account itself did.
func setBy(layer string) string {
	switch layer {
	case accounts.LayerPlan:
		return " by its organization's plan"
	case accounts.LayerOrganization:
		return " by the operator's override for its organization"
	case accounts.LayerOverride:
		return " by the operator's override"
	}
	return ""
}

// explainCredentials says whether the user can connect at all.
func (s *Service) explainCredentials(ctx context.Context, v *store.View, x *explanation, u store.User, try Attempt, now time.Time) error {
	issued, err := v.AllCredentials(ctx, u.Account, u.ID)
	if err != nil {
		return err
	}
	r, err := v.Revocations(ctx, u.Account)
	if err != nil {
		return err
	}
	issuers, err := s.IssuersOf(ctx, v, u.Account)
	if err != nil {
		return err
	}
	states := map[CredentialLife]string{Expired: "expired", Revoked: "revoked", IssuerRetired: "signed by a key that is retired"}
	count := map[CredentialLife]int{}
	for _, c := range issued {
		life := issuers.LifeOf(c, r.All(), now)
		count[life]++
		if c.ID != try.Credential {
			continue
		}
		if !life.good() {
			x.add("credential", Refuses, "issue another", "the credential is %s", states[life])
			return nil
		}
		until := "for ever"
		if !c.ExpireTime.IsZero() {
			until = "until " + c.ExpireTime.Format(time.RFC3339)
		}
		x.add("credential", Allows, "", "the credential is good %s", until)
		x.noteOld(u, c)
		return nil
	}
	if try.Credential != "" {
		return store.ErrNotFound
	}
	if good := count[Active] + count[Superseded]; good > 0 {
		x.add("credential", Allows, "", "%d of the user's %d credentials are good", good, len(issued))
		return nil
	}
	x.add("credential", Refuses, "issue one", "the user has no good credential: %d expired, %d revoked, %d signed by a key that is retired",
		count[Expired], count[Revoked], count[IssuerRetired])
	return nil
}

// noteOld tells of a credential that may say something older than its user.
func (x *explanation) noteOld(u store.User, c store.Credential) {
	if u.Permissions != nil && u.UpdateTime.After(c.IssueTime) {
		x.add("credential", Notes, "issue another", "it carries the permissions that the user had on %s, which may have been others", c.IssueTime.Format(time.RFC3339))
	}
}

func (x *explanation) permissions(p accounts.Permissions, from string, try Attempt) {
	verb, verdict := "publish", p.ExplainPublish(try.Subject)
	if try.Subscribe {
		verb, verdict = "subscribe", p.ExplainSubscribe(try.Subject, try.Queue)
	}
	switch {
	case verdict.Denied:
		x.add("permissions", Refuses, "take the rule away, or use another subject", "%s: %s.deny has %q", from, verb, verdict.Rule)
	case !verdict.Allowed && !try.Subscribe && p.Responses != nil:
		x.add("permissions", Refuses, "add a rule, or answer a request", "%s: no rule of publish.allow covers %q; it may be published to as the reply of a request only", from, try.Subject)
	case !verdict.Allowed:
		x.add("permissions", Refuses, "add a rule", "%s: no rule of %s.allow covers %q", from, verb, try.Subject)
	case verdict.Rule == "":
		x.add("permissions", Allows, "", "%s: everything is allowed that is not denied", from)
	default:
		x.add("permissions", Allows, "", "%s: %s.allow has %q", from, verb, verdict.Rule)
	}
	if len(verdict.Except) > 0 {
		x.add("permissions", Notes, "", "messages on %s will not arrive: %s.deny has it", strings.Join(verdict.Except, ", "), verb)
	}
}

// explainImports tells of imports that the subject goes through and that are
// broken.
func (s *Service) explainImports(ctx context.Context, v *store.View, x *explanation, a store.Account, try Attempt, now time.Time) error {
	imports, err := v.AllImports(ctx, a.ID)
	if err != nil {
		return err
	}
	for _, i := range imports {
		local := accounts.LocalPattern(i.Local, i.Subject)
		ours := (i.Type == accounts.Stream) == try.Subscribe && (accounts.Contains(local, try.Subject) || accounts.Contains(try.Subject, local))
		if !ours {
			continue
		}
		state, err := s.StateOf(ctx, v, i, a.PublicKey, now)
		if err != nil {
			return err
		}
		if state.Broken != "" {
			x.add("imports", Notes, "see `covey import get "+i.ID+"`", "the import %q, which the subject goes through, is broken: %s", i.ID, state.Broken)
		} else {
			x.add("imports", Notes, "", "the subject goes through the import %q", i.ID)
		}
	}
	return nil
}

// ErrNoSubject refuses an attempt without what it is about.
var ErrNoSubject = errs.New(errs.Invalid, "INVALID_FIELD", "subject: publishing and subscribing take one").WithField("subject")
