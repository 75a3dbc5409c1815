package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/coveymq/covey/internal/errs"
)

const copyBatch = 1000 // rows of one transaction

// copyTable is a table that is copied row by row, in the order of its key.
type copyTable struct {
	name    string
	columns []string // the key first
	key     int      // how many columns it has
	numbers bool     // the database numbers the rows by itself
	only    bool     // rows are never taken away in the course of a ledger's life
}

// copyTables are all tables but the identity, which a copy does not take over:
// the copy is another ledger. Those that are referred to come first.
func copyTables() []copyTable {
	usage := []string{"account", "hour", "class", "meter", "incarnation", "value"}
	return []copyTable{
		{name: "account", columns: []string{"id", "key", "reported"}, key: 1, numbers: true, only: true},
		{name: "incarnation", columns: []string{"id", "name"}, key: 1, numbers: true, only: true},
		{name: "usage_raw", columns: usage, key: 5, only: true},
		{name: "quarantine", columns: append(usage[:6:6], "reason"), key: 5},
		{name: "audit", columns: []string{"chain", "sequence", "time", "hash", "entry"}, key: 2, only: true},
		{name: "audit_end", columns: []string{"chain", "sequence"}, key: 1, only: true},
		{name: "audit_cursor", columns: []string{"sink", "chain", "sequence"}, key: 2, only: true},
	}
}

// CopiedTable is how much of one table there is, and a digest of every row of it.
type CopiedTable struct {
	Name   string
	Rows   int64
	Sum    int64 // of the last number in each row, modulo 2^64: of usage, what is billed
	Digest string
}

// Copy makes a ledger in Postgres equal to another one, but for its identity, and
// verifies that it is: counts, sums and a digest of every row. Nobody may write
// either of them. Cut off, it goes on where it was when it is called again; if
// the source has changed since, it begins anew.
func Copy(ctx context.Context, from, to *Ledger, progress func(table string, rows int64)) ([]CopiedTable, error) {
	if to.Kind() != Postgres {
		return nil, errs.New(errs.Invalid, "LEDGER_COPY_TARGET", "a ledger is copied into Postgres, not into %s", to.Kind())
	}
	want, err := from.digests(ctx)
	if err != nil {
		return nil, err
	}
	c := &copying{from: from, to: to, progress: progress}
	if err := c.begin(ctx, fmt.Sprint(from.ID(), want)); err != nil {
		return nil, to.explain(err)
	}
	for _, t := range copyTables() {
		if err := c.table(ctx, t); err != nil {
			return nil, fmt.Errorf("copy table %s: %w", t.name, err)
		}
	}
	got, err := to.digests(ctx)
	if err != nil {
		return nil, err
	}
	for i := range want {
		if want[i] != got[i] {
			return nil, errs.New(errs.Internal, "LEDGER_COPY_DIFFERS", "table %s of the copy is not what it is of the source: %d rows, sum %d, for %d rows, sum %d",
				want[i].Name, got[i].Rows, got[i].Sum, want[i].Rows, want[i].Sum).
				WithNext("see that nobody writes either ledger, and copy into an empty database")
		}
	}
	return want, to.explain(c.finish(ctx))
}

// copying is a copy under way. How far it is stands in the target.
type copying struct {
	from, to *Ledger
	progress func(table string, rows int64)
}

const makeCopyState = "CREATE TABLE IF NOT EXISTS ledger_copy (part TEXT NOT NULL PRIMARY KEY, position TEXT NOT NULL)"

// sourcePart is the row that says which source, in which state, is copied.
const sourcePart = "(source)"

// begin finds out how far an earlier try came. A target with rows that are no
// copy's is refused.
func (c *copying) begin(ctx context.Context, source string) error {
	if _, err := c.to.write.ExecContext(ctx, makeCopyState); err != nil {
		return fmt.Errorf("make copy state: %w", err)
	}
	known, err := c.position(ctx, sourcePart)
	if err != nil || known == source {
		return err
	}
	if known == "" {
		if err := c.empty(ctx); err != nil {
			return err
		}
	}
	return c.to.tryTx(ctx, func(tx *sql.Tx) error {
		statements := []string{"DELETE FROM ledger_copy"}
		for _, t := range copyTables() {
			if known != "" && !t.only {
				statements = append(statements, "DELETE FROM "+t.name)
			}
		}
		for _, s := range statements {
			if _, err := tx.ExecContext(ctx, s); err != nil {
				return fmt.Errorf("begin the copy anew: %w", err)
			}
		}
		return c.note(ctx, tx, sourcePart, source)
	})
}

// empty refuses a target that has rows.
func (c *copying) empty(ctx context.Context) error {
	for _, t := range copyTables() {
		var some int64
		if err := c.to.write.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT 1 FROM "+t.name+" LIMIT 1) AS rows_there").Scan(&some); err != nil {
			return fmt.Errorf("look into table %s: %w", t.name, err)
		}
		if some > 0 {
			return errors.Join(c.dropState(ctx), errs.New(errs.Precondition, "LEDGER_NOT_EMPTY", "%s has rows in table %s that this copy did not make", c.to.Name(), t.name).
				WithNext("copy into an empty database"))
		}
	}
	return nil
}

