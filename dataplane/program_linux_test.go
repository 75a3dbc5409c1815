package dataplane

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Pages that were written to exist nowhere else and must stay, whatever they may
// be used for now.
func TestOnlyWhatIsInTheFileIsReleased(t *testing.T) {
	const smaps = `00400000-00b40000 r-xp 00000000 fe:00 123                  /usr/bin/covey-broker
Size:               7424 kB
Rss:                7000 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me sd
00b40000-01340000 r--p 00740000 fe:00 123                  /usr/bin/covey-broker
Rss:                 100 kB
Anonymous:             4 kB
01340000-01440000 r--p 00740000 fe:00 123                  /usr/bin/covey-broker
Rss:                   8 kB
Anonymous:             0 kB
01500000-01540000 rw-p 00740000 fe:00 123                  /usr/bin/covey-broker
Rss:                  12 kB
Anonymous:             0 kB
7f0000000000-7f0000001000 r-xp 00000000 fe:00 9            /usr/lib/libc.so.6
Rss:                   4 kB
Anonymous:             0 kB
7f0000002000-7f0000003000 r--p 00000000 00:00 0
Rss:                   4 kB
Anonymous:             0 kB
7ffd00000000-7ffd00002000 r-xp 00000000 00:00 0            [vdso]
Rss:                   4 kB
Anonymous:             0 kB
`
	got := untouched(strings.NewReader(smaps), "/usr/bin/covey-broker")
	want := []mapping{{0x400000, 0xb40000, 7000 << 10}, {0x1340000, 0x1440000, 8 << 10}}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(mapping{})); d != "" {
		t.Error(d)
	}
	for _, bad := range []string{"", "x", "Rss: 1 kB\nAnonymous: 0 kB\n", "zz-1 r-xp 0 0 0 p\nAnonymous: 0 kB\n", "2-1 r-xp 0 0 0 p\nAnonymous: 0 kB\n"} {
		if got := untouched(strings.NewReader(bad), "p"); len(got) != 0 {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

// The program goes on as if nothing had happened.
func TestReleasedPagesComeBack(t *testing.T) {
	if releaseProgram() == 0 {
		t.Error("nothing was released")
	}
	if strings.Repeat("a", 3) != "aaa" || releaseProgram() == 0 {
		t.Error("what is used is not resident again")
	}
}
