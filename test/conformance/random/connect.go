package random

import (
	"fmt"
	"strings"
)

// connect draws a CONNECT, nearly always one that lets the connection in.
func (d *drawing) connect(p *peer) {
	again := p.connected
	user := &d.setup.Users[d.below(len(d.setup.Users))]
	fields := d.behaviour(p)
	credentials, good := d.credentials(user, again)
	fields = append(fields, credentials...)
	if again && good {
		p.sids = nil
	}
	if p.connected = true; len(credentials) > 0 {
		p.user = user
	} else if !again {
		p.user = &d.setup.Users[0]
	}
	odd := !again && d.chance(6)
	if odd {
		fields = append(fields, d.oddField())
	}
	d.r.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	json := "{" + strings.Join(fields, d.one(",", ",", ",", ", ", " ,\t")) + "}"
	if !again && d.chance(2) {
		json = d.one("", "{}", "x", "[]", "null", `"x"`, "1", "{", json+"x", json+json, "{"+json, " "+json, json+" ", `{"verbose":}`, json[:len(json)-1])
		odd = true
	}
	d.say(p, d.verb("CONNECT")+d.one(" ", " ", " ", " ", " ", " ", "\t", "  ", "")+json+d.end())
	if odd || !good {
		d.leave(p) // most probably it is closed
	}
}

// behaviour draws the fields that say how to speak with the connection.
func (d *drawing) behaviour(p *peer) []string {
	var fields []string
	flag := func(name string, percent, missing int) bool {
		if d.chance(missing) {
			return name == "verbose" || name == "pedantic" || name == "echo"
		}
		on := d.chance(percent)
		fields = append(fields, fmt.Sprintf("%q:%v", name, on))
		return on
	}
	flag("verbose", 20, 4)
	flag("pedantic", 25, 4)
	flag("echo", 85, 50)
	p.headers = flag("headers", 80, 15)
	if p.headers || d.chance(3) {
		flag("no_responders", 75, 20)
	}
	if d.chance(60) {
		fields = append(fields, `"protocol":`+d.one("0", "1", "1", "1"))
	}
	if d.chance(30) {
		fields = append(fields, d.one(`"name":"n"`, `"name":"é\u00e9\n"`, `"lang":"go"`, `"version":"1.2.3"`, `"name":""`, `"tls_required":false`, `"sig":""`, `"jwt":""`, `"nkey":""`, `"account":""`))
	}
	return fields
}

// credentials draws what the connection shows, and whether it is what the
// configuration asks for. Who comes again shows all or nothing: what was shown
// before, we have forgotten.
func (d *drawing) credentials(user *User, again bool) (fields []string, good bool) {
	good = again || !d.chance(4)
	switch {
	case again && d.chance(40):
		return nil, true
	case d.setup.Token != "" && good:
		return []string{fmt.Sprintf(`"auth_token":%q`, d.setup.Token)}, true
	case d.setup.Token != "":
		return []string{d.one(`"auth_token":"x"`, `"user":"s3cr3t"`, `"auth_token":""`, `"pass":"s3cr3t"`, `"auth_token":"S3CR3T"`)}, false
	case user.Name == "" && d.chance(90):
		return nil, true
	case user.Name == "": // what is not asked for is not looked at
		return []string{`"user":"x"`, d.one(`"pass":"y"`, `"auth_token":"t"`)}, true
	case !good:
		return []string{fmt.Sprintf(`"user":%q`, d.one(user.Name, "x", "", strings.ToUpper(user.Name))), d.one(`"pass":"x"`, `"pass":""`, `"auth_token":"pw"`)}, false
	case d.setup.Anonymous && d.chance(25):
		return nil, true
	}
	return []string{fmt.Sprintf(`"user":%q`, user.Name), fmt.Sprintf(`"pass":%q`, password)}, true
}

// oddField draws a field that clients do not send, or not so.
func (d *drawing) oddField() string {
	return d.one(`"verbose":1`, `"verbose":"true"`, `"verbose":null`, `"Verbose":true`, `"VERBOSE":false`, `"echo":0`, `"headers":"x"`,
		`"protocol":2`, `"protocol":-1`, `"protocol":1.5`, `"protocol":"1"`, `"protocol":99999999999999999999`, `"protocol":null`, `"protocol":1e0`,
		`"user":1`, `"user":null`, `"pass":["x"]`, `"name":{}`, `"name":null`, `"unknown":true`, `"nested":{"verbose":true}`, `"list":[1,2,{}]`,
		`"account":"A"`, `"new_account":true`, `"account":"A","new_account":true`, `"no_responders":true`, `"tls_required":true`,
		`"jwt":"x"`, `"nkey":"x"`, `"sig":"x"`, `"auth_token":"x"`, `"verbose":true,"verbose":false`, `"na\u006de":"x"`, `"user":"\ud800"`, `"name":"`+"\x80"+`"`, `"name":"`+"\x01"+`"`,
		`"import":{}`, `"remote_account":"A"`, `"proxy_sig":"x"`, `"lang":1`, `"version":1`, `"echo":null`, `"":1`)
}
