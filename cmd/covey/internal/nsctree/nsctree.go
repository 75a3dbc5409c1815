// Package nsctree reads and writes the files in which nsc and `nats auth` keep
// an operator: JWTs in stores, and the seeds of keys beside them.
//
//	stores/OPERATOR/.nsc                             what kind of store it is, JSON
//	stores/OPERATOR/OPERATOR.jwt
//	stores/OPERATOR/accounts/ACCOUNT/ACCOUNT.jwt
//	stores/OPERATOR/accounts/ACCOUNT/users/USER.jwt
//	keys/keys/K/XX/KEY.nk                            a seed; K is the key's first letter, XX the next two
//	keys/creds/OPERATOR/ACCOUNT/USER.creds
//
// It knows files, and not what is in a JWT.
package nsctree

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/internal/errs"
)

const (
	infoFile   = ".nsc"
	fileMax    = 2 << 20 // a JWT has at most 1 MB, a seed 58 bytes
	storesName = "stores"
	keysName   = "keys"
)

// Tree is an operator with all that is below it.
type Tree struct {
	Name     string
	Operator string // JWT
	Accounts []Account
	Seeds    map[string]accounts.Seed // by public key
}

// Account is an account by the name of its folder.
type Account struct {
	Name  string
	JWT   string
	Users []User
}

// User is a user by the name of its file.
type User struct {
	Name  string
	JWT   string
	Creds []byte // secret; only written
}

// Source says where a tree is.
type Source struct {
	Dir      string // of nsc, of its stores, or of one operator
	Keys     string // "" is beside the stores, or what NKEYS_PATH says
	Operator string // "" is the only one
}

// Read reads an operator. Of seeds it reads those of operators and accounts: no
// user's.
func Read(from Source) (Tree, error) {
	root, keys, err := from.find()
	if err != nil {
		return Tree{}, err
	}
	t := Tree{Name: filepath.Base(root), Seeds: map[string]accounts.Seed{}}
	if t.Operator, err = readFile(filepath.Join(root, t.Name+".jwt")); err != nil {
		return Tree{}, err
	}
	names, err := folders(filepath.Join(root, "accounts"))
	if err != nil {
		return Tree{}, err
	}
	for _, name := range names {
		a := Account{Name: name}
		dir := filepath.Join(root, "accounts", name)
		if a.JWT, err = readFile(filepath.Join(dir, name+".jwt")); err != nil {
			return Tree{}, err
		}
		if a.Users, err = readUsers(filepath.Join(dir, "users")); err != nil {
			return Tree{}, err
		}
		t.Accounts = append(t.Accounts, a)
	}
	return t, t.readSeeds(keys)
}

// find finds the operator's folder and that of the keys.
func (s Source) find() (root, keys string, err error) {
	stores, err := filepath.Abs(s.Dir)
	if err != nil {
		return "", "", fmt.Errorf("find store: %w", err)
	}
	if isDir(filepath.Join(stores, storesName)) {
		stores = filepath.Join(stores, storesName)
	}
	switch {
	case isDir(filepath.Join(stores, "accounts")) && s.Operator == "":
		root, stores = stores, filepath.Dir(stores)
	case s.Operator != "":
		root = filepath.Join(stores, s.Operator)
	default:
		names, err := folders(stores)
		if err != nil {
			return "", "", err
		}
		if len(names) != 1 {
			return "", "", errs.New(errs.Invalid, "NSC_OPERATOR", "%s has %d operators: %s", stores, len(names), strings.Join(names, ", ")).
				WithNext("name a folder with an nsc store in it, or one of its operators with --operator")
		}
		root = filepath.Join(stores, names[0])
	}
	if keys = s.Keys; keys == "" {
		keys = os.Getenv("NKEYS_PATH")
	}
	if keys == "" {
		keys = filepath.Join(filepath.Dir(stores), keysName)
	}
	if !isDir(keys) {
		return "", "", errs.New(errs.Invalid, "NSC_KEYS", "there are no keys in %s", keys).WithNext("say where they are with --keys")
	}
	return root, keys, nil
}

