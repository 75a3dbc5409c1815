package store

import (
	"context"
	"fmt"
	"time"

	"github.com/coveymq/covey/accounts"
)

// Export is a subject of an account that others may import.
type Export struct {
	Stored

	ID              string             `json:"id"`
	Account         string             `json:"account"`
	Description     string             `json:"description,omitempty"`
	Subject         string             `json:"subject"`
	Type            accounts.ShareType `json:"type"`
	Offered         bool               `json:"offered,omitempty"` // its own organization needs an offer, too
	Answers         accounts.Answers   `json:"answers,omitempty"`
	ThresholdMillis int64              `json:"threshold_ms,omitempty"`
	LatencySubject  string             `json:"latency_subject,omitempty"`
	LatencyPercent  int                `json:"latency_percent,omitempty"`
	Revoked         map[string]int64   `json:"revoked,omitempty"` // activations, by account key
	CreateTime      time.Time          `json:"create_time"`
	UpdateTime      time.Time          `json:"update_time"`
}

// Import is what an account takes from another: an export of its own
// organization, or a share.
type Import struct {
	Stored

	ID             string             `json:"id"`
	Account        string             `json:"account"`
	FromAccount    string             `json:"from_account,omitempty"` // with FromExport: of the same organization
	FromExport     string             `json:"from_export,omitempty"`
	Share          string             `json:"share,omitempty"`
	Exporter       string             `json:"exporter"` // the exporting account's public key
	Subject        string             `json:"subject"`
	Local          string             `json:"local,omitempty"`
	Type           accounts.ShareType `json:"type"`
	ShareRequestor bool               `json:"share_requestor,omitempty"`
	Activation     string             `json:"activation"`
	Issued         int64              `json:"issued"` // unix seconds of the activation
	CreateTime     time.Time          `json:"create_time"`
}

// Share is an agreement of two organizations. Both sides' Views find it, and
// nobody else's.
type Share struct {
	Stored

	ID                 string             `json:"id"`
	Organization       string             `json:"organization"` // who exports
	Account            string             `json:"account"`
	Export             string             `json:"export"`
	Exporter           string             `json:"exporter"` // the account's public key
	TargetOrganization string             `json:"target_organization"`
	TargetAccount      string             `json:"target_account,omitempty"` // once it is accepted
	Importer           string             `json:"importer,omitempty"`       // that account's public key
	Subject            string             `json:"subject"`
	Type               accounts.ShareType `json:"type"`
	Message            string             `json:"message,omitempty"`
	TTLSeconds         int64              `json:"ttl_seconds,omitempty"` // of the share; 0 sets no end
	CreateTime         time.Time          `json:"create_time"`
	OfferExpireTime    time.Time          `json:"offer_expire_time"`
	AcceptTime         time.Time          `json:"accept_time,omitzero"`
	ExpireTime         time.Time          `json:"expire_time,omitzero"`
	EndTime            time.Time          `json:"end_time,omitzero"`
	Revoked            bool               `json:"revoked,omitempty"` // the exporter ended it; else the other side did
	Activation         string             `json:"activation,omitempty"`
	Issued             int64              `json:"issued,omitempty"`
	Imports            []string           `json:"imports,omitempty"` // ids, of TargetAccount
}

func shareKey(id string) string { return root + "share/" + id }

func (v *View) offerPrefix(account string) string { return v.orgKey("offer/%s/", account) }

func offerKey(s Share) string {
	return root + "org/" + s.Organization + "/offer/" + s.Account + "/" + accounts.NewestFirst(s.ID)
}

func receivedKey(s Share) string {
	return root + "org/" + s.TargetOrganization + "/share/" + accounts.NewestFirst(s.ID)
}

// Export reads one export of an account.
func (v *View) Export(ctx context.Context, account, id string) (Export, error) {
	var e Export
	return e, v.load(ctx, v.orgKey("export/%s/%s", account, id), &e)
}

// Exports lists the exports of an account by id.
func (v *View) Exports(ctx context.Context, account string, p Page) ([]Export, string, error) {
	return loadPage[Export](ctx, v, v.orgKey("export/%s/", account), p)
}

// AllExports reads all exports of an account.
func (v *View) AllExports(ctx context.Context, account string) ([]Export, error) {
	return loadAll[Export](ctx, v, v.orgKey("export/%s/", account))
}

// AllSharing reads all exports and imports of an account, as AllExports and
// AllImports do.
func (v *View) AllSharing(ctx context.Context, account string) ([]Export, []Import, error) {
	err := v.ahead(ctx, wanted{v.orgKey("export/%s/", account), true}, wanted{v.orgKey("import/%s/", account), true})
	if err != nil {
		return nil, nil, err
	}
	exports, err := v.AllExports(ctx, account)
	if err != nil {
		return nil, nil, err
	}
	imports, err := v.AllImports(ctx, account)
	return exports, imports, err
}

// CreateExport puts a new export.
func (t *Tx) CreateExport(ctx context.Context, e Export) error {
	return t.create(ctx, t.orgKey("export/%s/%s", e.Account, e.ID), e)
}

// PutExport replaces an export that was read.
func (t *Tx) PutExport(e Export) error { return t.put(t.orgKey("export/%s/%s", e.Account, e.ID), e) }

