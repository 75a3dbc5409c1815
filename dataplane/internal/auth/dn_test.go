package auth

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseDN(t *testing.T) {
	for text, want := range map[string]dn{
		"":                           nil,
		"CN=a":                       {{{"CN", "a"}}},
		"cn = a b , ou= c ":          {{{"CN", "a b"}}, {{"OU", "c"}}},
		"CN=a+OU=b,O=c":              {{{"CN", "a"}, {"OU", "b"}}, {{"O", "c"}}},
		"OU=b+CN=a":                  {{{"CN", "a"}, {"OU", "b"}}},
		`CN=a\, b,O=\20c\20`:         {{{"CN", "a, b"}}, {{"O", " c "}}},
		`CN=x\c3\a4\+\\,DC=org`:      {{{"CN", "xä+\\"}}, {{"DC", "org"}}},
		"CN=a=b":                     {{{"CN", "a=b"}}},
		"CN=,O=x":                    {{{"CN", ""}}, {{"O", "x"}}},
		"C=US, ST=CA, L=Los Angeles": {{{"C", "US"}}, {{"ST", "CA"}}, {{"L", "Los Angeles"}}},
	} {
		got, err := parseDN(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if d := cmp.Diff(want, got, cmp.AllowUnexported(attribute{})); d != "" {
			t.Errorf("%q: %s", text, d)
		}
	}
	for _, text := range []string{"a", "=a", "CN=#04024869", `CN=a\`, `CN=a\zz`, `CN=a\4`, "CN=a,", "CN=a,b", "CN=a+"} {
		if got, err := parseDN(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}

func TestDNOrder(t *testing.T) {
	read := func(s string) dn {
		d, err := parseDN(s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	a, b := read("CN=x,OU=1,OU=2,O=y"), read("O=y,OU=2,OU=1,cn=x")
	if a.equal(b) || !a.permutes(b) || !b.permutes(a) || !a.equal(read("CN=x, OU=1, OU=2, O=y")) {
		t.Error("the order of parts is not what decides")
	}
	for _, s := range []string{"CN=x,OU=1,OU=1,O=y", "CN=x,OU=1,O=y", "CN=x,OU=1,OU=2,O=Y", "CN=x+OU=1,OU=2,O=y"} {
		if a.permutes(read(s)) || read(s).permutes(a) {
			t.Errorf("%s passes for the name", s)
		}
	}
}

func FuzzParseDN(f *testing.F) {
	f.Add(`CN=a\, b+OU=\20,O=c`)
	f.Fuzz(func(t *testing.T, s string) {
		d, err := parseDN(s)
		if err == nil && (!d.equal(d) || !d.permutes(d)) {
			t.Errorf("%q is not itself", s)
		}
	})
}
