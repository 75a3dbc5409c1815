package auditlog_test

import (
	"database/sql"
	"testing"

	_ "modernc.org/sqlite" // the driver that the ledger uses
)

func openSQLite(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}
