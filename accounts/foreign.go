package accounts

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/internal/errs"
)

// ForeignAccount is what an account's claims say that were made elsewhere.
// SignAccount of the spec says the same.
type ForeignAccount struct {
	Spec   AccountSpec
	Issuer string // the operator's public key that signed
}

// ReadAccount reads an account's claims. What the spec has no field for is
// carried over in it.
func ReadAccount(text string) (ForeignAccount, error) {
	claims, err := jwt.DecodeAccountClaims(strings.TrimSpace(text))
	if err != nil {
		return ForeignAccount{}, errForeign("an account", err)
	}
	out := ForeignAccount{Issuer: claims.Issuer}
	spec := &out.Spec
	spec.PublicKey, spec.Name = claims.Subject, claims.Name
	spec.Limits = Limits{
		Connections: limited(claims.Limits.Conn), LeafNodes: limited(claims.Limits.LeafNodeConn), Subscriptions: limited(claims.Limits.Subs),
		PayloadBytes: limited(claims.Limits.Payload), DataBytes: limited(claims.Limits.Data),
	}
	if err := spec.readTags(&claims.Account); err != nil {
		return out, fmt.Errorf("account %q: %w", claims.Name, err)
	}
	if err := spec.readKeys(claims.SigningKeys); err != nil {
		return out, err
	}
	spec.Revocations = readRevocations(claims.Revocations)
	spec.readSharing(&claims.Account)
	spec.readCallout(&claims.Account)
	managed(&claims.Account)
	plain := jwt.NewAccountClaims(claims.Subject).Account
	managed(&plain)
	spec.Carried, err = carried(claims.Account, plain)
	return out, err
}

func limited(v int64) *int64 {
	if v < 0 {
		return nil
	}
	return &v
}

// readTags takes our own limits out of the tags of an account.
func (spec *AccountSpec) readTags(a *jwt.Account) error {
	quotas, err := ParseQuotaTags(a.Tags)
	if err != nil {
		return err
	}
	if len(quotas.Roles) > 0 {
		return errs.New(errs.Invalid, "RESERVED_TAG", "its tags limit roles, which the API cannot keep").WithField("tags").
			WithNext("take the tags that begin with covey-role: off the account")
	}
	spec.Limits.Quotas = quotas.Own
	a.Tags = slices.DeleteFunc(a.Tags, func(tag string) bool { return strings.HasPrefix(strings.ToLower(tag), reservedTagPrefix) })
	if len(a.Tags) == 0 {
		a.Tags = nil
	}
	return nil
}

// readKeys sorts signing keys into plain ones and roles. Keys with the same
// template are one role's.
func (spec *AccountSpec) readKeys(keys jwt.SigningKeys) error {
	roles := map[string]*Role{} // by what they say
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		scope := keys[key]
		if scope == nil {
			spec.Keys = append(spec.Keys, key)
			continue
		}
		user, ok := scope.(*jwt.UserScope)
		if !ok {
			return errs.New(errs.Invalid, "INVALID_CLAIMS", "the signing key %s is scoped in a way that is not known here", key)
		}
		said := *user
		said.Key = ""
		text, err := json.Marshal(&said)
		if err != nil {
			return fmt.Errorf("write scope: %w", err)
		}
		if known := roles[string(text)]; known != nil {
			known.Keys = append(known.Keys, key)
			continue
		}
		role, err := readScope(said)
		if err != nil {
			return err
		}
		role.Keys = []string{key}
		roles[string(text)] = &role
	}
	for _, text := range slices.Sorted(maps.Keys(roles)) {
		spec.Roles = append(spec.Roles, *roles[text])
	}
	slices.SortStableFunc(spec.Roles, func(a, b Role) int { return cmp.Compare(a.Name, b.Name) })
	return nil
}

func readScope(said jwt.UserScope) (Role, error) {
	role := Role{Name: said.Role, Permissions: readPermissions(said.Template.Permissions)}
	plain := jwt.NewUserScope()
	plain.Role = said.Role
	said.Template.Permissions, plain.Template.Permissions = jwt.Permissions{}, jwt.Permissions{}
	var err error
	role.Carried, err = carried(said, *plain)
	return role, err
}

