package config

import (
	"math"
	"net"
	"strconv"
	"time"
)

// as reads a value of one type. The second result is false, and the problem is
// noted, if it is of another.
func as[T any](r *reader, n node, want string) (T, bool) {
	v, ok := n.value.(T)
	if !ok {
		r.problem(n, "%s must be %s, not %s", n.key, want, kind(n.value))
	}
	return v, ok
}

func (r *reader) str(to *string) func(node) {
	return func(n node) {
		if v, ok := as[string](r, n, "a string"); ok {
			*to = v
		}
	}
}

func (r *reader) boolean(to *bool) func(node) {
	return func(n node) {
		if v, ok := as[bool](r, n, "a boolean"); ok {
			*to = v
		}
	}
}

// integer reads a number of at least low and at most high.
func integer[T int | int64](r *reader, to *T, low, high int64) func(node) {
	return func(n node) {
		v, ok := as[int64](r, n, "an integer")
		switch {
		case !ok:
		case v < low:
			r.problem(n, "%s is %d, it must be at least %d", n.key, v, low)
		case v > high:
			r.problem(n, "%s is %d, it must be at most %d", n.key, v, high)
		default:
			*to = T(v)
		}
	}
}

// duration reads a time such as "2m". A plain number is seconds, which is
// accepted with a warning as in nats-server, unless text is required.
func (r *reader) duration(to *time.Duration, seconds bool) func(node) {
	return func(n node) {
		switch v := n.value.(type) {
		case string:
			d, err := time.ParseDuration(v)
			if err != nil {
				r.problem(n, "%s is %q, which is not a duration such as \"2m\" or \"500ms\"", n.key, v)
				return
			}
			*to = d
		case int64:
			if !seconds || v > maxSeconds || v < -maxSeconds {
				r.problem(n, "%s must be a duration such as \"2m\", not a number", n.key)
				return
			}
			r.warn(n, "%s should be converted to a duration", n.key)
			*to = time.Duration(v) * time.Second
		default:
			r.problem(n, "%s must be a duration such as \"2m\", not %s", n.key, kind(v))
		}
	}
}

const maxSeconds = math.MaxInt64 / int64(time.Second)

func (r *reader) port(to *int) func(node) { return integer(r, to, AnyPort, 65535) }

// listen reads a port or host:port. A host that is not named stays as it is.
func (r *reader) listen(host *string, port *int) func(node) {
	return func(n node) {
		switch v := n.value.(type) {
		case int64:
			r.port(port)(n)
		case string:
			h, p, err := net.SplitHostPort(v)
			if err != nil {
				r.problem(n, "%s is %q, which is not host:port", n.key, v)
				return
			}
			i, err := strconv.Atoi(p)
			if err != nil {
				r.problem(n, "%s is %q, whose port is not a number", n.key, v)
				return
			}
			if h != "" {
				*host = h
			}
			r.port(port)(node{key: n.key, value: int64(i), file: n.file, line: n.line, pos: n.pos})
		default:
			r.problem(n, "%s must be a port or host:port, not %s", n.key, kind(v))
		}
	}
}

// strs reads a string or an array of them. An empty array is an empty slice, not
// nil.
func (r *reader) strs(n node) ([]string, bool) {
	if s, ok := n.value.(string); ok {
		return []string{s}, true
	}
	elements, ok := n.elements()
	if !ok {
		r.problem(n, "%s must be a string or an array of strings, not %s", n.key, kind(n.value))
		return nil, false
	}
	all := make([]string, 0, len(elements))
	for _, e := range elements {
		s, ok := as[string](r, e, "an array of strings")
		if !ok {
			return nil, false
		}
		all = append(all, s)
	}
	return all, true
}
