package tenancy

import (
	"fmt"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
)

// sharedWrites is how many records of what an account shares are written with
// it: its roles, its own records and those of the change go into the same
// transaction.
const sharedWrites = 110

// planSharing decides which exports and imports become records, in all accounts
// before the first is written: an import needs the record of its export. What
// does not is carried in the claims as it is.
func (s *Service) planSharing(all []*taking, out *TakenOver) {
	for _, t := range all {
		taken := map[string]bool{}
		room := sharedWrites - len(t.foreign.Spec.Roles)
		for n, e := range t.foreign.Spec.Exports {
			if n >= exportsMax || n >= room {
				out.note("account %q: the export of %q stays as it is, and cannot be changed here", t.foreign.Spec.Name, e.Subject)
				continue
			}
			id := accounts.ExportIDFrom(firstOf(e.Name, e.Subject), func(id string) bool { return taken[id] })
			taken[id] = true
			t.exports[string(e.Type)+" "+e.Subject] = store.Export{
				ID: id, Account: t.id, Description: e.Description, Subject: e.Subject, Type: e.Type, Offered: true, Answers: e.Answers,
				ThresholdMillis: e.ResponseThreshold.Milliseconds(), LatencySubject: e.LatencySubject, LatencyPercent: e.LatencyPercent, Revoked: e.Revoked,
			}
		}
	}
}

func firstOf(names ...string) string {
	for _, n := range names {
		if n != "" {
			return n
		}
	}
	return ""
}

// share makes the records of what an account shares, and returns the account's
// carried claims with the rest in them.
func (t *taking) share(tx *store.Tx, all []*taking, out *TakenOver) ([]shareChange, accounts.Carried, error) {
	spec := t.foreign.Spec
	var changes []shareChange
	var exports []accounts.Export
	for _, e := range spec.Exports {
		record, ok := t.exports[string(e.Type)+" "+e.Subject]
		if !ok {
			exports = append(exports, e)
			continue
		}
		record.CreateTime, record.UpdateTime = tx.Now, tx.Now
		changes = append(changes, shareChange{export: &record})
	}
	out.Exports = len(changes)
	var imports []accounts.Import
	taken := map[string]bool{}
	room := sharedWrites - len(spec.Roles) - len(changes)
	for _, i := range spec.Imports {
		record, why := t.importOf(i, all)
		if why == "" && (out.Imports >= importsMax || room < 2) {
			why = "the account has too many"
		}
		if why != "" {
			out.note("account %q: the import of %q stays as it is, and cannot be changed here: %s", spec.Name, i.Subject, why)
			imports = append(imports, i)
			continue
		}
		record.ID = accounts.ImportIDFrom(firstOf(i.Name, i.Subject), func(id string) bool { return taken[id] })
		record.CreateTime = tx.Now
		taken[record.ID] = true
		changes = append(changes, shareChange{imp: &record})
		out.Imports++
		room -= 2
	}
	if err := spec.CarrySharing(exports, imports); err != nil {
		return nil, nil, fmt.Errorf("carry sharing: %w", err)
	}
	return changes, spec.Carried, nil
}

// importOf makes the record of an import of an account of the same
// organization, or says why there is none.
func (t *taking) importOf(i accounts.Import, all []*taking) (store.Import, string) {
	right, issued, _, err := accounts.ReadActivation(i.Activation)
	if err != nil || right.Importer != t.foreign.Spec.PublicKey {
		return store.Import{}, "its activation cannot be read"
	}
	for _, from := range all {
		if from.organization != t.organization || from.foreign.Spec.PublicKey != i.Account || from == t {
			continue
		}
		for _, e := range from.exports {
			if e.Type == i.Type && accounts.Contains(e.Subject, i.Subject) {
				return store.Import{
					Account: t.id, FromAccount: from.id, FromExport: e.ID, Exporter: i.Account, Subject: i.Subject, Local: i.Local,
					Type: i.Type, ShareRequestor: i.ShareRequestor, Activation: i.Activation, Issued: issued,
				}, ""
			}
		}
	}
	return store.Import{}, "what it takes is not exported, with activations, by an account of this organization"
}
