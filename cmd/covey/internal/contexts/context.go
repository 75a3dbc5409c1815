// Package contexts keeps the command line's contexts: which control plane to
// talk to, as whom, and with which credentials file. One file a context, 0600
// in a 0700 directory, and a file that names the selected one. Files are
// replaced whole, so that a reader never sees half of one.
//
// It is for one user's processes: two that write the same context at the same
// time leave one of both, never a mixture.
package contexts

import (
	"log/slog"
	"regexp"
)

// APIKey is an API key. It prints as a placeholder everywhere; only Reveal
// gives the text.
type APIKey struct{ text string }

// NewAPIKey wraps the text of a key.
func NewAPIKey(text string) APIKey { return APIKey{text: text} }

const redacted = "[redacted]"

// Reveal returns the key itself, for the authorization header and the file.
func (k APIKey) Reveal() string { return k.text }

// IsZero reports whether there is no key.
func (k APIKey) IsZero() bool { return k.text == "" }

// String returns a placeholder.
func (k APIKey) String() string {
	if k.text == "" {
		return ""
	}
	return redacted
}

// GoString returns a placeholder.
func (k APIKey) GoString() string { return k.String() }

// LogValue returns a placeholder.
func (k APIKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalJSON returns a placeholder.
func (k APIKey) MarshalJSON() ([]byte, error) { return []byte(`"` + k.String() + `"`), nil }

// Role says what a context's key is for.
type Role string

// The roles a context can have.
const (
	RoleOperator Role = "operator" // may sign up organizations
	RoleOwner    Role = "owner"    // owns one organization
	RoleMember   Role = "member"   // a member of one organization, with whatever roles it has
)

// Context is one way to reach a control plane and its brokers.
type Context struct {
	Name         string `json:"-"` // the file's name
	Role         Role   `json:"role,omitempty"`
	Installation string `json:"installation,omitempty"` // the Covey that it belongs to, when `covey up` made it
	DataDir      string `json:"data_dir,omitempty"`     // where that one keeps its data; of the operator's context only

	APIAddr string `json:"api_addr,omitempty"`
	HTTPURL string `json:"http_url,omitempty"`
	NATSURL string `json:"nats_url,omitempty"`
	CA      string `json:"ca,omitempty"` // path of a PEM bundle for the API's certificate

	APIKey       APIKey `json:"-"` // written by the store alone
	Organization string `json:"organization,omitempty"`
	Account      string `json:"account,omitempty"`
	User         string `json:"user,omitempty"`
	CredsFile    string `json:"creds_file,omitempty"`
}

// IsOperator reports whether the context's key may sign up organizations.
func (c *Context) IsOperator() bool { return c.Role == RoleOperator }

var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// ValidName reports whether name can name a context, which is a file's name.
func ValidName(name string) bool { return namePattern.MatchString(name) }