// readPermissions reads permissions. nats-server takes responses without an
// allow list for "publish nothing else", which is a rule of its own here.
func readPermissions(p jwt.Permissions) Permissions {
	out := Permissions{
		Publish:   Rules{Allow: slices.Clone([]string(p.Pub.Allow)), Deny: slices.Clone([]string(p.Pub.Deny))},
		Subscribe: Rules{Allow: slices.Clone([]string(p.Sub.Allow)), Deny: slices.Clone([]string(p.Sub.Deny))},
	}
	if p.Resp == nil {
		return out
	}
	out.Responses = &Responses{MaxMessages: p.Resp.MaxMsgs, TTL: p.Resp.Expires}
	if p.Resp.MaxMsgs < 0 {
		out.Responses.MaxMessages = responseMessagesMax
	}
	if p.Resp.Expires < 0 {
		out.Responses.TTL = responseTTLMax
	}
	if len(p.Pub.Allow) == 0 && !slices.Contains(out.Publish.Deny, ">") {
		out.Publish.Deny = append(out.Publish.Deny, ">")
	}
	return out
}

// Never is a second that no credential lives to see: what was issued elsewhere
// may never expire, so its revocation must not lapse.
const Never = 1 << 40

func readRevocations(list jwt.RevocationList) Revocations {
	var out Revocations
	for key, at := range list {
		if key == jwt.All {
			out.CutOff, out.CutOffUntil = at, Never
			continue
		}
		out = out.With(Revocation{PublicKey: key, At: at, Issued: at, Until: Never})
	}
	return out
}

// readSharing takes those exports and imports out of claims that specs can say.
func (spec *AccountSpec) readSharing(a *jwt.Account) {
	a.Exports = slices.DeleteFunc(a.Exports, func(e *jwt.Export) bool {
		out, ok := readExport(*e)
		if ok {
			spec.Exports = append(spec.Exports, out)
		}
		return ok
	})
	a.Imports = slices.DeleteFunc(a.Imports, func(i *jwt.Import) bool {
		out := Import{
			Name: i.Name, Account: i.Account, Subject: string(i.Subject), Local: string(i.LocalSubject), Type: readType(i.Type),
			ShareRequestor: i.Share, Activation: i.Token,
		}
		ok := i.Token != "" && out.Validate("import") == nil && reflect.DeepEqual(out.claims(), i)
		if ok {
			spec.Imports = append(spec.Imports, out)
		}
		return ok
	})
	if len(a.Exports) == 0 {
		a.Exports = nil
	}
	if len(a.Imports) == 0 {
		a.Imports = nil
	}
}

func readExport(e jwt.Export) (Export, bool) {
	out := Export{
		Name: e.Name, Description: e.Description, Subject: string(e.Subject), Type: readType(e.Type), ResponseThreshold: e.ResponseThreshold,
		Revoked: map[string]int64{},
	}
	switch {
	case e.Type == jwt.Service && e.ResponseType == jwt.ResponseTypeStream:
		out.Answers = AnswersMany
	case e.Type == jwt.Service && e.ResponseType == jwt.ResponseTypeChunked:
		out.Answers = AnswersChunked
	case e.Type == jwt.Service:
		e.ResponseType = jwt.ResponseTypeSingleton // also when it is not said
	}
	if e.Latency != nil {
		out.LatencySubject, out.LatencyPercent = string(e.Latency.Results), int(e.Latency.Sampling)
	}
	maps.Copy(out.Revoked, e.Revocations)
	if len(e.Revocations) == 0 {
		e.Revocations = nil
	}
	return out, out.Validate("export") == nil && reflect.DeepEqual(*out.claims(), e)
}

func readType(t jwt.ExportType) ShareType {
	switch t {
	case jwt.Stream:
		return Stream
	case jwt.Service:
		return Service
	case jwt.Unknown:
	}
	return ""
}

// ForeignUser is what a user's claims say that were made elsewhere.
type ForeignUser struct {
	Spec   UserSpec
	Token  Token
	Issuer string // the account's public key, or that of a signing key
}

