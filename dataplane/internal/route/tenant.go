package route

import (
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/interest"
)

// tenant is an account as the mesh knows it: the interest of our own clients on
// its way to the peers, and the peers' interest on its way to the account's
// index. There is one for every account that is loaded here or that a peer is
// interested in; it stays, because links keep pointers to it.
type tenant struct {
	key string

	live atomic.Pointer[account.Account] // nil while not loaded; written under mu

	mu     sync.Mutex
	remote map[*link]map[want]*interest.Sub // what the peers want; guarded by mu

	outMu sync.Mutex
	outs  []*link // who hears of our interest; guarded by outMu
}

// want is a subject, or a queue group on it, that a peer is interested in.
type want struct{ subject, queue string }

// Interest passes a change on to the peers: the index calls it, in order.
func (t *tenant) Interest(subject, queue string, members int) {
	t.outMu.Lock()
	defer t.outMu.Unlock()
	for _, l := range t.outs {
		// That it ended is told in any case: who may not hear of it now may have
		// heard of it before.
		if members == 0 || l.imports(subject) {
			l.out.Post(t.append(nil, l, subject, queue, members))
		}
	}
}

func (t *tenant) append(b []byte, l *link, subject, queue string, members int) []byte {
	verb := "RS+ "
	if members == 0 {
		verb = "RS- "
	}
	b = append(b, verb...)
	if l.slot.account == "" {
		b = append(append(b, t.key...), ' ')
	}
	b = append(b, subject...)
	if queue != "" {
		b = append(append(b, ' '), queue...)
		if members > 0 {
			b = strconv.AppendInt(append(b, ' '), int64(members), 10)
		}
	}
	return append(b, '\r', '\n')
}

// attach lets a link hear of our interest: all there is, and every change after
// that.
func (t *tenant) attach(l *link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.live.Load()
	if a == nil {
		t.out(l, nil)
		return
	}
	a.Index.Watch(t, func(each func(func(string, string, int))) { t.out(l, each) })
}

// out adds a link to those who hear and tells it what there is.
func (t *tenant) out(l *link, each func(func(subject, queue string, members int))) {
	t.outMu.Lock()
	defer t.outMu.Unlock()
	if slices.Contains(t.outs, l) {
		return
	}
	t.outs = append(t.outs, l)
	if each != nil {
		t.tell(l, each, 1)
	}
}

// tell posts all interest to a link, or takes it back if factor is 0.
func (t *tenant) tell(l *link, each func(func(string, string, int)), factor int) {
	var b []byte
	each(func(subject, queue string, members int) {
		if !l.imports(subject) {
			return // not to be imported
		}
		b = t.append(b, l, subject, queue, members*factor)
	})
	if len(b) > 0 {
		l.out.Post(b)
	}
}

func (t *tenant) tellAll(each func(func(string, string, int)), factor int) {
	t.outMu.Lock()
	defer t.outMu.Unlock()
	for _, l := range t.outs {
		t.tell(l, each, factor)
	}
}

// retell tells a link once more what there is.
func (t *tenant) retell(l *link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a := t.live.Load(); a != nil {
		a.Index.Watch(t, func(each func(func(string, string, int))) {
			t.outMu.Lock()
			defer t.outMu.Unlock()
			t.tell(l, each, 1)
		})
	}
}

// detach ends what attach began, and drops what the link's peer wanted.
func (t *tenant) detach(l *link) {
	t.outMu.Lock()
	t.outs = slices.DeleteFunc(t.outs, func(o *link) bool { return o == l })
	t.outMu.Unlock()

	t.mu.Lock()
	defer t.mu.Unlock()
	if a := t.live.Load(); a != nil {
		for _, sub := range t.remote[l] {
			a.Index.Remove(sub)
		}
	}
	delete(t.remote, l)
}

// bind connects the tenant with an account that was loaded just now.
func (t *tenant) bind(a *account.Account) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := t.live.Load(); old != nil {
		t.unbindLocked(old)
	}
	for l, wants := range t.remote {
		for w, sub := range wants {
			fresh := l.subscription(w, sub.Weight.Load())
			wants[w] = fresh
			a.Index.Add(fresh)
		}
	}
	t.live.Store(a)
	a.Index.Watch(t, func(each func(func(string, string, int))) { t.tellAll(each, 1) })
}

// unbind ends what bind began, if the account is still the one.
func (t *tenant) unbind(a *account.Account) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.live.Load() == a {
		t.unbindLocked(a)
	}
}

func (t *tenant) unbindLocked(a *account.Account) {
	t.live.Store(nil)
	a.Index.Watch(nil, func(each func(func(string, string, int))) { t.tellAll(each, 0) })
	for _, wants := range t.remote {
		for _, sub := range wants {
			a.Index.Remove(sub)
		}
	}
}

// add notes that a peer is interested in a valid subject, if that may be exported.
// It reports false if it was so already; then only the weight may be new.
func (t *tenant) add(l *link, w want, weight int32) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !l.exportable(w) {
		return false
	}
	wants := t.remote[l]
	if sub := wants[w]; sub != nil {
		sub.Weight.Store(weight)
		return false
	}
	sub := l.subscription(w, weight)
	if a := t.live.Load(); a != nil {
		a.Index.Add(sub)
	}
	if wants == nil {
		wants = make(map[want]*interest.Sub)
		if t.remote == nil {
			t.remote = make(map[*link]map[want]*interest.Sub)
		}
		t.remote[l] = wants
	}
	wants[w] = sub
	return true
}

// remove notes that a peer is not interested any more. It reports false if it
// was not before.
func (t *tenant) remove(l *link, w want) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	sub := t.remote[l][w]
	if sub == nil {
		return false
	}
	delete(t.remote[l], w)
	if a := t.live.Load(); a != nil {
		a.Index.Remove(sub)
	}
	return true
}

// wants returns what a peer is interested in.
func (t *tenant) wants(l *link) []want {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]want, 0, len(t.remote[l]))
	for w := range t.remote[l] {
		out = append(out, w)
	}
	return out
}

func (l *link) subscription(w want, weight int32) *interest.Sub {
	sub := interest.NewRemote(l.out, w.subject, w.queue)
	sub.Weight.Store(weight)
	return sub
}
