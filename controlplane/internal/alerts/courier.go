package alerts

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/outward"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	"github.com/coveymq/covey/internal/errs"
	"github.com/coveymq/covey/internal/lifecycle"
)

const (
	deliverEvery     = 5 * time.Second
	deliverWithin    = 10 * time.Second // one post
	deliveriesMax    = 32               // receivers that are told at once
	deliveriesOfOne  = 2                // of them, of one organization
	notesAtOnce      = 50               // that one receiver is told before others' turn
	notesPage        = 1000
	restMin, restMax = 10 * time.Second, 10 * time.Minute // between tries of one receiver
	givenUpAfter     = 24 * time.Hour
	errorMax         = 300 // bytes of what is kept of a failure
	answerMax        = 500
)

// courier remembers which receivers are being told, and which ones are left alone
// for a while. It is lost with the leader: the next one tries at once.
type courier struct {
	slots chan struct{}

	mu      sync.Mutex
	busy    map[string]bool  // by policy; guarded by mu
	orgs    map[string]int   // how many of an organization are busy; guarded by mu
	resting map[string]*rest // by policy; guarded by mu
}

type rest struct {
	backoff lifecycle.Backoff
	until   time.Time
}

// postingClient returns a client for receivers: none of them sends a post on.
func postingClient(given *http.Client) *http.Client {
	client := outward.NewClient(deliverWithin)
	if given != nil {
		c := *given
		client = &c
		client.Timeout = deliverWithin
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return client
}

// Deliver tells receivers what they have not been told yet, until ctx ends.
func (e *Engine) Deliver(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer e.client.CloseIdleConnections()
	ticker := time.NewTicker(deliverEvery)
	defer ticker.Stop()
	for {
		if err := e.dispatch(ctx, &wg); err != nil && ctx.Err() == nil {
			e.log.WarnContext(ctx, "receivers of alerts are told later", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-e.woken:
		}
	}
}

// dispatch looks at all that is due, and has each receiver told by itself, so that
// one that is slow holds up nobody else.
func (e *Engine) dispatch(ctx context.Context, wg *sync.WaitGroup) error {
	byPolicy := map[string][]store.DueNote{}
	after := ""
	for {
		due, err := e.store.DueNotes(ctx, after, notesPage)
		if err != nil {
			return err
		}
		for _, d := range due {
			if key := d.Organization + "/" + d.Policy; len(byPolicy[key]) < notesAtOnce {
				byPolicy[key] = append(byPolicy[key], d)
			}
			after = d.After
		}
		if len(due) < notesPage {
			break
		}
	}
	e.courier.forget(byPolicy)
	for key, notes := range byPolicy {
		if !e.courier.take(key, notes[0].Organization, time.Now()) {
			continue
		}
		wg.Go(func() {
			defer e.courier.release(key, notes[0].Organization)
			ok := e.tell(ctx, notes)
			e.courier.settle(key, ok, time.Now())
			if ok && len(notes) == notesAtOnce {
				e.wake()
			}
		})
	}
	return nil
}

// take reports whether a receiver is to be told now, and if so keeps others off.
func (c *courier) take(key, organization string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.resting[key]; c.busy[key] || c.orgs[organization] >= deliveriesOfOne || r != nil && now.Before(r.until) {
		return false
	}
	select {
	case c.slots <- struct{}{}:
	default:
		return false
	}
	c.busy[key] = true
	c.orgs[organization]++
	return true
}

func (c *courier) release(key, organization string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.busy, key)
	if c.orgs[organization]--; c.orgs[organization] == 0 {
		delete(c.orgs, organization)
	}
	<-c.slots
}

// settle notes whether a receiver took what it was told.
func (c *courier) settle(key string, ok bool, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ok {
		delete(c.resting, key)
		return
	}
	r := c.resting[key]
	if r == nil {
		r = &rest{backoff: lifecycle.Backoff{Min: restMin, Max: restMax}}
		c.resting[key] = r
	}
	r.until = now.Add(r.backoff.Next())
}

// forget drops what is remembered of receivers for whom nothing is due.
func (c *courier) forget(due map[string][]store.DueNote) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.resting {
		if len(due[key]) == 0 {
			delete(c.resting, key)
		}
	}
}

// tell tells one receiver, in order, until it fails.
func (e *Engine) tell(ctx context.Context, notes []store.DueNote) bool {
	for _, d := range notes {
		ok, err := e.tellOne(ctx, d)
		if err != nil && ctx.Err() == nil {
			e.log.WarnContext(ctx, "what a receiver was told is not noted", "organization", d.Organization, "alert", d.Alert, "err", err)
		}
		if err != nil || !ok || ctx.Err() != nil {
			return false
		}
	}
	return true
}

