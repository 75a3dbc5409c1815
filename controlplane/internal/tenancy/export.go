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

// exportsMax, importsMax and offersMax are of one account: what ends with it
// must fit into one etcd transaction.
const (
	exportsMax = 50
	importsMax = 40
	offersMax  = 30
)

// everyAccount stands for all accounts among refused activations.
const everyAccount = "*"

// ExportFields are the fields of an export; Type is not writable later.
type ExportFields struct {
	Description       string
	Subject           string
	Type              accounts.ShareType
	Offered           bool
	Answers           accounts.Answers
	ResponseThreshold time.Duration
	LatencySubject    string
	LatencyPercent    int
}

// ExportName returns the resource name of an export.
func ExportName(organization, account, id string) string {
	return AccountName(organization, account) + "/exports/" + id
}

// ExportChange is an export as a change leaves it, and what the change broke.
type ExportChange struct {
	Export    store.Export
	Operation *store.Operation
	Importers []store.ImportRef // of the same organization, without an offer
	Broken    []store.ImportRef // those of them that brokers refuse from now on
	Revoked   []store.Share
}

// ExportFieldsOf returns the fields of an export.
func ExportFieldsOf(e store.Export) ExportFields {
	return ExportFields{
		Description: e.Description, Subject: e.Subject, Type: e.Type, Offered: e.Offered, Answers: e.Answers,
		ResponseThreshold: time.Duration(e.ThresholdMillis) * time.Millisecond, LatencySubject: e.LatencySubject, LatencyPercent: e.LatencyPercent,
	}
}

func (f ExportFields) apply(e *store.Export, now time.Time) {
	e.Description, e.Subject, e.Type, e.Offered, e.Answers = f.Description, f.Subject, f.Type, f.Offered, f.Answers
	e.ThresholdMillis, e.LatencySubject, e.LatencyPercent, e.UpdateTime = f.ResponseThreshold.Milliseconds(), f.LatencySubject, f.LatencyPercent, now
}

// exportSpec is what claims say of an export.
func exportSpec(e store.Export) accounts.Export {
	return accounts.Export{
		Name: e.ID, Description: e.Description, Subject: e.Subject, Type: e.Type, Answers: e.Answers,
		ResponseThreshold: time.Duration(e.ThresholdMillis) * time.Millisecond,
		LatencySubject:    e.LatencySubject, LatencyPercent: e.LatencyPercent, Revoked: e.Revoked,
	}
}

// shareChange is what a Tx does to one export or import of an account.
type shareChange struct {
	export *store.Export // put, or gone
	imp    *store.Import
	gone   bool
}

// sharing puts an account's exports and imports, as stored and with changes,
// into its claims.
func sharing(ctx context.Context, tx *store.Tx, account string, spec *accounts.AccountSpec, changes []shareChange) error {
	exports, imports, err := tx.AllSharing(ctx, account)
	if err != nil {
		return err
	}
	for _, c := range changes {
		if c.export != nil {
			exports = slices.DeleteFunc(exports, func(e store.Export) bool { return e.ID == c.export.ID })
			if !c.gone {
				exports = append(exports, *c.export)
			}
		}
		if c.imp != nil {
			imports = slices.DeleteFunc(imports, func(i store.Import) bool { return i.ID == c.imp.ID })
			if !c.gone {
				imports = append(imports, *c.imp)
			}
		}
	}
	for _, e := range exports {
		spec.Exports = append(spec.Exports, exportSpec(e))
	}
	for _, i := range imports {
		spec.Imports = append(spec.Imports, importSpec(i))
	}
	return nil
}

// CreateExport offers a subject for import. Activations of an export that had
// the same id are none of it.
func (s *Service) CreateExport(ctx context.Context, tx *store.Tx, method, account, id string, f ExportFields) (ExportChange, error) {
	if err := accounts.ValidateExportID(id); err != nil {
		return ExportChange{}, err
	}
	a, err := liveAccount(ctx, tx, account)
	if err != nil {
		return ExportChange{}, err
	}
	all, err := tx.AllExports(ctx, account)
	if err != nil {
		return ExportChange{}, err
	}
	if len(all) >= exportsMax {
		return ExportChange{}, errs.New(errs.Exhausted, "EXPORT_QUOTA", "the account %q has %d exports, and no more are allowed", account, len(all)).
			WithNext("export a wider subject, or delete one")
	}
	floor, err := activationFloor(ctx, tx, account, id)
	if err != nil {
		return ExportChange{}, err
	}
	e := store.Export{ID: id, Account: account, CreateTime: tx.Now, Revoked: map[string]int64{everyAccount: floor}}
	f.apply(&e, tx.Now)
	if err := exportSpec(e).Validate("export"); err != nil {
		return ExportChange{}, err
	}
	err = tx.CreateExport(ctx, e)
	if errors.Is(err, store.ErrExists) {
		err = taken("EXPORT_EXISTS", "export_id", ExportName(tx.Organization(), account, id))
	}
	if err != nil {
		return ExportChange{}, err
	}
	operation, err := s.republish(ctx, tx, method, ExportName(tx.Organization(), account, id), a, shareChange{export: &e})
	return ExportChange{Export: e, Operation: &operation}, err
}

