package config

import (
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
)

func knownKind(k string) bool {
	switch strings.ToUpper(k) {
	case jwt.ConnectionTypeStandard, jwt.ConnectionTypeWebsocket, jwt.ConnectionTypeLeafnode, jwt.ConnectionTypeLeafnodeWS,
		jwt.ConnectionTypeMqtt, jwt.ConnectionTypeMqttWS, jwt.ConnectionTypeInProcess:
		return true
	}
	return false
}

// permissions reads what a user may do.
func (f *file) permissions(n node) *jwt.Permissions {
	p := &jwt.Permissions{}
	t := table{}
	t.add(func(n node) { p.Pub = f.subjects(n, false) }, "pub", "publish", "import")
	t.add(func(n node) { p.Sub = f.subjects(n, true) }, "sub", "subscribe", "export")
	t.add(func(n node) { p.Resp = f.responses(n) }, "publish_allow_responses", "allow_responses")
	f.block(n, t)
	return p
}

// subjects reads a list of what is allowed, or a block of allow and deny.
func (f *file) subjects(n node, queues bool) jwt.Permission {
	var p jwt.Permission
	if _, ok := n.value.(map[string]any); !ok {
		p.Allow = f.subjectList(n, queues)
		return p
	}
	t := table{}
	t.add(func(n node) { p.Allow = f.subjectList(n, queues) }, "allow")
	t.add(func(n node) { p.Deny = f.subjectList(n, queues) }, "deny")
	f.block(n, t)
	return p
}

func (f *file) subjectList(n node, queues bool) jwt.StringList {
	all, ok := f.strs(n)
	if !ok {
		return nil
	}
	for _, s := range all {
		subj, queue := s, ""
		if words := strings.Fields(s); queues && len(words) == 2 {
			subj, queue = words[0], words[1]
		}
		if !validSubject(subj) {
			f.problem(n, "subject %q is not a valid subject", subj)
		}
		if queue != "" && !validSubject(queue) {
			f.problem(n, "queue %q is not a valid queue", queue)
		}
	}
	return all
}

// validSubject reports whether s is a subject, perhaps with wildcards.
func validSubject(s string) bool {
	if s == "" || strings.ContainsAny(s, " \t\r\n\f") {
		return false
	}
	tokens := strings.Split(s, ".")
	for i, t := range tokens {
		if t == "" || t == ">" && i < len(tokens)-1 {
			return false
		}
	}
	return true
}

// responses reads true, or how many answers may be given and until when.
func (f *file) responses(n node) *jwt.ResponsePermission {
	p := &jwt.ResponsePermission{}
	if allow, ok := n.value.(bool); ok {
		if !allow {
			return nil
		}
		return p
	}
	t := table{}
	t.add(integer(&f.reader, &p.MaxMsgs, -1<<31, 1<<31-1), "max", "max_msgs", "max_messages", "max_responses")
	t.add(f.expires(&p.Expires), "expires", "expiration", "ttl")
	f.block(n, t)
	return p
}

func (f *file) expires(to *time.Duration) func(node) { return f.duration(to, false) }
