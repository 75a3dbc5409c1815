package conformance

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/coveymq/covey/test/conformance/proc"
)

// world holds the identities of one play of a script: an operator with its
// accounts and users when the script names accounts, and bare keys. All keys
// are made for the play and forgotten with it.
type world struct {
	operator nkeys.KeyPair
	names    []string // of accounts, in order
	accounts map[string]*accountIdentity
	users    map[string]*userIdentity

	// of scripts that need TLS
	tls      *tls.Config // what clients trust
	tlsFiles string      // what the server's tls block says of its certificate
}

// makeTLS makes a certificate for the server, in a folder of its own.
func (w *world) makeTLS(dir string) error {
	own, err := os.MkdirTemp(dir, "tls-")
	if err != nil {
		return fmt.Errorf("make certificate folder: %w", err)
	}
	w.tlsFiles, w.tls, err = proc.LoopbackTLS(own, time.Now())
	return err
}

type accountIdentity struct {
	keys   nkeys.KeyPair
	claims *jwt.AccountClaims
}

type userIdentity struct {
	keys    nkeys.KeyPair
	account string // empty for a bare key
	claims  *jwt.UserClaims
	token   string
}

// newWorld makes the identities that the lines describe:
//
//	account NAME [option...]
//	user NAME ACCOUNT [option...]
//	nkey NAME
//	revoke ACCOUNT USER
//
// and those of addSharing.
func newWorld(lines []string, now time.Time) (*world, error) {
	operator, err := nkeys.CreateOperator()
	if err != nil {
		return nil, fmt.Errorf("create operator key: %w", err)
	}
	w := &world{operator: operator, accounts: map[string]*accountIdentity{}, users: map[string]*userIdentity{}}
	for _, line := range lines {
		if err := w.add(strings.Fields(line), now); err != nil {
			return nil, fmt.Errorf("identity %q: %w", line, err)
		}
	}
	if len(w.accounts) > 0 {
		if err := w.addAccount("SYS", nil, now); err != nil {
			return nil, err
		}
	}
	return w, w.sign()
}

func (w *world) add(f []string, now time.Time) error {
	switch {
	case len(f) >= 2 && f[0] == "account":
		return w.addAccount(f[1], f[2:], now)
	case len(f) >= 3 && f[0] == "user":
		return w.addUser(f[1], f[2], f[3:], now)
	case len(f) == 2 && f[0] == "nkey":
		keys, err := nkeys.CreateUser()
		w.users[f[1]] = &userIdentity{keys: keys}
		return err
	case len(f) == 3 && f[0] == "revoke" && w.accounts[f[1]] != nil && w.users[f[2]] != nil:
		// The cut-off is later than any credential of the play.
		w.accounts[f[1]].claims.RevokeAt(w.users[f[2]].claims.Subject, now.Add(time.Hour))
		return nil
	}
	if known, err := w.addSharing(f, now); known {
		return err
	}
	return fmt.Errorf("unknown form")
}

func (w *world) addAccount(name string, options []string, now time.Time) error {
	keys, err := nkeys.CreateAccount()
	if err != nil {
		return err
	}
	id, err := keys.PublicKey()
	if err != nil {
		return err
	}
	a := &accountIdentity{keys: keys, claims: jwt.NewAccountClaims(id)}
	a.claims.Name = name
	for _, o := range options {
		if err := accountOption(a.claims, o, now); err != nil {
			return err
		}
	}
	w.names = append(w.names, name)
	w.accounts[name] = a
	return nil
}

func accountOption(c *jwt.AccountClaims, option string, now time.Time) error {
	key, value, _ := strings.Cut(option, "=")
	switch key {
	case "pub":
		c.DefaultPermissions.Pub.Allow.Add(strings.Split(value, ",")...)
		return nil
	case "no-pub":
		c.DefaultPermissions.Pub.Deny.Add(strings.Split(value, ",")...)
		return nil
	case "no-bearer":
		c.Limits.DisallowBearer = true
		return nil
	case "exp":
		d, err := time.ParseDuration(value)
		c.Expires = now.Add(d).Unix()
		return err
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return err
	}
	switch key {
	case "conn":
		c.Limits.Conn = n
	case "leaf":
		c.Limits.LeafNodeConn = n
	case "subs":
		c.Limits.Subs = n
	case "payload":
		c.Limits.Payload = n
	default:
		return fmt.Errorf("unknown option %q", key)
	}
	return nil
}

