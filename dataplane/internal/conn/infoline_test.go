package conn

import (
	"encoding/json"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// The line is the library's JSON, whatever the fields hold: one that is added to
// Info and not to line is noticed here.
func TestInfoLineIsTheLibrarys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var i Info
		text := rapid.OneOf(rapid.Just(""), rapid.SampledFrom([]string{"a", "2.15.2", "127.0.0.1", "a\"b\\c", "<&>", "\x7f\x00\u2028", "\xff", "é"}), rapid.String())
		for n := range reflect.TypeFor[Info]().NumField() {
			switch f := reflect.ValueOf(&i).Elem().Field(n).Addr().Interface().(type) {
			case *string:
				*f = text.Draw(t, "text")
			case *bool:
				*f = rapid.Bool().Draw(t, "flag")
			case *int:
				*f = rapid.IntRange(0, 1<<40).Draw(t, "number")
			case *uint64:
				*f = rapid.Uint64().Draw(t, "id")
			case *[]string:
				*f = rapid.SliceOfN(text, 0, 3).Draw(t, "list")
			default:
				t.Fatalf("a field of type %T", f)
			}
		}
		want, err := json.Marshal(&i)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(i.line()); got != "INFO "+string(want)+"\r\n" {
			t.Errorf("%s\nwant\n%s", got, want)
		}
	})
}

func TestInfoLineAllocatesItself(t *testing.T) {
	i := Info{ServerID: "NABC", ServerName: "a", Version: "2.15.2", Go: "go1", Host: "0.0.0.0", ConnectURLs: []string{"a:1", "b:2"}, Nonce: "abc", ClientIP: "127.0.0.1"}
	if n := testing.AllocsPerRun(100, func() { _ = i.line() }); n > 1 {
		t.Errorf("%v allocations", n)
	}
}
