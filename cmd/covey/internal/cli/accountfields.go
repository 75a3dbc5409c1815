package cli

import (
	"strconv"
	"time"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// accountFields is the flags for what a caller may write of an account.
type accountFields struct {
	displayName   string
	credentialTTL time.Duration
	protect       bool
	limits        [5]string // by the index in limitFlags
	quotas        []string  // name=amount/burst/policy

	callout struct {
		users, accounts, issuers []string
		xkey                     string
		none                     bool
	}
}

// limitFlags are the flags of Limits' fields, in the order of accountFields.
func limitFlags() [5]struct{ flag, path, usage string } {
	return [5]struct{ flag, path, usage string }{
		{"connections", "limits.connections", "client connections at once"},
		{"subscriptions", "limits.subscriptions", "subscriptions of one connection"},
		{"payload", "limits.payload_bytes", "bytes of one message"},
		{"leaf-nodes", "limits.leaf_nodes", "leaf node connections at once"},
		{"data", "limits.data_bytes", "bytes of traffic a month"},
	}
}

const unlimited = "unlimited"

func (f *accountFields) flags(set *pflag.FlagSet) {
	set.StringVar(&f.displayName, "display-name", "", "name for people")
	set.DurationVar(&f.credentialTTL, "credential-ttl", 0, "how long a credential lives by default, for example 720h")
	set.BoolVar(&f.protect, "delete-protection", false, "refuse to delete it")
	for i, l := range limitFlags() {
		set.StringVar(&f.limits[i], l.flag, "", l.usage+": a number, or "+unlimited)
	}
	set.StringArrayVar(&f.quotas, "limit", nil, "name=amount[/burst[/slow|refuse|close]] or name="+unlimited+", again for each of "+quotaNames())
	set.StringSliceVar(&f.callout.users, "callout-user", nil, "public key of a credential of the account with which a service connects that decides who else does")
	set.StringSliceVar(&f.callout.accounts, "callout-account", nil, "public key of a further account that the service may put users into")
	set.StringSliceVar(&f.callout.issuers, "callout-issuer", nil, "public account key with which the service signs users")
	set.StringVar(&f.callout.xkey, "callout-xkey", "", "public curve key that the service is asked with")
	set.BoolVar(&f.callout.none, "no-callout", false, "let credentials alone decide who connects")
}

// message returns the fields whose flags were given, and their mask.
func (f *accountFields) message(set *pflag.FlagSet) (*apiv1.Account, *fieldmaskpb.FieldMask, error) {
	account, mask := &apiv1.Account{}, &fieldmaskpb.FieldMask{}
	if set.Changed("display-name") {
		account.DisplayName = f.displayName
		mask.Paths = append(mask.Paths, "display_name")
	}
	if set.Changed("credential-ttl") {
		if f.credentialTTL < 0 || f.credentialTTL%time.Second != 0 {
			return nil, nil, term.Usagef("for example 720h", "--credential-ttl %s is not a number of whole seconds", f.credentialTTL)
		}
		account.DefaultCredentialTtlSeconds = int64(f.credentialTTL / time.Second)
		mask.Paths = append(mask.Paths, "default_credential_ttl_seconds")
	}
	if set.Changed("delete-protection") {
		account.DeleteProtection = f.protect
		mask.Paths = append(mask.Paths, "delete_protection")
	}
	if err := f.readCallout(set, account, mask); err != nil {
		return nil, nil, err
	}
	limits := &apiv1.Limits{}
	values := [5]**int64{&limits.Connections, &limits.Subscriptions, &limits.PayloadBytes, &limits.LeafNodes, &limits.DataBytes}
	for i, l := range limitFlags() {
		if !set.Changed(l.flag) {
			continue
		}
		account.Limits = limits
		mask.Paths = append(mask.Paths, l.path)
		n, err := parseLimit(l.flag, f.limits[i])
		if err != nil {
			return nil, nil, err
		}
		*values[i] = n
	}
	if err := readQuotas(f.quotas, limits, mask); err != nil {
		return nil, nil, err
	}
	if len(f.quotas) > 0 {
		account.Limits = limits
	}
	return account, mask, nil
}

// readCallout reads the flags of the authorization service: all of it at once.
func (f *accountFields) readCallout(set *pflag.FlagSet, account *apiv1.Account, mask *fieldmaskpb.FieldMask) error {
	given := set.Changed("callout-account") || set.Changed("callout-issuer") || set.Changed("callout-xkey")
	named := set.Changed("callout-user")
	switch {
	case f.callout.none && (given || named):
		return term.Usagef("leave out one", "--no-callout and settings of a service exclude each other")
	case given && !named:
		return term.Usagef("all of the service's settings are given together", "--callout-user is missing")
	case named:
		account.AuthCallout = &apiv1.AuthCallout{
			UserPublicKeys: f.callout.users, AllowedAccountPublicKeys: f.callout.accounts, IssuerPublicKeys: f.callout.issuers, Xkey: f.callout.xkey,
		}
	case !f.callout.none:
		return nil
	}
	mask.Paths = append(mask.Paths, "auth_callout")
	return nil
}

// parseLimit reads a number; nil is for no limit.
func parseLimit(flag, text string) (*int64, error) {
	if text == unlimited {
		return nil, nil //nolint:nilnil // no limit is an answer
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return nil, term.Usagef("give a number from 0 on, or "+unlimited, "--%s %q is not a limit", flag, text)
	}
	return &n, nil
}
