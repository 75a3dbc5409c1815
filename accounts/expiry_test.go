package accounts_test

import (
	"testing"
	"time"

	"github.com/coveymq/covey/accounts"
)

func TestWhenTheEndIsWorthAWord(t *testing.T) {
	const day = 24 * time.Hour
	issued := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		life, left time.Duration
		want       int
	}{
		{90 * day, 31 * day, 0},
		{90 * day, 30 * day, 30},
		{90 * day, 11 * day, 30},
		{90 * day, 10 * day, 10},
		{90 * day, 3 * day, 3},
		{90 * day, time.Second, 3},
		{90 * day, 0, 0},
		{90 * day, -day, 0},
		{89 * day, 20 * day, 0},
		{89 * day, 10 * day, 10},
		{30 * day, 10 * day, 10},
		{29 * day, 5 * day, 0},
		{29 * day, 3 * day, 3},
		{9 * day, 3 * day, 3},
		{8 * day, day, 0},
		{time.Hour, time.Minute, 0},
	} {
		expires := issued.Add(tt.life)
		if got := accounts.ExpiryNotice(issued, expires, expires.Add(-tt.left)); got != tt.want {
			t.Errorf("of a life of %v %v are left: notice of %d days, want %d", tt.life, tt.left, got, tt.want)
		}
	}
	if got := accounts.ExpiryNotice(issued, time.Time{}, issued.Add(9999*day)); got != 0 {
		t.Errorf("what never expires has a notice of %d days", got)
	}
}
