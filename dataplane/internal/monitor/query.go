package monitor

import (
	"fmt"
	"net/url"
	"strconv"
)

// query reads the options of a request. The first one that cannot be read stays
// as err, in nats-server's words.
type query struct {
	values url.Values
	err    error
}

func (q *query) text(name string) string { return q.values.Get(name) }

func (q *query) boolean(name string) bool {
	return decode(q, name, "boolean", strconv.ParseBool)
}

func (q *query) integer(name string) int {
	return decode(q, name, "int", strconv.Atoi)
}

func (q *query) number(name string) uint64 {
	return decode(q, name, "uint64", func(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) })
}

func decode[T any](q *query, name, kind string, parse func(string) (T, error)) T {
	var zero T
	text := q.text(name)
	if text == "" || q.err != nil {
		return zero
	}
	v, err := parse(text)
	if err != nil {
		q.err = fmt.Errorf("Error decoding %s for '%s': %w", kind, name, err) //nolint:revive,staticcheck // nats-server's words
		return zero
	}
	return v
}

// defaultLimit is how many connections or subscriptions one answer holds.
const defaultLimit = 1024

// page reads which part of a list is wanted.
type page struct{ offset, limit int }

func (q *query) page() page {
	p := page{offset: max(0, q.integer("offset")), limit: q.integer("limit")}
	if p.limit <= 0 {
		p.limit = defaultLimit
	}
	return p
}

// cut returns the part of a list of n that is wanted.
func (p page) cut(n int) (from, to int) {
	from = min(p.offset, n)
	return from, from + min(p.limit, n-from)
}
