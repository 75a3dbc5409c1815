package wire

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// What quick takes, it takes as the long way does; and it takes what clients
// write.
func TestQuickIsTheLongWay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := strconv.Itoa(rapid.IntRange(0, 40).Draw(t, "size"))
		size, _ := strconv.Atoi(n)
		// Two parts, perhaps the same, may be odd; the first choice is what clients write.
		odd := [2]int{rapid.IntRange(0, 9).Draw(t, "odd"), rapid.IntRange(0, 9).Draw(t, "odd")}
		line := ""
		for i, choices := range [][]string{
			{"PUB", "pub", "HPUB", "PUBX"},
			{" ", "  ", "\t", ""},
			{"foo.bar", "12", "a\rb", "\x01", "", "é"},
			{" ", "\t", "  ", "\n"},
			{"", "r ", "12 ", "12 12 ", "r\r ", "r  ", "r\t"},
			{n, "00" + n, "-1", "9999999999", n + "x", ""},
			{"\r\n", "\n", " \r\n", "\r\r\n", "\r"},
			{strings.Repeat("x", size)},
			{"\r\n", "\n\n", "", "\r", "\r\nPING\r\n"},
		} {
			if i != odd[0] && i != odd[1] {
				choices = choices[:1]
			}
			line += rapid.SampledFrom(choices).Draw(t, "part")
		}
		long := Parser{MaxControlLine: rapid.SampledFrom([]int{8, 64}).Draw(t, "line"), MaxPayload: rapid.SampledFrom([]int{-1, 20}).Draw(t, "payload")}
		quick := long
		took := quick.quick([]byte(line))
		quick.last = long.last
		if took == 0 {
			if d := cmp.Diff(long, quick, cmp.AllowUnexported(Parser{}, pubLine{})); d != "" {
				t.Fatalf("%q was not taken, and changed: %s", line, d)
			}
			return
		}
		m, err := long.publish([]byte(line), len("PUB"), Pub)
		if d := cmp.Diff(long, quick, cmp.AllowUnexported(Parser{}, pubLine{})); err != nil || took != m || d != "" {
			t.Fatalf("%q: %d bytes, want %d, %v: %s", line, took, m, err, d)
		}
	})
	for _, line := range []string{"PUB a 2\r\nhi\r\n", "PUB foo.bar _INBOX.a 2\r\nhi\r\n", "PUB a 12 2\r\nhi\r\n", "PUB a 0\r\n\r\n"} {
		p := Parser{MaxControlLine: 64, MaxPayload: 64}
		if n := p.quick([]byte(line)); n != len(line) {
			t.Errorf("%q: %d bytes are taken", line, n)
		}
	}
}

// What Again takes, Next takes as well, to the same operation; and it takes a line
// that comes again.
func TestAgainIsNext(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOfN(rapid.SampledFrom([]string{
			"PUB a 2\r\nhi\r\n", "PUB a 2\r\nho\r\n", "PUB a 3\r\nhi!\r\n", "PUB ab 2\r\nhi\r\n", "PUB a 2\r\nhi\n\r", "PUB a 2\r\nhi",
			"PUB a r 2\r\nhi\r\n", "PUB a s 2\r\nhi\r\n", "PUB a 0\r\n\r\n", "pub a 2\r\nhi\r\n", "HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", "PING\r\n", "PUB a",
		}), 1, 12).Draw(t, "operations")
		stream := []byte(strings.Join(pieces, ""))
		next := Parser{MaxControlLine: 64, MaxPayload: 20}
		again := next
		for at := 0; at < len(stream); {
			want, wantErr := next.Next(stream[at:])
			n, err := again.Again(stream[at:]), error(nil)
			if n == 0 {
				n, err = again.Next(stream[at:])
			}
			if d := cmp.Diff(next.Op, again.Op); n != want || (err == nil) != (wantErr == nil) || d != "" {
				t.Fatalf("%q: %d bytes, want %d; %v, want %v: %s", stream[at:], n, want, err, wantErr, d)
			}
			if err != nil || n == 0 {
				return
			}
			at += n
		}
	})
	p := Parser{MaxControlLine: 64, MaxPayload: 64}
	twice := []byte("PUB a 2\r\nhi\r\nPUB a 2\r\nho\r\n")
	n, err := p.Next(twice)
	if err != nil || p.Again(twice[n:]) != n || string(p.Op.Body) != "ho\r\n" {
		t.Errorf("the same line again is not taken: %v, %q", err, p.Op.Body)
	}
}
