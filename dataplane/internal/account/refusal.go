package account

// Refusal is why a connection may not be, or may be no longer. Text goes to the
// client; it is one that official clients know, so that they react as they
// should. Reason is what monitoring shows; Log is for our own log.
type Refusal struct {
	Text   string
	Reason string
	Log    string
	// Account is where else it is told; nil for nowhere.
	Account *Account
}

// Error makes a Refusal an error.
func (r *Refusal) Error() string { return r.Log }

// The refusals.
//
//nolint:gochecknoglobals // a table of constants
var (
	TooManyAccountConnections = &Refusal{
		Text: "maximum account active connections exceeded", Reason: "Maximum Account Connections Exceeded",
		Log: "the account has as many connections as it may",
	}
	TooManyUserConnections = &Refusal{
		Text: "maximum account active connections exceeded", Reason: "Maximum Account Connections Exceeded",
		Log: "the user has as many connections as it may",
	}
	TooManyConnects = &Refusal{
		Text: "maximum account active connections exceeded", Reason: "Maximum Account Connections Exceeded",
		Log: "the account or the user connects more often than it may",
	}
	AccountExpired = &Refusal{
		Text: "Account Authentication Expired", Reason: "Authentication Expired",
		Log: "the account's claims are expired",
	}
	AccountGone = &Refusal{
		Text: "Authorization Violation", Reason: "Authentication Failure",
		Log: "the account was deleted",
	}
	UserExpired = &Refusal{
		Text: "User Authentication Expired", Reason: "Authentication Expired",
		Log: "the user's credential is expired",
	}
	Revoked = &Refusal{
		Text: "User Authentication Revoked", Reason: "Credentials Revoked",
		Log: "the user's credential is revoked",
	}
	SignerGone = &Refusal{
		Text: "Authorization Violation", Reason: "Authentication Failure",
		Log: "the account does not list the key that signed the user",
	}
	RoleChanged = &Refusal{
		Text: "Authorization Violation", Reason: "Authentication Failure",
		Log: "the key that signed the user has become a role, or is none any more",
	}
)

// Limit reports whether a limit is the reason, not who the client is.
func (r *Refusal) Limit() bool {
	return r == TooManyAccountConnections || r == TooManyUserConnections || r == TooManyConnects
}

// Violation is a refusal that tells the client no more than that it is one.
func Violation(log string) *Refusal {
	return &Refusal{Text: "Authorization Violation", Reason: "Authentication Failure", Log: log}
}
