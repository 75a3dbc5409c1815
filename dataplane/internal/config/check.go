package config

import (
	"cmp"
	"strings"
	"time"

	"github.com/coveymq/covey/dataplane/internal/auth"
	"github.com/coveymq/covey/dataplane/internal/conn"
)

// minLameDuck is the shortest goodbye, as in nats-server.
const minLameDuck = 30 * time.Second

// check sees whether the keys fit together.
func (f *file) check(root node) {
	f.zeroIsDefault()
	f.checkLimits()
	f.checkLameDuck()
	f.checkUsers(root)
	f.checkSystemAccount()
	f.checkCallout()
	f.checkOperator()
	f.checkSharing()
	f.checkCovey()
}

// zeroIsDefault restores the defaults of limits that cannot be nothing.
func (f *file) zeroIsDefault() {
	c, d := &f.o.Clients, conn.DefaultOptions()
	c.MaxControlLine = cmp.Or(c.MaxControlLine, d.MaxControlLine)
	c.MaxPayload = cmp.Or(c.MaxPayload, d.MaxPayload)
	c.PingMax = cmp.Or(c.PingMax, d.PingMax)
	c.PingInterval = cmp.Or(c.PingInterval, d.PingInterval)
	c.Egress.MaxPending = cmp.Or(c.Egress.MaxPending, d.Egress.MaxPending)
	c.Egress.WriteDeadline = cmp.Or(c.Egress.WriteDeadline, d.Egress.WriteDeadline)
	f.o.LameDuckDuration = cmp.Or(f.o.LameDuckDuration, Default().LameDuckDuration)
}

func (f *file) checkLimits() {
	c := &f.o.Clients
	if n, ok := f.defined["max_payload"]; ok && int64(c.MaxPayload) > c.Egress.MaxPending {
		f.problem(n, "max_payload (%d) cannot be higher than max_pending (%d)", c.MaxPayload, c.Egress.MaxPending)
	} else if n, ok := f.defined["max_pending"]; ok && int64(c.MaxPayload) > c.Egress.MaxPending {
		f.problem(n, "max_pending (%d) cannot be lower than max_payload (%d)", c.Egress.MaxPending, c.MaxPayload)
	}
	for key, d := range map[string]time.Duration{"ping_interval": c.PingInterval, "write_deadline": c.Egress.WriteDeadline} {
		if n, ok := f.defined[key]; ok && d < 0 {
			f.problem(n, "%s is %v, it cannot be negative", key, d)
		}
	}
}

func (f *file) checkLameDuck() {
	n, ok := f.defined["lame duck"]
	if !ok {
		return
	}
	grace, duration := f.o.LameDuckGrace, f.o.LameDuckDuration
	switch {
	case duration < minLameDuck:
		f.problem(n, "invalid lame_duck_duration of %v, minimum is 30 seconds", duration)
	case grace < 0:
		f.problem(n, "invalid lame_duck_grace_period, needs to be positive")
	case grace >= duration:
		f.problem(n, "lame duck grace period (%v) should be strictly lower than lame duck duration (%v)", grace, duration)
	}
}

func (f *file) checkUsers(root node) {
	a := &f.o.Access
	block, ok := f.defined["authorization"]
	if !ok {
		block = root
	}
	if a.HasUsers || len(a.Users) > 0 {
		if a.User != "" {
			f.problem(block, "there cannot be both a single user and a list of users or accounts")
		}
		if a.Token != "" {
			f.problem(block, "there cannot be both a token and a list of users or accounts")
		}
	}
	if n, ok := f.defined["no_auth_user"]; ok && a.NoAuthUser != "" && !f.credentials[a.NoAuthUser] {
		f.problem(n, "no_auth_user: %q is not a user", a.NoAuthUser)
	}
}

// checkSystemAccount sees whether the system account exists, and whether it is
// the only one with users.
func (f *file) checkSystemAccount() {
	a := &f.o.Access
	n, named := f.defined["system_account"]
	if off, ok := f.defined["no_system_account"]; ok {
		if named && a.System != "" {
			f.problem(off, "there is a system_account as well")
		}
		a.System = ""
		return
	}
	if _, ok := f.trustRoot(); ok {
		return
	}
	switch {
	case named && a.System == auth.GlobalAccount:
		f.problem(n, "the system account cannot be %s", auth.GlobalAccount)
	case named && a.System != auth.SystemAccount && a.Limits(a.System) == nil:
		f.problem(n, "system_account %q is not an account", a.System)
	}
	_, block := f.defined["authorization"]
	a.SystemOnly = !block && a.NoAuthUser == "" && len(a.Users) > 0 && len(a.Accounts) == 1 && a.Accounts[0].Name == a.System
}

func (f *file) checkCovey() {
	n, ok := f.defined["covey"]
	if !ok {
		return
	}
	c := &f.o.Covey
	if missing := c.missing(); len(missing) > 0 {
		f.problem(n, "control_plane also needs %s", strings.Join(missing, ", "))
	}
	if c.stray() {
		f.problem(n, "control_plane is missing")
	}
	if c.badKey() {
		f.problem(n, "operator_public_key is not the public key of an operator")
	}
	if c.ControlPlane == "" {
		return
	}
	for _, key := range [...]string{"authorization", "accounts", "operator", "trusted_keys", "no_auth_user", "system_account", "mappings"} {
		if other, ok := f.defined[key]; ok {
			f.problem(other, "%s is up to the control plane", key)
		}
	}
}
