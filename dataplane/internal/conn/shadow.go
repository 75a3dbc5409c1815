package conn

import (
	"slices"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/egress"
	"github.com/coveymq/covey/dataplane/internal/interest"
	"github.com/coveymq/covey/dataplane/internal/wire"
)

// shadow is what a subscription stands for in the index of an account that its
// own imports a stream from.
type shadow struct {
	sub  *interest.Shadow
	link *account.Link
}

// importLocked lets a subscription hear the streams that its account imports.
// What it hears already it hears without a gap.
func (c *Client) importLocked(sub *interest.Sub) {
	had := c.shadows[sub]
	var has []shadow
	if links := c.home.Links(); links != nil {
		for _, link := range links.Streams {
			if s, ok := c.shadowLocked(sub, link, had); ok {
				has = append(has, s)
			}
		}
	}
	for _, s := range had {
		if !slices.Contains(has, s) {
			s.link.From.Index.Remove(&s.sub.Sub)
		}
	}
	switch {
	case len(has) == 0:
		delete(c.shadows, sub)
		return
	case c.shadows == nil:
		c.shadows = make(map[*interest.Sub][]shadow)
	}
	c.shadows[sub] = has
}

// shadowLocked returns a subscription's shadow by a link, if it wants anything of it.
func (c *Client) shadowLocked(sub *interest.Sub, link *account.Link, had []shadow) (shadow, bool) {
	for _, s := range had {
		if s.link == link {
			return s, true
		}
	}
	remote, ok := link.Wanted(sub.Subject())
	if !ok {
		return shadow{}, false
	}
	s := shadow{link: link, sub: interest.NewShadow(c.out, remote, sub, link)}
	c.out.Flags.Or(egress.Importing)
	return s, link.From.Index.Add(&s.sub.Sub)
}

// dropShadowsLocked ends what importLocked began.
func (c *Client) dropShadowsLocked(sub *interest.Sub) {
	for _, s := range c.shadows[sub] {
		s.link.From.Index.Remove(&s.sub.Sub)
	}
	delete(c.shadows, sub)
}

// Reimport makes the imported streams those that the account's links say now.
func (c *Client) Reimport() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for sub := range c.subs.all() {
		c.importLocked(sub)
	}
}

// deliverShadow stages a message of another account for a subscription to a
// stream, under the subject that it has there. What came through a service does
// not go on into streams.
func (w *worker) deliverShadow(from *egress.Conn, flags uint32, op *wire.Op, sub *interest.Shadow) bool {
	if w.crossed {
		return false
	}
	w.local = sub.Local.AppendLocal(w.local[:0], op.Subject)
	as := *op
	as.Subject = w.local
	if !w.passes(from, flags, &as, sub.Of) {
		return false
	}
	m := w.message
	if flags&egress.NoHeaders != 0 && m.Headers {
		m = *w.withoutHeaders(op)
	}
	m.Subject = w.local
	return w.stage(flags, sub.Of, &m)
}
