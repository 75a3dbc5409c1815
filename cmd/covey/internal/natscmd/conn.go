// Package natscmd is the commands that speak NATS: pub, sub, req, reply and
// bench. They work with any NATS server; a selected context only supplies the
// address and the credentials that flags leave out.
//
// A command owns its connections and has closed them when it returns.
package natscmd

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/contexts"
	"github.com/coveymq/covey/cmd/covey/internal/term"
)

// ContextFunc returns the context in use; nil when there is none.
type ContextFunc func() (*contexts.Context, error)

// Commands returns the commands of this package.
func Commands(streams *term.Streams, context ContextFunc) []*cobra.Command {
	k := kit{streams: streams, context: context}
	return []*cobra.Command{k.pubCommand(), k.subCommand(), k.reqCommand(), k.replyCommand(), k.benchCommand()}
}

// kit is what every command needs.
type kit struct {
	streams *term.Streams
	context ContextFunc
}

// dialer is the flags that say how to connect.
type dialer struct {
	server, creds, nkey string
	user, password      string
	tlsCA               string
	tlsCert, tlsKey     string
	connectTimeout      time.Duration
}

const connectTimeoutDefault = 5 * time.Second

func (d *dialer) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&d.server, "server", "s", "", "server address (default: the context's, else "+nats.DefaultURL+")")
	f.StringVar(&d.creds, "creds", "", "credentials file (default: the context's)")
	f.StringVar(&d.nkey, "nkey", "", "file with an nkey seed")
	f.StringVar(&d.user, "user", "", "user name, for servers that use those")
	f.StringVar(&d.password, "password", "", "password for --user")
	f.StringVar(&d.tlsCA, "tls-ca", "", "PEM file of the certificate authorities to trust")
	f.StringVar(&d.tlsCert, "tls-cert", "", "client certificate")
	f.StringVar(&d.tlsKey, "tls-key", "", "client certificate's key")
	f.DurationVar(&d.connectTimeout, "connect-timeout", connectTimeoutDefault, "how long connecting may take")
	cmd.MarkFlagsRequiredTogether("tls-cert", "tls-key")
	cmd.MarkFlagsMutuallyExclusive("creds", "nkey", "user")
}

// connect opens one connection, named for its purpose.
func (k kit) connect(d *dialer, name string, more ...nats.Option) (*nats.Conn, error) {
	url, creds, err := k.target(d)
	if err != nil {
		return nil, err
	}
	opts := []nats.Option{
		nats.Name(name), nats.Timeout(d.connectTimeout), nats.PermissionErrOnSubscribe(true),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // read from LastError
	}
	if creds != "" {
		opts = append(opts, nats.UserCredentials(creds))
	}
	if d.nkey != "" {
		opt, err := nats.NkeyOptionFromSeed(d.nkey)
		if err != nil {
			return nil, term.Usagef("the file must hold an nkey seed (SU...)", "read nkey: %w", err)
		}
		opts = append(opts, opt)
	}
	if d.user != "" {
		opts = append(opts, nats.UserInfo(d.user, d.password))
	}
	if d.tlsCA != "" {
		opts = append(opts, nats.RootCAs(d.tlsCA))
	}
	if d.tlsCert != "" {
		opts = append(opts, nats.ClientCert(d.tlsCert, d.tlsKey))
	}
	nc, err := nats.Connect(url, append(opts, more...)...)
	if err != nil {
		return nil, connectFault(url, creds, err)
	}
	return nc, nil
}

// target decides where to connect and with which file. The context's
// credentials go to the context's server only.
func (k kit) target(d *dialer) (url, creds string, err error) {
	if d.server != "" {
		return d.server, d.creds, nil
	}
	c, err := k.context()
	if err != nil {
		return "", "", err
	}
	if c == nil || c.NATSURL == "" {
		return nats.DefaultURL, d.creds, nil
	}
	creds = d.creds
	if creds == "" && d.nkey == "" && d.user == "" {
		creds = c.CredsFile
	}
	return c.NATSURL, creds, nil
}

// refusedByAuth reports whether the server does not let these credentials in.
// While connecting, the library hands most of the server's words on as they are,
// without one of its own errors.
func refusedByAuth(err error) bool {
	for _, known := range []error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired, nats.ErrMaxAccountConnectionsExceeded} {
		if errors.Is(err, known) {
			return true
		}
	}
	text := strings.ToLower(err.Error())
	return strings.Contains(text, "authentication expired") || strings.Contains(text, "authentication revoked")
}

func connectFault(url, creds string, err error) error {
	switch {
	case refusedByAuth(err):
		next := "give credentials with --creds FILE, or select an organization's context: `covey context list`"
		if creds != "" {
			next = "the credentials in " + creds + " may be expired, revoked, or of a suspended account; issue others with `covey creds issue`"
		}
		f := term.Failf(next, "connect to %s: %w", url, err)
		f.Code = term.ExitAuth
		return f
	case errors.Is(err, nats.ErrNoServers), errors.Is(err, nats.ErrTimeout):
		return term.Failf("is a broker running there? `covey up` starts one on this machine", "connect to %s: %w", url, err)
	default:
		return term.Failf("", "connect to %s: %w", url, err)
	}
}

// settled makes sure that the server has taken everything, and returns what it
// had to say against any of it: a violation arrives before the flush's answer.
func settled(nc *nats.Conn, timeout time.Duration) error {
	if err := nc.FlushTimeout(timeout); err != nil {
		if last := nc.LastError(); last != nil {
			err = last
		}
		return serverFault(fmt.Errorf("flush: %w", err))
	}
	if err := nc.LastError(); err != nil {
		return serverFault(err)
	}
	return nil
}

// serverFault adds exit code and advice to what a server or the client library
// reports.
func serverFault(err error) error {
	if err == nil {
		return nil
	}
	switch {
	case errors.Is(err, nats.ErrPermissionViolation), errors.Is(err, nats.ErrAuthorization),
		errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked):
		f := term.Failf("see what the user may do with `covey user get`", "%w", err)
		f.Code = term.ExitAuth
		return f
	case errors.Is(err, nats.ErrMaxPayload):
		f := term.Failf("send less at once, or raise the account's payload limit", "%w", err)
		f.Code = term.ExitQuota
		return f
	case errors.Is(err, nats.ErrNoResponders):
		return term.Failf("start one with `covey reply`, in the same account", "nobody answers on that subject: %w", err)
	case errors.Is(err, nats.ErrBadSubject):
		return term.Usagef("subjects are tokens joined by '.', without spaces; wildcards only to subscribe", "%w", err)
	case errors.Is(err, nats.ErrSlowConsumer):
		return term.Failf("messages were lost here: read faster, for example with --raw into a file", "%w", err)
	default:
		return err
	}
}
