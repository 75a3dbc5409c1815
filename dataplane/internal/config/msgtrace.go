package config

import (
	"strconv"
	"strings"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/auth"
	"github.com/coveymq/covey/dataplane/internal/subject"
)

// messageTrace reads where traces of messages with a traceparent go, and how many
// of a hundred are traced.
func (f *file) messageTrace(n node, a *auth.Account) {
	t := account.Tracing{Sampling: 100}
	if s, ok := n.value.(string); ok {
		t.Dest = s
	} else {
		keys := table{}
		keys.add(f.str(&t.Dest), "dest")
		keys.add(func(n node) { f.sampling(n, &t.Sampling) }, "sampling")
		f.block(n, keys)
		if t.Dest == "" {
			f.warn(n, "%s without dest traces nothing", n.key)
			return
		}
	}
	if !subject.ValidLiteral([]byte(t.Dest)) {
		f.problem(n, "trace destination %q is not valid", t.Dest)
		return
	}
	a.Tracing = &t
}

// sampling reads a percentage.
func (f *file) sampling(n node, to *int) {
	percent, ok := n.value.(int64)
	if s, text := n.value.(string); text {
		v, err := strconv.ParseInt(strings.TrimSuffix(s, "%"), 10, 16)
		percent, ok = v, err == nil
	}
	if !ok || percent < 1 || percent > 100 {
		f.problem(n, "%s must be a percentage from 1 to 100", n.key)
		return
	}
	*to = int(percent)
}
