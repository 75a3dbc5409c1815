package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/coveymq/covey/test/bench/load"
)

// trust is an operator with accounts, the same for both servers and all samples.
type trust struct {
	operator      nkeys.KeyPair
	operatorToken string
	system        tenant
	tenants       []tenant
	users         []*load.User // of the first tenants, one each
	folders       map[int]string
}

// tenant is an account.
type tenant struct {
	keys  nkeys.KeyPair
	key   string
	token string
}

func newTrust() (*trust, error) {
	t := &trust{folders: map[int]string{}}
	var err error
	if t.operator, err = nkeys.CreateOperator(); err != nil {
		return nil, err
	}
	if t.system, err = t.account("SYS", nil); err != nil {
		return nil, err
	}
	key, err := t.operator.PublicKey()
	if err != nil {
		return nil, err
	}
	claims := jwt.NewOperatorClaims(key)
	claims.SystemAccount = t.system.key
	t.operatorToken, err = claims.Encode(t.operator)
	return t, err
}

// account makes an account. Change, if there is one, sees the claims before they
// are signed.
func (t *trust) account(name string, change func(*jwt.AccountClaims)) (tenant, error) {
	keys, err := nkeys.CreateAccount()
	if err != nil {
		return tenant{}, err
	}
	a := tenant{keys: keys}
	if a.key, err = keys.PublicKey(); err != nil {
		return tenant{}, err
	}
	a.token, err = t.sign(a.key, name, change)
	return a, err
}

func (t *trust) sign(key, name string, change func(*jwt.AccountClaims)) (string, error) {
	claims := jwt.NewAccountClaims(key)
	claims.Name = name
	if change != nil {
		change(claims)
	}
	return claims.Encode(t.operator)
}

// user makes a user of an account.
func (a *tenant) user(name string) (*load.User, error) {
	keys, err := nkeys.CreateUser()
	if err != nil {
		return nil, err
	}
	key, err := keys.PublicKey()
	if err != nil {
		return nil, err
	}
	claims := jwt.NewUserClaims(key)
	claims.Name = name
	token, err := claims.Encode(a.keys)
	return &load.User{JWT: token, Key: keys}, err
}

// grow makes sure of so many tenants, and of users for the first of them.
func (t *trust) grow(tenants, users int) error {
	for i := len(t.tenants); i < tenants; i++ {
		a, err := t.account(fmt.Sprintf("tenant-%d", i), nil)
		if err != nil {
			return err
		}
		t.tenants = append(t.tenants, a)
	}
	for i := len(t.users); i < users; i++ {
		u, err := t.tenants[i].user("user")
		if err != nil {
			return err
		}
		t.users = append(t.users, u)
	}
	return nil
}

// head is what a configuration says of the operator.
func (t *trust) head() string {
	return fmt.Sprintf("operator: %q\nsystem_account: %s\n", t.operatorToken, t.system.key)
}

// inMemory is the configuration of a server that has the tenants in it.
func (t *trust) inMemory(tenants []tenant) string {
	var b strings.Builder
	b.WriteString(t.head() + "resolver: MEMORY\nresolver_preload {\n")
	for _, a := range append([]tenant{t.system}, tenants...) {
		fmt.Fprintf(&b, "  %s: %q\n", a.key, a.token)
	}
	b.WriteString("}\n")
	return b.String()
}

// inFolder is the configuration of a server that has them in a directory.
func (t *trust) inFolder(dir string, n int) (string, error) {
	folder, ok := t.folders[n]
	if !ok {
		folder = filepath.Join(dir, fmt.Sprintf("accounts-%d", n))
		if err := t.fill(folder, n); err != nil {
			return "", err
		}
		t.folders[n] = folder
	}
	return t.head() + fmt.Sprintf("resolver { type: full, dir: %q, limit: 1000000, interval: \"1h\" }\n", folder), nil
}

func (t *trust) fill(folder string, n int) error {
	if err := os.Mkdir(folder, 0o750); err != nil {
		return err
	}
	for _, a := range append([]tenant{t.system}, t.tenants[:n]...) {
		if err := os.WriteFile(filepath.Join(folder, a.key+".jwt"), []byte(a.token), 0o600); err != nil {
			return err
		}
	}
	return nil
}