// activationFloor returns the second up to which activations are none of a new
// export. They have a grain of one second: when one of an earlier export of
// that id may be from this very second, new ones have to wait for the next.
func activationFloor(ctx context.Context, tx *store.Tx, account, id string) (int64, error) {
	left, err := tx.Importers(ctx, account, id)
	if err != nil {
		return 0, err
	}
	offers, err := tx.AllOffers(ctx, account)
	if err != nil {
		return 0, err
	}
	if len(left) > 0 || slices.ContainsFunc(offers, func(o store.Share) bool { return o.Export == id }) {
		return tx.Now.Unix(), nil
	}
	return tx.Now.Unix() - 1, nil
}

// UpdateExport changes writable fields. Whoever is not in the new audience
// loses its right.
func (s *Service) UpdateExport(ctx context.Context, tx *store.Tx, method, account, id, etag string, change func(*ExportFields) error) (ExportChange, error) {
	a, e, err := s.exportToChange(ctx, tx, account, id, etag)
	if err != nil {
		return ExportChange{}, err
	}
	f := ExportFieldsOf(e)
	if err := change(&f); err != nil {
		return ExportChange{}, err
	}
	narrowed := f.Offered && !e.Offered
	f.apply(&e, tx.Now)
	if err := exportSpec(e).Validate("export"); err != nil {
		return ExportChange{}, err
	}
	out, err := afflicted(ctx, tx, &e, narrowed)
	if err != nil {
		return ExportChange{}, err
	}
	if err := tx.PutExport(e); err != nil {
		return ExportChange{}, err
	}
	out.Export = e
	operation, err := s.republish(ctx, tx, method, ExportName(tx.Organization(), account, id), a, shareChange{export: &e})
	out.Operation = &operation
	return out, err
}

// afflicted finds the imports of the organization that a changed export breaks,
// and takes their right away when they are not in its audience any more.
func afflicted(ctx context.Context, tx *store.Tx, e *store.Export, narrowed bool) (ExportChange, error) {
	var out ExportChange
	var err error
	if out.Importers, err = tx.Importers(ctx, e.Account, e.ID); err != nil {
		return out, err
	}
	for _, ref := range out.Importers {
		importer, err := tx.Account(ctx, ref.Account)
		if err != nil {
			return out, err
		}
		i, err := tx.Import(ctx, ref.Account, ref.Import)
		if err != nil {
			return out, err
		}
		if narrowed {
			if *e, err = revokeActivation(*e, importer.PublicKey, i.Issued, tx.Now); err != nil {
				return out, err
			}
		}
		closed, err := inCycle(ctx, tx.View, importer.PublicKey, i, *e)
		if err != nil {
			return out, err
		}
		if closed || brokenBy(i, *e, importer.PublicKey) != "" {
			out.Broken = append(out.Broken, ref)
		}
	}
	return out, nil
}

func (s *Service) exportToChange(ctx context.Context, tx *store.Tx, account, id, etag string) (store.Account, store.Export, error) {
	a, err := liveAccount(ctx, tx, account)
	if err != nil {
		return a, store.Export{}, err
	}
	e, err := tx.Export(ctx, account, id)
	if err != nil {
		return a, store.Export{}, err
	}
	return a, e, checkEtag(etag, e.Revision)
}

// revokeActivation refuses an activation of an account.
func revokeActivation(e store.Export, account string, issued int64, now time.Time) (store.Export, error) {
	spec, err := exportSpec(e).Revoke(account, max(now.Unix(), issued))
	e.Revoked = spec.Revoked
	return e, err
}

// DeleteExport ends an export.
func (s *Service) DeleteExport(ctx context.Context, tx *store.Tx, method, account, id, etag string, force bool) (ExportChange, error) {
	a, e, err := s.exportToChange(ctx, tx, account, id, etag)
	if err != nil {
		return ExportChange{}, err
	}
	out := ExportChange{Export: e}
	if out.Broken, err = tx.Importers(ctx, account, id); err != nil {
		return ExportChange{}, err
	}
	offers, err := tx.AllOffers(ctx, account)
	if err != nil {
		return ExportChange{}, err
	}
	accepted := 0
	for _, o := range offers {
		life := ShareLifeOf(o, tx.Now)
		if o.Export != id || life != ShareOffered && life != ShareAccepted {
			continue
		}
		if life == ShareAccepted {
			accepted++
		}
		o.EndTime, o.Revoked = tx.Now, true
		if err := tx.PutShare(o); err != nil {
			return ExportChange{}, err
		}
		out.Revoked = append(out.Revoked, o)
	}
	if !force && len(out.Broken)+accepted > 0 {
		return ExportChange{}, errs.New(errs.Precondition, "EXPORT_IN_USE", "the export %q has %d imports and %d accepted offers", id, len(out.Broken), accepted).
			WithNext("end those first, or force")
	}
	tx.DeleteExport(e)
	operation, err := s.republish(ctx, tx, method, ExportName(tx.Organization(), account, id), a, shareChange{export: &e, gone: true})
	out.Operation = &operation
	return out, err
}