// ReadUser reads a user's claims.
func ReadUser(text string) (ForeignUser, error) {
	text = strings.TrimSpace(text)
	claims, err := jwt.DecodeUserClaims(text)
	if err != nil {
		return ForeignUser{}, errForeign("a user", err)
	}
	if _, err := ParseUserQuotaTags(claims.Tags); err != nil {
		return ForeignUser{}, fmt.Errorf("user %q: %w", claims.Name, err)
	}
	out := ForeignUser{
		Issuer: claims.Issuer, Token: Token{JWT: text, ID: claims.ID, IssuedAt: time.Unix(claims.IssuedAt, 0).UTC()},
		Spec: UserSpec{PublicKey: claims.Subject, Name: claims.Name, AccountKey: claims.IssuerAccount},
	}
	if out.Spec.AccountKey == "" {
		out.Spec.AccountKey = claims.Issuer
	}
	if claims.Expires != 0 {
		out.Spec.Expires = time.Unix(claims.Expires, 0).UTC()
	}
	plain := jwt.NewUserClaims(claims.Subject)
	if claims.HasEmptyPermissions() {
		plain.SetScoped(true)
	} else {
		permissions := readPermissions(claims.Permissions)
		out.Spec.Permissions = &permissions
	}
	for _, c := range []*jwt.UserClaims{claims, plain} {
		c.Permissions, c.IssuerAccount, c.Type, c.Version = jwt.Permissions{}, "", "", 0
	}
	out.Spec.Carried, err = carried(claims.User, plain.User)
	return out, err
}

// ForeignOperator is what an operator's claims say that were made elsewhere.
type ForeignOperator struct {
	OperatorSpec

	PublicKey string
	JWT       string
}

// ReadOperator reads an operator's claims.
func ReadOperator(text string) (ForeignOperator, error) {
	text = strings.TrimSpace(text)
	claims, err := jwt.DecodeOperatorClaims(text)
	if err != nil {
		return ForeignOperator{}, errForeign("an operator", err)
	}
	return ForeignOperator{
		PublicKey: claims.Subject, JWT: text,
		OperatorSpec: OperatorSpec{Name: claims.Name, SigningKeys: claims.SigningKeys, SystemAccount: claims.SystemAccount},
	}, nil
}

// ReadActivation reads the right to import, the second that it was issued in,
// and who signed it.
func ReadActivation(text string) (a Activation, issued int64, issuer string, err error) {
	claims, err := jwt.DecodeActivationClaims(text)
	if err != nil {
		return Activation{}, 0, "", errForeign("an activation", err)
	}
	a = Activation{Importer: claims.Subject, Exporter: claims.IssuerAccount, Subject: string(claims.ImportSubject), Type: readType(claims.ImportType)}
	if a.Exporter == "" {
		a.Exporter = claims.Issuer
	}
	if claims.Expires != 0 {
		a.Expires = time.Unix(claims.Expires, 0).UTC()
	}
	return a, claims.IssuedAt, claims.Issuer, nil
}

// AmendOperator signs an operator's claims again, with one more signing key and
// another system account; "" leaves what is there. All else stays.
func AmendOperator(text, signingKey, systemAccount string, root Signer) (string, error) {
	claims, err := jwt.DecodeOperatorClaims(strings.TrimSpace(text))
	if err != nil {
		return "", errForeign("an operator", err)
	}
	if root.PublicKey() != claims.Subject {
		return "", errs.New(errs.Invalid, "WRONG_ROOT", "the root key is not that of the operator %s", claims.Subject)
	}
	if signingKey != "" {
		claims.SigningKeys.Add(signingKey)
	}
	if systemAccount != "" {
		claims.SystemAccount = systemAccount
	}
	return sign(claims, root)
}

// ResignAccount signs an account's claims again, by another operator and under
// another name. All else stays.
func ResignAccount(text, name string, operator Signer) (string, error) {
	claims, err := jwt.DecodeAccountClaims(strings.TrimSpace(text))
	if err != nil {
		return "", errForeign("an account", err)
	}
	claims.Name = name
	return sign(claims, operator)
}
