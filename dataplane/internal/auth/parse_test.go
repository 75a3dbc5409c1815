package auth_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coveymq/covey/dataplane/internal/auth"
)

// hello is what nats.go sends with a JWT.
const hello = `{"verbose":false,"pedantic":false,"jwt":"eyJ0eXAiOiJKV1QifQ.e30.c2ln","nkey":"UABC","sig":"aGVsbG8",` +
	`"tls_required":false,"name":"NATS CLI","lang":"go","version":"1.52.0","protocol":1,"echo":true,"headers":true,"no_responders":true}`

// Parse is json.Unmarshal.
func FuzzConnect(f *testing.F) {
	for _, in := range []string{
		hello, `{}`, ` { } `, ``, `null`, `{"echo":false}`, `{"ECHO":false}`, `{"echo":null,"name":null}`, `{"echo":0}`, `{"name":"a\"b"}`,
		`{"name":"é"}`, "{\"name\":\"\xff\"}", `{"protocol":10}`, `{"protocol":01}`, `{"protocol":1.0}`, `{"protocol":-1}`, `{"other":{"echo":false}}`,
		`{"echo":false,"echo":true}`, `{"echo":falsey}`, `{"echo":false,}`, `{"echo":false}}`, `{"user":"a","pass":"b","auth_token":"c"}`,
		"{\r\n\t\"lang\" : \"go\" ,\n\"version\":\"\"}\n", `{"account":"A","new_account":true}`, `{"name":"a`, `{"name"`, `{"tls_required":true`, "{}\x00",
	} {
		f.Add([]byte(in))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, want := auth.DefaultConnect(), auth.DefaultConnect()
		got.Name, want.Name = "before", "before"
		err, wantErr := got.Parse(text), json.Unmarshal(text, &want)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: %v, want %v", text, err, wantErr)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q: %s", text, d)
		}
	})
}

// What clients send is read without the library, which needs more memory than
// the strings.
func TestParseAllocatesStringsOnly(t *testing.T) {
	text := []byte(hello)
	const stringsIn = 6
	var c auth.Connect
	if n := testing.AllocsPerRun(100, func() {
		if err := c.Parse(text); err != nil {
			t.Fatal(err)
		}
	}); n != stringsIn {
		t.Errorf("%v allocations, want %d", n, stringsIn)
	}
}

func BenchmarkParse(b *testing.B) {
	text := []byte(hello)
	b.ReportAllocs()
	for b.Loop() {
		c := auth.DefaultConnect()
		if err := c.Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}
