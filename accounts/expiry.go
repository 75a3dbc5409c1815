package accounts

import "time"

// expiryNotices are how many days before its end something that expires is worth
// a word, the last first.
var expiryNotices = [...]int{3, 10, 30} //nolint:gochecknoglobals // constant

const (
	day = 24 * time.Hour
	// noticeShare keeps notices to the last part of a life: what lives for a day is
	// renewed each day, and nobody wants to hear of it.
	noticeShare = 3
)

// ExpiryNotice returns which notice of its end is due for something that was
// issued and expires then: 30, 10 or 3 days, or 0 if it is too early, or over, or
// if it never expires. Only the last third of a life has notices.
func ExpiryNotice(issued, expires, now time.Time) (days int) {
	if expires.IsZero() || !now.Before(expires) {
		return 0
	}
	for _, days := range expiryNotices {
		before := time.Duration(days) * day
		if expires.Sub(issued) >= noticeShare*before && !now.Before(expires.Add(-before)) {
			return days
		}
	}
	return 0
}
