package ledger

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"fmt"
	"strings"
)

// rowDigest adds up the hashes of rows, so that the order in which a database
// gives them does not matter.
type rowDigest [4]uint64

func (d *rowDigest) add(row []any) error {
	h := sha256.New()
	for _, v := range row {
		switch v := v.(type) {
		case int64:
			_, _ = fmt.Fprintf(h, "i%d;", v)
		case string:
			_, _ = fmt.Fprintf(h, "s%d:%s;", len(v), v)
		default:
			return fmt.Errorf("a column of type %T", v)
		}
	}
	sum := h.Sum(nil)
	for i := range d {
		d[i] += binary.BigEndian.Uint64(sum[i*8:])
	}
	return nil
}

func (d *rowDigest) String() string {
	return fmt.Sprintf("%016x%016x%016x%016x", d[0], d[1], d[2], d[3])
}

// digests reads every row of the ledger.
func (l *Ledger) digests(ctx context.Context) ([]CopiedTable, error) {
	var all []CopiedTable
	err := l.reading(ctx, func(tx *sql.Tx) error {
		for _, t := range copyTables() {
			out := CopiedTable{Name: t.name}
			var digest rowDigest
			err := eachRow(ctx, tx, "SELECT "+strings.Join(t.columns, ", ")+" FROM "+t.name, len(t.columns), nil, func(row []any) error {
				out.Rows++
				for i := len(row) - 1; i >= 0; i-- {
					if n, ok := row[i].(int64); ok {
						out.Sum += n
						break
					}
				}
				return digest.add(row)
			})
			if err != nil {
				return fmt.Errorf("read table %s: %w", t.name, err)
			}
			out.Digest = digest.String()
			all = append(all, out)
		}
		return nil
	})
	return all, err
}

// eachRow calls f with the rows of a query: integers and texts.
func eachRow(ctx context.Context, tx *sql.Tx, query string, columns int, args []any, f func(row []any) error) error {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("query: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err tells
	for rows.Next() {
		row := make([]any, columns)
		into := make([]any, columns)
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			return fmt.Errorf("read row: %w", err)
		}
		for i, v := range row {
			if text, ok := v.([]byte); ok {
				row[i] = string(text)
			}
		}
		if err := f(row); err != nil {
			return err
		}
	}
	return rows.Err()
}