func (w *world) addUser(name, account string, options []string, now time.Time) error {
	keys, err := nkeys.CreateUser()
	if err != nil {
		return err
	}
	id, err := keys.PublicKey()
	if err != nil {
		return err
	}
	u := &userIdentity{keys: keys, account: account, claims: jwt.NewUserClaims(id)}
	u.claims.Name = name
	for _, o := range options {
		if err := userOption(u.claims, o, now); err != nil {
			return err
		}
	}
	w.users[name] = u
	return nil
}

func userOption(c *jwt.UserClaims, option string, now time.Time) error {
	key, value, _ := strings.Cut(option, "=")
	list := strings.Split(strings.ReplaceAll(value, "+", " "), ",") // "subject+queue"
	switch key {
	case "pub":
		c.Pub.Allow.Add(list...)
	case "no-pub":
		c.Pub.Deny.Add(list...)
	case "sub":
		c.Sub.Allow.Add(list...)
	case "no-sub":
		c.Sub.Deny.Add(list...)
	case "bearer":
		c.BearerToken = true
	case "src":
		c.Src.Add(list...)
	case "type":
		c.AllowedConnectionTypes.Add(list...)
	case "exp", "nbf", "responses", "subs", "payload":
		return userNumber(c, key, value, now)
	default:
		return fmt.Errorf("unknown option %q", key)
	}
	return nil
}

func userNumber(c *jwt.UserClaims, key, value string, now time.Time) error {
	switch key {
	case "exp", "nbf":
		d, err := time.ParseDuration(value)
		if key == "exp" {
			c.Expires = now.Add(d).Unix()
		} else {
			c.NotBefore = now.Add(d).Unix()
		}
		return err
	}
	n, err := strconv.ParseInt(value, 10, 64)
	switch key {
	case "responses":
		c.Resp = &jwt.ResponsePermission{MaxMsgs: int(n), Expires: time.Minute}
	case "subs":
		c.Limits.Subs = n
	case "payload":
		c.Limits.Payload = n
	}
	return err
}

// sign issues the users' tokens; accounts are signed when asked for.
func (w *world) sign() error {
	for name, u := range w.users {
		if u.account == "" {
			continue
		}
		a, ok := w.accounts[u.account]
		if !ok {
			return fmt.Errorf("user %s of unknown account %s", name, u.account)
		}
		token, err := u.claims.Encode(a.keys)
		if err != nil {
			return fmt.Errorf("sign user %s: %w", name, err)
		}
		u.token = token
	}
	return nil
}

// serverConfig returns the configuration that makes a server trust the
// operator and know its accounts; empty when the script names no account.
func (w *world) serverConfig() (string, error) {
	if len(w.accounts) == 0 {
		return "", nil
	}
	id, err := w.operator.PublicKey()
	if err != nil {
		return "", err
	}
	claims := jwt.NewOperatorClaims(id)
	claims.Name = "conformance"
	claims.SystemAccount = w.accounts["SYS"].claims.Subject
	token, err := claims.Encode(w.operator)
	if err != nil {
		return "", fmt.Errorf("sign operator: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "operator: %s\nresolver: MEMORY\nresolver_preload: {\n", token)
	for _, name := range w.names {
		a := w.accounts[name]
		if strings.HasPrefix(name, "unknown") { // signed users of an account no server knows
			continue
		}
		token, err := a.claims.Encode(w.operator)
		if err != nil {
			return "", fmt.Errorf("sign account %s: %w", name, err)
		}
		fmt.Fprintf(&b, "  %s: %s\n", a.claims.Subject, token)
	}
	b.WriteString("}\n")
	return b.String(), nil
}

// signature signs a nonce as the server expects it in CONNECT.
func (u *userIdentity) signature(nonce string) (string, error) {
	sig, err := u.keys.Sign([]byte(nonce))
	if err != nil {
		return "", fmt.Errorf("sign nonce: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sig), nil
}

// publicKey returns the public key of a user, bare key or account.
func (w *world) publicKey(name string) (string, error) {
	if u, ok := w.users[name]; ok {
		return u.keys.PublicKey()
	}
	if a, ok := w.accounts[name]; ok {
		return a.keys.PublicKey()
	}
	return "", fmt.Errorf("no identity named %q", name)
}

// mask replaces every public key of the world by the name it was given.
func (w *world) mask(line string) string {
	for _, name := range w.allNames() {
		if id, err := w.publicKey(name); err == nil {
			line = strings.ReplaceAll(line, id, "<key "+name+">")
		}
	}
	return line
}

func (w *world) allNames() []string {
	names := slices.Clone(w.names)
	for n := range w.users {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
