package auth

import (
	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/share"
)

// The accounts that every broker has which stands alone, by nats-server's names.
const (
	// GlobalAccount is where connections are that no account was named for.
	GlobalAccount = "$G"
	// SystemAccount is for the broker's own subjects unless another is named.
	SystemAccount = "$SYS"
)

// Access is who may connect to a broker that stands alone, as its configuration
// says. The zero value lets everybody into the global account. Immutable once
// it is in use.
type Access struct {
	// Token, or User and Password, is what everybody must show.
	Token    Secret
	User     string
	Password Secret
	// Users may connect each with a secret of its own. HasUsers says that there
	// is a list, though it may be empty.
	Users    []User
	HasUsers bool
	// NoAuthUser is who a connection is that shows nothing; empty to refuse it.
	NoAuthUser string
	// Map finds users by the certificate that a client showed.
	Map bool
	// SystemOnly says that only the system account has users and that there is no
	// authorization block: whoever shows nothing is in the global account.
	SystemOnly bool
	// Accounts are those named in the configuration.
	Accounts []Account
	// System is the name of the system account; empty for none.
	System string
	// Callout decides who others are than its own users; nil for nobody.
	Callout *Callout
	// Terms are what the global account shares.
	Terms *share.Terms
}

// Account is an account of a configuration.
type Account struct {
	Name   string
	Limits account.Limits
	Terms  *share.Terms    // what it shares with others
	Quotas accounts.Quotas // our own limits
	// Tracing is of messages with a traceparent; nil for none.
	Tracing *account.Tracing
}

// User is a user of a configuration: one with a name and a password, or one
// with the public key of a user.
type User struct {
	Name     string
	Password Secret
	Nkey     string
	// Account is the name of its account; empty for the global one.
	Account string
	// Permissions are what it may do; nil for everything.
	Permissions *jwt.Permissions
	// Kinds are the kinds of connections it may use; nil for all.
	Kinds []string
	// Quotas are our own limits.
	Quotas accounts.Quotas
}

// ID is the name or the key.
func (u *User) ID() string {
	if u.Nkey != "" {
		return u.Nkey
	}
	return u.Name
}

// AccountNames returns the names of all accounts, the implied ones included.
func (a *Access) AccountNames() []string {
	names := []string{GlobalAccount}
	for i := range a.Accounts {
		names = append(names, a.Accounts[i].Name)
	}
	if a.System == SystemAccount && a.Limits(SystemAccount) == nil {
		names = append(names, SystemAccount)
	}
	return names
}

// Limits returns the limits of an account that the configuration names, or nil.
func (a *Access) Limits(name string) *account.Limits {
	for i := range a.Accounts {
		if a.Accounts[i].Name == name {
			return &a.Accounts[i].Limits
		}
	}
	return nil
}

// TracingOf returns how messages of an account are traced that have a
// traceparent; nil for not at all.
func (a *Access) TracingOf(name string) *account.Tracing {
	for i := range a.Accounts {
		if a.Accounts[i].Name == name {
			return a.Accounts[i].Tracing
		}
	}
	return nil
}

// TermsOf returns what an account shares, or nil.
func (a *Access) TermsOf(name string) *share.Terms {
	if name == GlobalAccount {
		return a.Terms
	}
	for i := range a.Accounts {
		if a.Accounts[i].Name == name {
			return a.Accounts[i].Terms
		}
	}
	return nil
}

// Quotas returns our own limits of an account.
func (a *Access) Quotas(name string) accounts.Quotas {
	for i := range a.Accounts {
		if a.Accounts[i].Name == name {
			return a.Accounts[i].Quotas
		}
	}
	return nil
}
