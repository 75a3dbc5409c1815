package tenancy

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

// NewImport says what to import. It is an export of the same organization, or
// a share.
type NewImport struct {
	FromAccount, FromExport string
	Share                   string
	Subject                 string // "" is all of it
	Local                   string
	ShareRequestor          bool
}

// ImportName returns the resource name of an import.
func ImportName(organization, account, id string) string {
	return AccountName(organization, account) + "/imports/" + id
}

// ImportChange is an import as a change leaves it.
type ImportChange struct {
	Import     store.Import
	Operation  store.Operation
	ExpireTime time.Time // when the right ends; zero when not by itself
}

func importSpec(i store.Import) accounts.Import {
	return accounts.Import{
		Name: i.ID, Account: i.Exporter, Subject: i.Subject, Local: i.Local, Type: i.Type,
		ShareRequestor: i.ShareRequestor, Activation: i.Activation,
	}
}

// CreateImport imports an export of the organization, or an accepted share.
func (s *Service) CreateImport(ctx context.Context, tx *store.Tx, method, account, id string, in NewImport) (ImportChange, error) {
	if err := accounts.ValidateImportID(id); err != nil {
		return ImportChange{}, err
	}
	a, err := liveAccount(ctx, tx, account)
	if err != nil {
		return ImportChange{}, err
	}
	all, err := tx.AllImports(ctx, account)
	if err != nil {
		return ImportChange{}, err
	}
	if len(all) >= importsMax {
		return ImportChange{}, errs.New(errs.Exhausted, "IMPORT_QUOTA", "the account %q has %d imports, and no more are allowed", account, len(all)).
			WithNext("import a wider subject, or delete one")
	}
	i := store.Import{ID: id, Account: account, Subject: in.Subject, Local: in.Local, ShareRequestor: in.ShareRequestor, CreateTime: tx.Now}
	var expires time.Time
	if in.Share != "" {
		expires, err = fromShare(ctx, tx, a, in, &i)
	} else {
		err = s.fromExport(ctx, tx, a, in, &i)
	}
	if err != nil {
		return ImportChange{}, err
	}
	if err := importSpec(i).Validate("import"); err != nil {
		return ImportChange{}, err
	}
	if err := checkImport(ctx, tx.View, a, i, all); err != nil {
		return ImportChange{}, err
	}
	err = tx.CreateImport(ctx, i)
	if errors.Is(err, store.ErrExists) {
		err = taken("IMPORT_EXISTS", "import_id", ImportName(tx.Organization(), account, id))
	}
	if err != nil {
		return ImportChange{}, err
	}
	operation, err := s.republish(ctx, tx, method, ImportName(tx.Organization(), account, id), a, shareChange{imp: &i})
	return ImportChange{Import: i, Operation: operation, ExpireTime: expires}, err
}

// fromExport fills an import of an export of the same organization.
func (s *Service) fromExport(ctx context.Context, tx *store.Tx, a store.Account, in NewImport, i *store.Import) error {
	exporter, err := liveAccount(ctx, tx, in.FromAccount)
	var e store.Export
	if err == nil {
		e, err = tx.Export(ctx, in.FromAccount, in.FromExport)
	}
	if errors.Is(err, store.ErrNotFound) {
		return noSource(ExportName(tx.Organization(), in.FromAccount, in.FromExport))
	}
	if err != nil {
		return err
	}
	if e.Offered {
		return errs.New(errs.Precondition, "NOT_OFFERED", "the export %q is for those only whom it is offered to", e.ID).WithField("import.source").
			WithNext("ask for an offer, accept it, and import the share")
	}
	if exporter.ID == a.ID {
		return errs.New(errs.Invalid, "INVALID_SHARE", "an account cannot import from itself").WithField("import.source")
	}
	i.FromAccount, i.FromExport, i.Exporter, i.Type = exporter.ID, e.ID, exporter.PublicKey, e.Type
	if err := within(i, e.Subject); err != nil {
		return err
	}
	i.Activation, i.Issued, err = s.activate(ctx, exporter, e, accounts.Activation{
		Importer: a.PublicKey, Exporter: exporter.PublicKey, Subject: i.Subject, Type: e.Type,
	}, tx.Now)
	return err
}

// fromShare fills an import of a share, and notes it there. It returns when the
// share ends.
func fromShare(ctx context.Context, tx *store.Tx, a store.Account, in NewImport, i *store.Import) (time.Time, error) {
	share, err := tx.Share(ctx, in.Share)
	if errors.Is(err, store.ErrNotFound) || err == nil && share.TargetOrganization != tx.Organization() {
		return time.Time{}, noSource(ShareName(tx.Organization(), in.Share))
	}
	if err != nil {
		return time.Time{}, err
	}
	if life := ShareLifeOf(share, tx.Now); life != ShareAccepted || share.Importer != a.PublicKey {
		return time.Time{}, errs.New(errs.Precondition, "SHARE_NOT_ACCEPTED", "the share %q is %s for the account %q", share.ID, notAccepted(life), a.ID).
			WithField("import.source").WithNext("accept it for this account, or ask for another offer")
	}
	i.Share, i.Exporter, i.Type, i.Activation, i.Issued = share.ID, share.Exporter, share.Type, share.Activation, share.Issued
	if err := within(i, share.Subject); err != nil {
		return time.Time{}, err
	}
	share.Imports = append(slices.Clone(share.Imports), i.ID)
	return share.ExpireTime, tx.PutShare(share)
}