// tellOne posts one notification and writes down what became of it. The error is of
// writing that down: then it is posted again, with the same id.
func (e *Engine) tellOne(ctx context.Context, d store.DueNote) (ok bool, err error) {
	v, err := e.store.View(store.Everything(), d.Organization)
	if err != nil {
		return false, err
	}
	a, err := v.Alert(ctx, d.Alert)
	if errors.Is(err, store.ErrNotFound) {
		return true, e.store.NoteAttempt(ctx, d, store.AlertNote{State: store.NoteFailed})
	}
	if err != nil {
		return false, err
	}
	n := store.AlertNote{Type: d.Type}
	for _, known := range a.Notes {
		if known.Type == d.Type {
			n = known
		}
	}
	p, err := v.AlertPolicy(ctx, a.Policy)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return false, err
	}
	now := time.Now().UTC().Truncate(time.Second)
	if p.UID != a.PolicyUID || len(p.SealedHook) == 0 {
		n.State, n.Error = store.NoteFailed, "the policy has no webhook any more"
		return true, e.store.NoteAttempt(ctx, d, n)
	}
	_, failed := e.post(ctx, d, a, p)
	if ctx.Err() != nil {
		return false, nil //nolint:nilerr // cut off: the next leader tells it again
	}
	n.Attempts, n.Last, n.State, n.Error = n.Attempts+1, now, store.NoteDelivered, ""
	if failed != nil {
		n.State, n.Error = store.NotePending, clip(failed.Error(), errorMax)
		if since := eventTime(a, d.Type); now.Sub(since) > givenUpAfter {
			n.State = store.NoteFailed
			e.log.WarnContext(ctx, "an alert was never taken by its receiver", "organization", d.Organization, "alert", d.Alert, "type", d.Type)
		}
	}
	return n.State != store.NotePending, e.store.NoteAttempt(ctx, d, n)
}

func eventTime(a store.Alert, kind string) time.Time {
	if kind == store.AlertClosedEvent {
		return a.CloseTime
	}
	return a.OpenTime
}

func (e *Engine) post(ctx context.Context, d store.DueNote, a store.Alert, p store.AlertPolicy) (outward.Answer, error) {
	hook, _, err := tenancy.OpenAlertHook(ctx, e.custody, p)
	if err != nil {
		return outward.Answer{}, errors.New("the webhook cannot be unsealed")
	}
	body, err := messageOf(d.Organization, a, d.Type)
	if err != nil {
		return outward.Answer{}, err
	}
	return e.send(ctx, hook, NotificationID(a.ID, d.Type), body)
}

func (e *Engine) send(ctx context.Context, hook tenancy.AlertHook, id string, body []byte) (outward.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, deliverWithin)
	defer cancel()
	return outward.Send(ctx, e.client, outward.Post{URL: hook.URL, Secret: []byte(hook.Secret), ID: id, Body: body})
}

// Tested is what came of trying a receiver out.
type Tested struct {
	ID     string // of the notification
	Status int    // 0: the receiver was not reached
	Answer string
	Err    error // why it was not taken
}

// Test posts a notification that is none to a policy's receiver, once.
func (e *Engine) Test(ctx context.Context, organization string, p store.AlertPolicy) (Tested, error) {
	hook, has, err := tenancy.OpenAlertHook(ctx, e.custody, p)
	if err != nil {
		return Tested{}, err
	}
	if !has {
		return Tested{}, errs.New(errs.Precondition, "NO_WEBHOOK", "the policy %q has no webhook", p.ID).WithNext("give it one first")
	}
	now := time.Now()
	if key := organization + "/test"; e.courier.take(key, organization, now) {
		defer e.courier.release(key, organization)
	} else {
		return Tested{}, errs.New(errs.Exhausted, "TESTS_BUSY", "another receiver is being told at the moment").WithRetry(time.Second)
	}
	t := Tested{ID: accounts.NewUID(accounts.PrefixAlert, now) + ".test"}
	body, err := testMessage(organization, t.ID, p, now)
	if err != nil {
		return t, err
	}
	answer, err := e.send(ctx, hook, t.ID, body)
	t.Status, t.Answer, t.Err = answer.Status, clip(answer.Text, answerMax), err
	return t, nil
}

// clip makes a short text for people of what somebody else chose.
func clip(text string, most int) string {
	text = strings.ToValidUTF8(text[:min(len(text), most)], "?")
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}
