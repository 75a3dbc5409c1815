package permission_test

import (
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/dataplane/internal/permission"
)

func set(pubAllow, pubDeny, subAllow, subDeny []string) *permission.Set {
	return permission.New(&jwt.Permissions{
		Pub: jwt.Permission{Allow: pubAllow, Deny: pubDeny},
		Sub: jwt.Permission{Allow: subAllow, Deny: subDeny},
	})
}

func TestPublish(t *testing.T) {
	for _, c := range []struct {
		allow, deny []string
		yes, no     []string
	}{
		{nil, nil, []string{"a", "a.b"}, nil},
		{[]string{"a"}, nil, []string{"a"}, []string{"b", "a.b"}},
		{[]string{"a.*", "b.>"}, nil, []string{"a.x", "b.x.y"}, []string{"a", "a.x.y", "b"}},
		{nil, []string{"a.>"}, []string{"a", "b.a"}, []string{"a.b", "a.b.c"}},
		{[]string{">"}, []string{"a.*"}, []string{"a", "a.b.c"}, []string{"a.b"}},
		{[]string{}, nil, nil, []string{"a", "a.b"}},
		{nil, []string{">"}, nil, []string{"a", "a.b"}},
		{nil, []string{"a.*"}, []string{"a"}, []string{"a.>", "a.*"}}, // as a subject, `>` is a token
		{nil, []string{"a q"}, []string{"b"}, []string{"a"}},
	} {
		s := set(c.allow, c.deny, nil, nil)
		for _, subj := range c.yes {
			if !s.Publish([]byte(subj)) {
				t.Errorf("allow %v deny %v: %q is refused", c.allow, c.deny, subj)
			}
		}
		for _, subj := range c.no {
			if s.Publish([]byte(subj)) {
				t.Errorf("allow %v deny %v: %q passes", c.allow, c.deny, subj)
			}
		}
	}
}

type subscription struct{ subject, queue string }

func TestSubscribe(t *testing.T) {
	for _, c := range []struct {
		allow, deny []string
		yes, no     []subscription
	}{
		{nil, nil, []subscription{{">", ""}, {"a", "q"}}, nil},
		{
			[]string{"a.*"},
			nil,
			[]subscription{{"a.b", ""}, {"a.*", ""}, {"a.b", "q"}},
			[]subscription{{"a.>", ""}, {">", ""}, {"a", ""}, {"*.b", ""}, {"a.b.c", "q"}},
		},
		{
			[]string{"a q"},
			nil,
			[]subscription{{"a", "q"}},
			[]subscription{{"a", ""}, {"a", "other"}, {"b", "q"}},
		},
		{
			[]string{"a", "a v1.*"},
			nil, // a group that is named narrows what the plain entry allows
			[]subscription{{"a", ""}, {"a", "v1.x"}, {"a", "v1.*"}},
			[]subscription{{"a", "other"}, {"a", "v1.x.y"}, {"a", "v1"}},
		},
		{
			nil,
			[]string{"a.b"},
			[]subscription{{"a.c", ""}, {"a.*", ""}, {">", ""}, {"a.*", "q"}},
			[]subscription{{"a.b", ""}, {"a.b", "q"}},
		},
		{
			nil,
			[]string{"a *.prod"},
			[]subscription{{"a", ""}, {"a", "v1.dev"}, {"b", "v1.prod"}},
			[]subscription{{"a", "v1.prod"}},
		},
		{
			[]string{">"},
			[]string{"a.>", "b q"},
			[]subscription{{"c", "q"}, {"b", ""}, {"b", "r"}, {"*.x", ""}},
			[]subscription{{"a.>", ""}, {"a.x", "q"}, {"b", "q"}},
		},
		{[]string{}, nil, nil, []subscription{{"a", ""}, {">", ""}, {"a", "q"}}},
	} {
		s := set(nil, nil, c.allow, c.deny)
		for _, sub := range c.yes {
			if !s.Subscribe(sub.subject, sub.queue) {
				t.Errorf("allow %v deny %v: %v is refused", c.allow, c.deny, sub)
			}
		}
		for _, sub := range c.no {
			if s.Subscribe(sub.subject, sub.queue) {
				t.Errorf("allow %v deny %v: %v passes", c.allow, c.deny, sub)
			}
		}
	}
}

// A subscription that is let pass and overlaps what is denied is filtered, and
// the filter lets nothing denied through.
func TestFilterAndDeliver(t *testing.T) {
	s := set(nil, nil, nil, []string{"a.secret.>", "b q"})
	for sub, want := range map[subscription]bool{
		{"a.*.x", ""}: true, {">", ""}: true, {"a.>", "q"}: true, {"a.*", ""}: false, {"c.>", ""}: false,
		{"a.open", ""}: false, {"b", ""}: false, {"*", "q"}: true, {"c", "q"}: false,
	} {
		if got := s.Filter(sub.subject, sub.queue); got != want {
			t.Errorf("Filter(%v) = %v", sub, got)
		}
	}
	for d, want := range map[subscription]bool{
		{"a.secret.x", ""}: false, {"a.secret.>", ""}: false, {"x.*", ""}: true, {"a.secret", ""}: true, {"a.open", ""}: true, {"b", ""}: true, {"b", "q"}: false, {"b", "r"}: true, {"a.secret.x.y", "r"}: false,
	} {
		if got := s.Deliver([]byte(d.subject), d.queue); got != want {
			t.Errorf("Deliver(%v) = %v", d, got)
		}
	}
	var none *permission.Set
	if none.Filter(">", "q") || !none.Deliver([]byte("a"), "q") || !none.Subscribe(">", "q") || !none.Publish([]byte("a")) || none.Responses() != nil {
		t.Error("no rules must allow everything")
	}
}

func TestResponses(t *testing.T) {
	if s := permission.New(&jwt.Permissions{}); s != nil {
		t.Errorf("rules that allow everything = %v, want none", s)
	}
	for _, c := range []struct {
		in, want permission.Responses
	}{
		{permission.Responses{}, permission.Responses{Max: 1, Expires: 2 * time.Minute}},
		{permission.Responses{Max: 5, Expires: time.Second}, permission.Responses{Max: 5, Expires: time.Second}},
		{permission.Responses{Max: -1, Expires: -1}, permission.Responses{Max: -1, Expires: -1}},
	} {
		s := permission.New(&jwt.Permissions{Resp: &jwt.ResponsePermission{MaxMsgs: c.in.Max, Expires: c.in.Expires}})
		if got := s.Responses(); got == nil || *got != c.want {
			t.Errorf("%+v becomes %+v, want %+v", c.in, got, c.want)
		}
		if s.Publish([]byte("a")) || !s.Subscribe(">", "") {
			t.Error("who may answer may publish nothing else, and subscribe as before")
		}
	}
	s := permission.New(&jwt.Permissions{Pub: jwt.Permission{Allow: []string{"log"}}, Resp: &jwt.ResponsePermission{}})
	if !s.Publish([]byte("log")) || s.Publish([]byte("a")) {
		t.Error("what is allowed beside answers is not")
	}
}

func TestDecisionsDoNotAllocate(t *testing.T) {
	s := set([]string{"a.*"}, []string{"a.x"}, nil, []string{"b.>"})
	subj := []byte("a.b")
	if n := testing.AllocsPerRun(100, func() {
		if !s.Publish(subj) || !s.Deliver(subj, "q") {
			t.Fatal("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
