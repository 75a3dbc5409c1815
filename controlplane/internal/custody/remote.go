package custody

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"gocloud.dev/secrets"
	"gocloud.dev/secrets/awskms" // registers its scheme, as the others do
	"gocloud.dev/secrets/azurekeyvault"
	"gocloud.dev/secrets/gcpkms"
	"gocloud.dev/secrets/hashivault"

	"github.com/coveymq/covey/internal/errs"
)

// remoteSchemes are the key services that OpenRemote knows.
var remoteSchemes = []string{awskms.Scheme, azurekeyvault.Scheme, gcpkms.Scheme, hashivault.Scheme} //nolint:gochecknoglobals // a table

// OpenRemote returns a key service as custodian, by the URL of its key:
//
//	hashivault://KEY           the transit engine of Vault; VAULT_SERVER_URL and VAULT_SERVER_TOKEN say where and as whom
//	awskms://KEY?region=...    AWS KMS, with the credentials of the environment
//	gcpkms://projects/...      Google Cloud KMS, likewise
//	azurekeyvault://VAULT/...  Azure Key Vault, likewise
//
// It does not call the service yet.
func OpenRemote(ctx context.Context, address string) (*secrets.Keeper, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Scheme == "":
		return nil, badCustodian("the custodian is neither %q nor the URL of a key", Local)
	case u.User != nil:
		return nil, badCustodian("the custodian's URL holds credentials").WithNext("leave them to the environment")
	case !slices.Contains(remoteSchemes, u.Scheme):
		return nil, badCustodian("there is no custodian %s://", u.Scheme).
			WithNext("use %q or one of %s://", Local, strings.Join(remoteSchemes, "://, "))
	}
	keeper, err := open(ctx, u)
	if err != nil {
		return nil, badCustodian("the custodian cannot be opened").WithCause(err)
	}
	return keeper, nil
}

func open(ctx context.Context, u *url.URL) (*secrets.Keeper, error) {
	if u.Scheme == hashivault.Scheme {
		return openVault(u)
	}
	return secrets.DefaultURLMux().OpenKeeperURL(ctx, u)
}

// Local names the key file of the data directory.
const Local = "local"

func badCustodian(format string, args ...any) *errs.Error {
	return errs.New(errs.Invalid, "CUSTODIAN_INVALID", format, args...)
}
