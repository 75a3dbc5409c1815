package custody

import (
	"cmp"
	"errors"
	"net/url"
	"os"
	"path"
	"time"

	"github.com/hashicorp/vault/api"
	"gocloud.dev/secrets"
	"gocloud.dev/secrets/hashivault"
)

// What a call of Vault may take: callers of the API wait for it, and its client
// takes no context.
const (
	vaultTimeout = 5 * time.Second
	vaultRetries = 1
)

var errVaultUnset = errors.New("VAULT_SERVER_URL and VAULT_SERVER_TOKEN, or VAULT_ADDR and VAULT_TOKEN, must be set")

// openVault opens a key of a transit engine: hashivault://KEY?engine=transit.
// Where Vault is, and its CA, come from the environment as for Vault's own tools.
func openVault(u *url.URL) (*secrets.Keeper, error) {
	address := cmp.Or(os.Getenv("VAULT_SERVER_URL"), os.Getenv("VAULT_ADDR"))
	token := cmp.Or(os.Getenv("VAULT_SERVER_TOKEN"), os.Getenv("VAULT_TOKEN"))
	if address == "" || token == "" {
		return nil, errVaultUnset
	}
	cfg := api.DefaultConfig()
	if cfg.Error != nil {
		return nil, cfg.Error
	}
	cfg.Address, cfg.Timeout, cfg.MaxRetries = address, vaultTimeout, vaultRetries
	client, err := api.NewClient(cfg)
	if err != nil {
		return nil, err
	}
	client.SetToken(token)
	return hashivault.OpenKeeper(client, path.Join(u.Host, u.Path), &hashivault.KeeperOptions{Engine: u.Query().Get("engine")}), nil
}
