package conformance

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// addSharing adds what an account shares or maps, in one of the forms
//
//	export ACCOUNT stream|service SUBJECT [option...]
//	import ACCOUNT stream|service EXPORTER SUBJECT [option...]
//	map ACCOUNT FROM TO[=WEIGHT] [TO=WEIGHT...]
//
// In a subject @NAME is the public key of an account. It reports whether the line
// has one of these forms.
func (w *world) addSharing(f []string, now time.Time) (bool, error) {
	if len(f) < 4 || w.accounts[f[1]] == nil {
		return false, nil
	}
	a := w.accounts[f[1]]
	switch {
	case f[0] == "export":
		return true, w.addExport(a, f[2:], now)
	case f[0] == "import" && len(f) >= 5 && w.accounts[f[3]] != nil:
		return true, w.addImport(a, w.accounts[f[3]], slices.Concat(f[2:3], f[4:]), now)
	case f[0] == "map":
		return true, w.addMapping(a, f[2:])
	}
	return false, nil
}

func kindOf(word string) (jwt.ExportType, error) {
	switch word {
	case "stream":
		return jwt.Stream, nil
	case "service":
		return jwt.Service, nil
	}
	return jwt.Unknown, fmt.Errorf("neither stream nor service: %q", word)
}

// named replaces @NAME by the key of that account.
func (w *world) named(subject string) jwt.Subject {
	tokens := strings.Split(subject, ".")
	for i, t := range tokens {
		if name, ok := strings.CutPrefix(t, "@"); ok && w.accounts[name] != nil {
			tokens[i] = w.accounts[name].claims.Subject
		}
	}
	return jwt.Subject(strings.Join(tokens, "."))
}

func (w *world) addExport(a *accountIdentity, f []string, now time.Time) error {
	kind, err := kindOf(f[0])
	if err != nil {
		return err
	}
	e := &jwt.Export{Subject: w.named(f[1]), Type: kind}
	for _, option := range f[2:] {
		if err := w.exportOption(e, option, now); err != nil {
			return err
		}
	}
	a.claims.Exports.Add(e)
	return nil
}

func (w *world) exportOption(e *jwt.Export, option string, now time.Time) error {
	key, value, _ := strings.Cut(option, "=")
	switch key {
	case "private":
		e.TokenReq = true
	case "position":
		n, err := strconv.ParseUint(value, 10, 8)
		e.AccountTokenPosition = uint(n)
		return err
	case "response":
		e.ResponseType = jwt.ResponseType(value)
	case "threshold":
		d, err := time.ParseDuration(value)
		e.ResponseThreshold = d
		return err
	case "revoke":
		who := value
		if who != jwt.All {
			if w.accounts[who] == nil {
				return fmt.Errorf("no account %q", who)
			}
			who = w.accounts[who].claims.Subject
		}
		e.RevokeAt(who, now.Add(time.Hour))
	default:
		return fmt.Errorf("unknown option %q", option)
	}
	return nil
}

func (w *world) addImport(a, exporter *accountIdentity, f []string, now time.Time) error {
	kind, err := kindOf(f[0])
	if err != nil {
		return err
	}
	im := &jwt.Import{Account: exporter.claims.Subject, Subject: w.named(f[1]), Type: kind}
	for _, option := range f[2:] {
		key, value, _ := strings.Cut(option, "=")
		switch key {
		case "to":
			im.LocalSubject = jwt.RenamingSubject(value)
		case "share":
			im.Share = true
		case "token":
			if im.Token, err = w.activation(a, exporter, im, value, now); err != nil {
				return err
			}
		default:
			return fmt.Errorf("unknown option %q", option)
		}
	}
	a.claims.Imports.Add(im)
	return nil
}

// activation signs a token for an import. How lists what is out of the ordinary:
// for:ACCOUNT, by:ACCOUNT, subject:SUBJECT, exp:DURATION, and key for a signing key
// of the exporter.
func (w *world) activation(a, exporter *accountIdentity, im *jwt.Import, how string, now time.Time) (string, error) {
	claims := jwt.NewActivationClaims(a.claims.Subject)
	claims.ImportSubject, claims.ImportType = im.Subject, im.Type
	keys := exporter.keys
	for _, part := range strings.FieldsFunc(how, func(r rune) bool { return r == ',' }) {
		key, value, _ := strings.Cut(part, ":")
		switch {
		case key == "for" && w.accounts[value] != nil:
			claims.Subject = w.accounts[value].claims.Subject
		case key == "by" && w.accounts[value] != nil:
			keys = w.accounts[value].keys
		case key == "subject":
			claims.ImportSubject = jwt.Subject(value)
		case key == "exp":
			d, err := time.ParseDuration(value)
			if err != nil {
				return "", err
			}
			claims.Expires = now.Add(d).Unix()
		case key == "key":
			var err error
			if keys, err = signingKey(exporter); err != nil {
				return "", err
			}
			claims.IssuerAccount = exporter.claims.Subject
		default:
			return "", fmt.Errorf("unknown part %q of a token", part)
		}
	}
	return claims.Encode(keys)
}

// signingKey gives an account one more key.
func signingKey(a *accountIdentity) (nkeys.KeyPair, error) {
	keys, err := nkeys.CreateAccount()
	if err != nil {
		return nil, err
	}
	id, err := keys.PublicKey()
	if err != nil {
		return nil, err
	}
	a.claims.SigningKeys.Add(id)
	return keys, nil
}

func (w *world) addMapping(a *accountIdentity, f []string) error {
	var to []jwt.WeightedMapping
	for _, dest := range f[1:] {
		subject, weight, weighted := strings.Cut(dest, "=")
		m := jwt.WeightedMapping{Subject: jwt.Subject(subject)}
		if weighted {
			n, err := strconv.ParseUint(weight, 10, 8)
			if err != nil {
				return err
			}
			m.Weight = uint8(n)
		}
		to = append(to, m)
	}
	if a.claims.Mappings == nil {
		a.claims.Mappings = jwt.Mapping{}
	}
	a.claims.AddMapping(jwt.Subject(f[0]), to...)
	return nil
}
