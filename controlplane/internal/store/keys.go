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
	OperatorKey  = root + "operator"   // the operator's JWT
	ClaimsPrefix = root + "claims/"    // then the account's public key: its JWT
	FleetPrefix  = root + "fleet/"     // the fleet's own records
	LeaderKey    = root + "sys/leader" // the election among control planes
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

// What waits to be moved to the ledger is in one place for all organizations.
const auditPrefix = root + "audit/"

// noChain is in keys what "" is elsewhere: the installation's own log.
const noChain = "-"

func auditKey(organization string, sequence int64) string {
	if organization == "" {
		organization = noChain
	}
	return fmt.Sprintf("%s%s/%020d", auditPrefix, organization, sequence)
}

func (v *View) auditHeadKey() string {
	if v.org == "" {
		return systemAudit + "-head"
	}
	return v.orgKey("audit-head")
}

// Operations are kept newest first: their ids count downwards in the key.
func (v *View) operationPrefix() string { return root + "op/" + v.org + "/" }

func (v *View) operationKey(id string) string {
	return v.operationPrefix() + accounts.NewestFirst(id)
}

func requestKey(actor, requestID string) string {
	return root + "req/" + actor + "/" + base64.RawURLEncoding.EncodeToString([]byte(requestID))
}
