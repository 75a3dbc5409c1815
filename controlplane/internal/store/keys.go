package store

import (
	"encoding/base64"
	"fmt"

	"github.com/coveymq/covey/accounts"
)

// root is the prefix of all keys; its last part is the version of the layout.
const root = "/covey/v1/"

// The prefixes that other parts of the control plane read for themselves.
const (
	OperatorKey  = root + "operator" // the operator's JWT
	ClaimsPrefix = root + "claims/"  // then the account's public key: its JWT
	FleetPrefix  = root + "fleet/"   // the fleet's own records
)

// Keys of the installation.
const (
	installationKey = root + "sys/installation"
	systemAudit     = root + "sys/audit"
)

func claimsKey(public string) string        { return ClaimsPrefix + public }
func accountIndexKey(public string) string  { return root + "idx/account/" + public }
func apiKeyKey(id string) string            { return root + "idx/apikey/" + id }
func apiKeyUseKey(id string) string         { return root + "idx/apikey-used/" + id }
func invitationIndexKey(id string) string   { return root + "idx/invitation/" + id }
func organizationIndexPrefix() string       { return root + "idx/org/" }
func organizationIndexKey(id string) string { return organizationIndexPrefix() + id }

// Purges sort by their time.
func purgePrefix() string { return root + "idx/purge/" }

func purgeKey(a Account) string {
	return purgePrefix() + fmt.Sprintf("%011d/%s", a.PurgeTime.Unix(), a.PublicKey)
}

func (v *View) orgKey(format string, args ...any) string {
	return root + "org/" + v.org + "/" + fmt.Sprintf(format, args...)
}

func (v *View) auditPrefix() string {
	if v.org == "" {
		return systemAudit
	}
	return v.orgKey("audit")
}

// Operations are kept newest first: their ids count downwards in the key.
func (v *View) operationPrefix() string { return root + "op/" + v.org + "/" }

func (v *View) operationKey(id string) string {
	return v.operationPrefix() + accounts.NewestFirst(id)
}

func requestKey(actor, requestID string) string {
	return root + "req/" + actor + "/" + base64.RawURLEncoding.EncodeToString([]byte(requestID))
}
