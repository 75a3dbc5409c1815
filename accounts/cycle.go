package accounts

import (
	"slices"
	"strings"

	"github.com/coveymq/covey/internal/errs"
)

// cycleDepth bounds how many accounts are followed; nats-server's bound is the
// same.
const cycleDepth = 1024

// ErrCycle means that what an account sends would come back to it.
var ErrCycle = errs.New(errs.Precondition, "IMPORT_CYCLE", "what the account sends would come back to it through imports of other accounts").
	WithNext("import a narrower subject, or give it a local subject of its own")

// Sharer is what an account exports and imports.
type Sharer struct {
	Exports []Export
	Imports []Import
}

// CheckCycle refuses an import that servers refuse because it closes a cycle: a
// request that would be passed on to who made it, a message that would be received
// by who sent it. Look returns what another account exports and imports.
func CheckCycle(importer string, i Import, look func(account string) (Sharer, error)) error {
	c := &cycle{kind: i.Type, look: look}
	local := i.Local
	if local == "" {
		local = i.Subject
	}
	if i.Type == Service {
		if wildcards(i.Subject) > 0 {
			local = LocalPattern(i.Local, i.Subject)
		}
		return c.from(importer, i.Account, local)
	}
	if err := c.from(importer, i.Account, local); err != nil {
		return err
	}
	return c.from(importer, i.Account, i.Subject)
}

// cycle follows imports from account to account.
type cycle struct {
	kind    ShareType
	look    func(string) (Sharer, error)
	visited map[string]bool
}

func (c *cycle) from(importer, exporter, subject string) error {
	c.visited = map[string]bool{importer: true}
	return c.follow(exporter, subject)
}

func (c *cycle) follow(account, subject string) error {
	if len(c.visited) >= cycleDepth {
		return ErrCycle.WithNext("imports reach over more than %d accounts", cycleDepth)
	}
	at, err := c.look(account)
	if err != nil {
		return err
	}
	if c.kind == Stream && !slices.ContainsFunc(at.Exports, func(e Export) bool { return e.Type == Stream && Contains(e.Subject, subject) }) {
		return nil
	}
	for _, i := range at.Imports {
		if i.Type != c.kind {
			continue
		}
		local := LocalPattern(i.Local, i.Subject)
		meets := i.Subject
		if c.kind == Stream {
			meets = local
		}
		if !Overlap(subject, meets) {
			continue
		}
		if c.visited[i.Account] {
			return ErrCycle
		}
		c.visited[account] = true
		further := subject
		if Contains(subject, local) {
			further = local
		}
		if err := c.follow(i.Account, further); err != nil {
			return err
		}
	}
	return nil
}

// Overlap reports whether some subject matches both.
func Overlap(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for k := range min(len(as), len(bs)) {
		switch {
		case as[k] == ">" || bs[k] == ">":
			return true
		case as[k] != "*" && bs[k] != "*" && as[k] != bs[k]:
			return false
		}
	}
	return len(as) == len(bs)
}

// CheckOverlap refuses a service import whose local subjects those of another one
// of the same exporter meet: servers take neither.
func CheckOverlap(i Import, others []Import) error {
	if i.Type != Service {
		return nil
	}
	local := LocalPattern(i.Local, i.Subject)
	for _, o := range others {
		there := LocalPattern(o.Local, o.Subject)
		if o.Type == Service && o.Account == i.Account && o.Name != i.Name && (Contains(there, local) || Contains(local, there)) {
			return errs.New(errs.Precondition, "IMPORT_OVERLAP", "the local subject %q meets %q of the import %q, from the same account", local, there, o.Name).
				WithField("import.local_subject").WithNext("give one of the two another local subject")
		}
	}
	return nil
}