func (c *copying) position(ctx context.Context, part string) (string, error) {
	var position string
	err := c.to.write.QueryRowContext(ctx, c.to.dialect.sql("SELECT position FROM ledger_copy WHERE part = ?1"), part).Scan(&position)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read copy state: %w", err)
	}
	return position, nil
}

func (c *copying) note(ctx context.Context, tx *sql.Tx, part, position string) error {
	_, err := tx.ExecContext(ctx, c.to.dialect.sql(`INSERT INTO ledger_copy (part, position) VALUES (?1, ?2)
ON CONFLICT (part) DO UPDATE SET position = excluded.position`), part, position)
	if err != nil {
		return fmt.Errorf("write copy state: %w", err)
	}
	return nil
}

// mark is how far a table is.
type mark struct {
	Key  []any `json:"key"` // of the last row
	Rows int64 `json:"rows"`
}

func (c *copying) table(ctx context.Context, t copyTable) error {
	text, err := c.position(ctx, t.name)
	if err != nil {
		return c.to.explain(err)
	}
	var at mark
	if text != "" {
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.UseNumber() // a key's number has 64 bits
		if err := decoder.Decode(&at); err != nil {
			return fmt.Errorf("decode copy state: %w", err)
		}
	}
	for {
		rows, err := c.next(ctx, t, at.Key)
		if err != nil {
			return c.from.explain(err)
		}
		if len(rows) == 0 {
			return nil
		}
		at.Key, at.Rows = rows[len(rows)-1][:t.key], at.Rows+int64(len(rows))
		if err := c.to.inTx(ctx, func(tx *sql.Tx) error { return c.write(ctx, tx, t, rows, at) }); err != nil {
			return err
		}
		c.progress(t.name, at.Rows)
	}
}

// next reads the rows of the source after a key.
func (c *copying) next(ctx context.Context, t copyTable, after []any) ([][]any, error) {
	key := strings.Join(t.columns[:t.key], ", ")
	where := ""
	args := make([]any, len(after))
	for i, v := range after {
		if n, ok := v.(json.Number); ok {
			var err error
			if v, err = n.Int64(); err != nil {
				return nil, fmt.Errorf("decode copy state: %w", err)
			}
		}
		args[i] = v
	}
	if len(after) > 0 {
		where = " WHERE (" + key + ") > (" + parameters(1, t.key) + ")"
	}
	statement := fmt.Sprintf("SELECT %s FROM %s%s ORDER BY %s LIMIT %d", strings.Join(t.columns, ", "), t.name, where, key, copyBatch)
	var all [][]any
	err := c.from.reading(ctx, func(tx *sql.Tx) error {
		return eachRow(ctx, tx, c.from.dialect.sql(statement), len(t.columns), args, func(row []any) error {
			all = append(all, row)
			return nil
		})
	})
	return all, err
}

// write puts rows into the target. Those that are there already are as they were
// in an earlier state of the source.
func (c *copying) write(ctx context.Context, tx *sql.Tx, t copyTable, rows [][]any, at mark) error {
	var b strings.Builder
	fmt.Fprintf(&b, "INSERT INTO %s (%s)", t.name, strings.Join(t.columns, ", "))
	if t.numbers {
		b.WriteString(" OVERRIDING SYSTEM VALUE")
	}
	b.WriteString(" VALUES ")
	args := make([]any, 0, len(rows)*len(t.columns))
	for i, row := range rows {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("(" + parameters(len(args)+1, len(row)) + ")")
		args = append(args, row...)
	}
	fmt.Fprintf(&b, " ON CONFLICT (%s) DO ", strings.Join(t.columns[:t.key], ", "))
	if values := t.columns[t.key:]; len(values) == 0 {
		b.WriteString("NOTHING")
	} else {
		for i, column := range values {
			b.WriteString(map[bool]string{true: "UPDATE SET ", false: ", "}[i == 0] + column + " = excluded." + column)
		}
	}
	if _, err := tx.ExecContext(ctx, c.to.dialect.sql(b.String()), args...); err != nil {
		return fmt.Errorf("insert rows: %w", err)
	}
	text, err := json.Marshal(at)
	if err != nil {
		return fmt.Errorf("encode copy state: %w", err)
	}
	return c.note(ctx, tx, t.name, string(text))
}

// finish has the database number new rows after those that were copied, and takes
// the state of the copy away.
func (c *copying) finish(ctx context.Context) error {
	for _, t := range copyTables() {
		if !t.numbers {
			continue
		}
		statement := "SELECT setval(pg_get_serial_sequence('" + t.name + "', 'id'), coalesce(max(id), 0) + 1, false) FROM " + t.name //nolint:gosec // a name of copyTables
		if _, err := c.to.write.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("number table %s: %w", t.name, err)
		}
	}
	return c.dropState(ctx)
}

func (c *copying) dropState(ctx context.Context) error {
	if _, err := c.to.write.ExecContext(ctx, "DROP TABLE ledger_copy"); err != nil {
		return fmt.Errorf("drop copy state: %w", err)
	}
	return nil
}

// parameters returns "?first, ?first+1, ...".
func parameters(first, n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("?%d", first+i)
	}
	return strings.Join(all, ", ")
}
