package up

import (
	"errors"
	"fmt"

	"github.com/coveymq/covey/cmd/covey/internal/contexts"
	"github.com/coveymq/covey/cmd/covey/internal/term"
)

// adminName is the context that the first start makes.
const adminName = "local-operator"

// keepAdmin makes sure that there is an operator's context for this data
// directory and returns its name; empty if there is none and no key to make one
// with. A new one is selected only if none is.
func keepAdmin(store *contexts.Store, dir *dataDir, cp ControlPlane) (string, error) {
	existing, err := store.Operator(dir.installation)
	if err != nil && !errors.Is(err, contexts.ErrNotFound) {
		return "", term.Failf("repair or remove that file", "read contexts: %w", err)
	}
	key := contexts.NewAPIKey(cp.BootstrapKey())
	switch {
	case key.IsZero() && existing == nil:
		return "", nil
	case key.IsZero():
		return existing.Name, nil
	}
	c := existing
	if c == nil {
		name, err := freeName(store, dir.path)
		if err != nil {
			return "", err
		}
		c = &contexts.Context{Name: name, Role: contexts.RoleOperator, Installation: dir.installation, DataDir: dir.path}
	}
	c.APIKey, c.APIAddr, c.HTTPURL = key, cp.APIAddr(), "http://"+cp.HTTPAddr()
	if err := store.Put(c); err != nil {
		return "", term.Failf("the configuration directory must be writable; then start anew with another --data DIR", "keep the operator's key: %w", err)
	}
	if _, err := store.UseIfNone(c.Name); err != nil {
		return "", fmt.Errorf("select the operator's context: %w", err)
	}
	return c.Name, nil
}

// freeName is local-operator, or that with a number. The context of an earlier
// installation in the same, since emptied, directory is of no more use: its
// name is taken over.
func freeName(store *contexts.Store, path string) (string, error) {
	all, err := store.List()
	if err != nil {
		return "", term.Failf("repair or remove that file", "read contexts: %w", err)
	}
	for _, c := range all {
		if c.IsOperator() && c.DataDir == path {
			return c.Name, nil
		}
	}
	name := adminName
	for n := 2; store.Exists(name); n++ {
		name = fmt.Sprintf("%s-%d", adminName, n)
	}
	return name, nil
}