// DeleteExport removes an export.
func (t *Tx) DeleteExport(e Export) { t.remove(t.orgKey("export/%s/%s", e.Account, e.ID)) }

// Import reads one import of an account.
func (v *View) Import(ctx context.Context, account, id string) (Import, error) {
	var i Import
	return i, v.load(ctx, v.orgKey("import/%s/%s", account, id), &i)
}

// Imports lists the imports of an account by id.
func (v *View) Imports(ctx context.Context, account string, p Page) ([]Import, string, error) {
	return loadPage[Import](ctx, v, v.orgKey("import/%s/", account), p)
}

// AllImports reads all imports of an account.
func (v *View) AllImports(ctx context.Context, account string) ([]Import, error) {
	return loadAll[Import](ctx, v, v.orgKey("import/%s/", account))
}

// ImportRef names an import of the same organization.
type ImportRef struct {
	Stored
	Account string `json:"account"`
	Import  string `json:"import"`
}

func (v *View) importerKey(i Import) string {
	return v.orgKey("importer/%s/%s/%s.%s", i.FromAccount, i.FromExport, i.Account, i.ID)
}

// Importers reads which imports of the same organization take an export
// without an offer.
func (v *View) Importers(ctx context.Context, account, export string) ([]ImportRef, error) {
	return loadAll[ImportRef](ctx, v, v.orgKey("importer/%s/%s/", account, export))
}

// CreateImport puts a new import.
func (t *Tx) CreateImport(ctx context.Context, i Import) error {
	if err := t.create(ctx, t.orgKey("import/%s/%s", i.Account, i.ID), i); err != nil || i.Share != "" {
		return err
	}
	return t.put(t.importerKey(i), ImportRef{Account: i.Account, Import: i.ID})
}

// DeleteImport removes an import.
func (t *Tx) DeleteImport(i Import) {
	t.remove(t.orgKey("import/%s/%s", i.Account, i.ID))
	if i.Share == "" {
		t.remove(t.importerKey(i))
	}
}

// Share reads one agreement. It is there for both sides of it and for nobody
// else.
func (v *View) Share(ctx context.Context, id string) (Share, error) {
	var s Share
	if err := v.load(ctx, shareKey(id), &s); err != nil {
		return Share{}, err
	}
	if v.org == "" || v.org != s.Organization && v.org != s.TargetOrganization {
		return Share{}, ErrNotFound
	}
	return s, nil
}

// Offers lists the agreements that an account offered, newest first.
func (v *View) Offers(ctx context.Context, account string, p Page) ([]Share, string, error) {
	return v.shares(ctx, v.offerPrefix(account), p)
}

// Received lists the agreements that were offered to the organization, newest
// first.
func (v *View) Received(ctx context.Context, p Page) ([]Share, string, error) {
	return v.shares(ctx, v.orgKey("share/"), p)
}

func (v *View) shares(ctx context.Context, prefix string, p Page) ([]Share, string, error) {
	ids, next, err := loadKeys(ctx, v, prefix, p)
	if err != nil {
		return nil, "", err
	}
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = shareKey(accounts.NewestFirst(id))
	}
	list, err := loadBatch[Share](ctx, v, keys)
	return list, next, err
}

// AllOffers reads all agreements that an account offered, newest first. A Tx
// that commits conflicts with whichever was offered or ended meanwhile.
func (v *View) AllOffers(ctx context.Context, account string) ([]Share, error) {
	v.ranges = append(v.ranges, v.offerPrefix(account))
	list, next, err := v.Offers(ctx, account, Page{Size: pageSizeMax})
	if err == nil && next != "" {
		err = fmt.Errorf("account %s has more than %d offers", account, pageSizeMax)
	}
	for _, s := range list {
		v.keys[shareKey(s.ID)] = s.Revision
	}
	return list, err
}

// CreateShare puts a new agreement, offered by the organization that the Tx is
// bound to.
func (t *Tx) CreateShare(ctx context.Context, s Share) error {
	s.Organization = t.org
	if err := t.create(ctx, shareKey(s.ID), s); err != nil {
		return err
	}
	if err := t.put(offerKey(s), struct{}{}); err != nil {
		return err
	}
	return t.put(receivedKey(s), struct{}{})
}

// PutShare replaces an agreement that was read.
func (t *Tx) PutShare(s Share) error { return t.put(shareKey(s.ID), s) }

// ForgetShare removes the record of an agreement that has ended.
func (t *Tx) ForgetShare(s Share) {
	t.remove(shareKey(s.ID))
	t.remove(offerKey(s))
	t.remove(receivedKey(s))
}

// ExporterOf reads the account and the export that an agreement is about,
// whichever side asks: an accepted offer is what lets it. What it returns must
// not be shown to the other side.
func (v *View) ExporterOf(ctx context.Context, s Share) (Account, Export, error) {
	if v.org == "" || v.org != s.Organization && v.org != s.TargetOrganization {
		return Account{}, Export{}, ErrNotFound
	}
	there := &View{store: v.store, org: s.Organization, rev: v.rev, keys: v.keys}
	a, err := there.Account(ctx, s.Account)
	if err != nil {
		return Account{}, Export{}, err
	}
	e, err := there.Export(ctx, s.Account, s.Export)
	return a, e, err
}