// within checks that an import stays inside what is offered, and takes all of
// it when it says nothing.
func within(i *store.Import, offered string) error {
	if i.Subject == "" {
		i.Subject = offered
	}
	if !accounts.Contains(offered, i.Subject) {
		return errs.New(errs.Invalid, "INVALID_SHARE", "%q is not within %q, which is what is exported", i.Subject, offered).WithField("import.subject")
	}
	return nil
}

func noSource(name string) error {
	return errs.New(errs.Precondition, "SOURCE_NOT_FOUND", "there is no %q", name).WithField("import.source")
}

// activate signs the right to import with the exporter's key.
func (s *Service) activate(ctx context.Context, exporter store.Account, e store.Export, a accounts.Activation, now time.Time) (string, int64, error) {
	if max(e.Revoked[a.Importer], e.Revoked[everyAccount]) >= now.Unix() {
		// What is issued now would be dead.
		return "", 0, errs.New(errs.Unavailable, "SHARE_JUST_REVOKED", "the account's right was taken away a moment ago").
			WithRetry(time.Second).WithNext("try again in a second")
	}
	signer, err := s.signer(ctx, exporter.PublicKey, useDirect, exporter.SealedDirect)
	if err != nil {
		return "", 0, err
	}
	return accounts.SignActivation(a, signer)
}

// DeleteImport ends an import.
func (s *Service) DeleteImport(ctx context.Context, tx *store.Tx, method, account, id, etag string) (store.Operation, error) {
	a, err := liveAccount(ctx, tx, account)
	if err != nil {
		return store.Operation{}, err
	}
	i, err := tx.Import(ctx, account, id)
	if err != nil {
		return store.Operation{}, err
	}
	if err := checkEtag(etag, i.Revision); err != nil {
		return store.Operation{}, err
	}
	if err := releaseShare(ctx, tx, i); err != nil {
		return store.Operation{}, err
	}
	tx.DeleteImport(i)
	return s.republish(ctx, tx, method, ImportName(tx.Organization(), account, id), a, shareChange{imp: &i, gone: true})
}

// releaseShare takes an import off the share that it uses, if any.
func releaseShare(ctx context.Context, tx *store.Tx, i store.Import) error {
	if i.Share == "" {
		return nil
	}
	share, err := tx.Share(ctx, i.Share)
	if err != nil {
		return ignoreForgotten(err)
	}
	share.Imports = slices.DeleteFunc(slices.Clone(share.Imports), func(id string) bool { return id == i.ID })
	return tx.PutShare(share)
}

// brokenBy says why brokers refuse an import, "" when they do not: reasons are
// those of the API.
func brokenBy(i store.Import, e store.Export, importer string) string {
	switch {
	case e.Type != i.Type || !accounts.Contains(e.Subject, i.Subject):
		return "EXPORT_CHANGED"
	case max(e.Revoked[importer], e.Revoked[everyAccount]) >= i.Issued:
		return "REVOKED"
	}
	return ""
}

// ImportState is whether the exporter allows an import.
type ImportState struct {
	Broken     string    // why not; "" when it does
	ExpireTime time.Time // when the right ends; zero when not by itself
}

// StateOf reads whether servers accept an import of an account: whether the
// exporter allows it, and no cycle is closed by it.
func (s *Service) StateOf(ctx context.Context, v *store.View, i store.Import, importer string, now time.Time) (ImportState, error) {
	out, err := s.allowed(ctx, v, i, importer, now)
	if err != nil || out.Broken != "" {
		return out, err
	}
	closed, err := inCycle(ctx, v, importer, i)
	if closed {
		out.Broken = "CYCLE"
	}
	return out, err
}

// allowed reads whether the exporter allows an import of an account.
func (s *Service) allowed(ctx context.Context, v *store.View, i store.Import, importer string, now time.Time) (ImportState, error) {
	if i.Share == "" {
		_, err := v.Account(ctx, i.FromAccount)
		var e store.Export
		if err == nil {
			e, err = v.Export(ctx, i.FromAccount, i.FromExport)
		}
		return stateIn(i, e, importer, err)
	}
	share, err := v.Share(ctx, i.Share)
	if errors.Is(err, store.ErrNotFound) {
		return ImportState{Broken: "SHARE_ENDED"}, nil
	}
	if err != nil {
		return ImportState{}, err
	}
	if life := ShareLifeOf(share, now); life != ShareAccepted {
		reason := "SHARE_ENDED"
		if life == ShareExpired {
			reason = "SHARE_EXPIRED"
		}
		return ImportState{Broken: reason, ExpireTime: share.ExpireTime}, nil
	}
	_, e, err := v.ExporterOf(ctx, share)
	out, err := stateIn(i, e, importer, err)
	out.ExpireTime = share.ExpireTime
	return out, err
}

func stateIn(i store.Import, e store.Export, importer string, err error) (ImportState, error) {
	if errors.Is(err, store.ErrNotFound) {
		return ImportState{Broken: "EXPORT_GONE"}, nil
	}
	if err != nil {
		return ImportState{}, err
	}
	return ImportState{Broken: brokenBy(i, e, importer)}, nil
}
