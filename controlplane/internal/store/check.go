package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/controlplane/internal/audit"
)

// Checker checks a copy of a store, key by key in order: that every record can
// be read, and that what must be there together is.
type Checker struct {
	Counts map[string]int // records by what they are

	installed bool
	claims    map[string]bool // accounts that have claims
	owned     map[string]bool // accounts that an index names, and that have not ended
	accounts  map[string]bool // accounts that an organization has
	heads     map[string]audit.Head
	waiting   map[string]audit.Head

	schema   schema
	granted  granting
	alerting alertChecker
}

// NewChecker returns a Checker that has seen nothing.
func NewChecker() *Checker {
	return &Checker{
		Counts: map[string]int{}, claims: map[string]bool{}, owned: map[string]bool{}, accounts: map[string]bool{},
		heads: map[string]audit.Head{}, waiting: map[string]audit.Head{},
	}
}

// Add checks one key.
func (c *Checker) Add(key, value string) error {
	path := strings.Split(strings.TrimPrefix(key, root), "/")
	if err := c.add(key, path, []byte(value)); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

func (c *Checker) add(key string, path []string, value []byte) error {
	switch {
	case key == OperatorKey:
		c.Counts["operator"]++
		return nil
	case path[0] == "claims" && len(path) == 2:
		c.Counts["claims"]++
		c.claims[path[1]] = true
		return claimsOf(path[1], value)
	}
	value, err := unpack(value)
	if err != nil {
		return err
	}
	if version := versionOf(value); version > SchemaVersion {
		return errNewer(version)
	}
	if !json.Valid(value) || !bytes.HasPrefix(value, []byte("{")) {
		return fmt.Errorf("not a record")
	}
	return c.record(key, path, value)
}

func (c *Checker) record(key string, path []string, value []byte) error {
	if path[0] == "org" && len(path) > 2 {
		return c.inOrganization(key, path, value)
	}
	switch {
	case key == installationKey:
		c.installed = true
	case key == schemaKey:
		return decode(key, value, 0, &c.schema)
	case strings.HasPrefix(key, alertingPrefix()), strings.HasPrefix(key, alertNotePrefix()):
		return c.alerting.index(key, path, value)
	case strings.HasPrefix(key, accountIndexKey("")):
		return c.index(path[2], value)
	case key == systemAudit+"-head":
		return c.head(noChain, key, value)
	case path[0] == "audit" && len(path) == 3:
		return c.entry(path[1], key, value)
	default:
		c.Counts[path[0]]++
	}
	return nil
}

func (c *Checker) inOrganization(key string, path []string, value []byte) error {
	c.Counts[path[2]]++
	switch {
	case path[2] == "account" && len(path) == 4:
		var a Account
		err := decode(key, value, 0, &a)
		c.accounts[a.PublicKey] = true
		c.granted.account(path[1], a)
		return err
	case path[2] == "self" && len(path) == 3:
		c.granted.organization(path[1])
	case path[2] == "terms" && len(path) == 3:
		var t OrgTerms
		if err := decode(key, value, 0, &t); err != nil {
			return err
		}
		return c.granted.terms(path[1], t)
	case strings.HasPrefix(path[2], "alert"):
		return c.alerting.inOrganization(key, path, value)
	case path[2] == "audit-head" && len(path) == 3:
		return c.head(path[1], key, value)
	}
	return nil
}

func claimsOf(public string, text []byte) error {
	claims, err := jwt.DecodeAccountClaims(string(text))
	if err != nil {
		return fmt.Errorf("claims: %w", err)
	}
	if claims.Subject != public {
		return fmt.Errorf("claims of %s", claims.Subject)
	}
	return nil
}

func (c *Checker) index(public string, value []byte) error {
	var ref AccountRef
	if err := decode("index", value, 0, &ref); err != nil {
		return err
	}
	if ref.DeleteTime.IsZero() && ref.Organization != "" {
		c.owned[public] = true
	}
	return nil
}

func (c *Checker) head(chain, key string, value []byte) error {
	var head auditHead
	err := decode(key, value, 0, &head)
	c.heads[chain] = head.Head
	return err
}

// entry checks an audit entry that waits for the ledger: it follows the one
// before, if that waits as well.
func (c *Checker) entry(chain, key string, value []byte) error {
	var e AuditEntry
	if err := decode(key, value, 0, &e); err != nil {
		return err
	}
	c.Counts["audit"]++
	before, known := c.waiting[chain]
	if !known {
		before = audit.Head{Sequence: e.Sequence - 1, Hash: e.Previous}
	}
	head, err := before.Verify([]audit.Entry{e.Entry})
	c.waiting[chain] = head
	return err
}

// Finish checks what only the whole tells.
func (c *Checker) Finish() error {
	if !c.installed {
		return fmt.Errorf("there is no installation in it")
	}
	if len(c.granted.without) > 0 && c.schema.Version >= schemaPlans {
		return fmt.Errorf("organization %s is on no plan", slices.Sorted(maps.Keys(c.granted.without))[0])
	}
	if err := c.alerting.finish(); err != nil {
		return err
	}
	for public := range c.accounts {
		if !c.claims[public] || !c.owned[public] {
			return fmt.Errorf("account %s has no claims or no index entry", public)
		}
	}
	for public := range c.owned {
		if !c.accounts[public] {
			return fmt.Errorf("the index names an account %s that is not there", public)
		}
	}
	for chain, end := range c.waiting {
		if c.heads[chain] != end {
			return fmt.Errorf("the audit log of %q does not end where its head says", chain)
		}
	}
	return nil
}