func readUsers(dir string) ([]User, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	var users []User
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".jwt")
		if !ok {
			continue
		}
		text, err := readFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		users = append(users, User{Name: name, JWT: text})
	}
	return users, nil
}

func (t *Tree) readSeeds(keys string) error {
	err := filepath.WalkDir(keys, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && path == filepath.Join(keys, "creds"):
			return fs.SkipDir
		case e.IsDir() || filepath.Ext(path) != ".nk" || strings.HasPrefix(e.Name(), "U"):
			return nil
		}
		text, err := readFile(path)
		if err != nil {
			return err
		}
		seed, err := accounts.ParseSeed([]byte(text))
		if err != nil {
			return fmt.Errorf("key %s: %w", path, err)
		}
		public, err := seed.PublicKey()
		if err != nil {
			return err
		}
		t.Seeds[public] = seed
		return nil
	})
	if err != nil {
		return fmt.Errorf("read keys: %w", err)
	}
	return nil
}

func folders(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errs.New(errs.Invalid, "NSC_STORE", "there is no nsc store at %s", dir).WithNext("name a folder that has stores and keys in it")
	}
	if err != nil {
		return nil, fmt.Errorf("list store: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func readFile(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("read store: %w", err)
	}
	if info.Size() > fileMax {
		return "", errs.New(errs.Invalid, "NSC_STORE", "%s has %d bytes, more than any JWT", path, info.Size())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read store: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// Write writes an operator into a folder that has none of that name: all files
// are readable by their owner only.
func Write(dir string, t Tree) error {
	root := filepath.Join(dir, storesName, t.Name)
	if _, err := os.Stat(root); !errors.Is(err, fs.ErrNotExist) {
		return errs.New(errs.Exists, "NSC_EXISTS", "%s is there already", root).WithNext("export to another folder")
	}
	info, err := json.Marshal(map[string]any{"managed": false, "name": t.Name, "kind": "operator", "version": "1"})
	if err != nil {
		return fmt.Errorf("write store: %w", err)
	}
	w := &writer{root: root, creds: filepath.Join(dir, keysName, "creds", t.Name)}
	w.file(string(info), infoFile)
	w.file(t.Operator, t.Name+".jwt")
	for _, a := range t.Accounts {
		w.account(a)
	}
	for public, seed := range t.Seeds {
		w.put(string(seed.Reveal()), filepath.Join(dir, keysName, keysName, public[:1], public[1:3], public+".nk"))
	}
	return w.err
}

// writer writes files until one fails.
type writer struct {
	root, creds string
	err         error
}

func (w *writer) account(a Account) {
	if err := safe(a.Name); err != nil {
		w.err = errors.Join(w.err, err)
		return
	}
	w.file(a.JWT, "accounts", a.Name, a.Name+".jwt")
	for _, u := range a.Users {
		if err := safe(u.Name); err != nil {
			w.err = errors.Join(w.err, err)
			return
		}
		w.file(u.JWT, "accounts", a.Name, "users", u.Name+".jwt")
		if len(u.Creds) > 0 {
			w.put(string(u.Creds), filepath.Join(w.creds, a.Name, u.Name+".creds"))
		}
	}
}

// safe refuses names that are no names of files.
func safe(name string) error {
	if name == "" || strings.ContainsAny(name, `/\`) || strings.HasPrefix(name, ".") {
		return errs.New(errs.Invalid, "NSC_NAME", "%q is no name for a file", name)
	}
	return nil
}

func (w *writer) file(text string, path ...string) {
	w.put(text, filepath.Join(slices.Concat([]string{w.root}, path)...))
}

func (w *writer) put(text, path string) {
	if w.err != nil {
		return
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		w.err = fmt.Errorf("write store: %w", err)
		return
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.err = fmt.Errorf("write store: %w", err)
	}
}
