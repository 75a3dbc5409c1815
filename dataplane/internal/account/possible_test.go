package account

import (
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// Claims are judged once; what is impossible is refused however often it is shown, also
// when its signature is known to be right.
func TestClaimsAreJudgedOnce(t *testing.T) {
	operator, err := nkeys.CreateOperator()
	if err != nil {
		t.Fatal(err)
	}
	kp, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	key, err := kp.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	trusted := func(string) bool { return true }
	v := &Verified{}
	for _, subject := range []jwt.Subject{"news.>", "not a subject"} {
		claims := jwt.NewAccountClaims(key)
		claims.Exports.Add(&jwt.Export{Subject: subject, Type: jwt.Stream})
		token, err := claims.Encode(operator)
		if err != nil {
			t.Fatal(err)
		}
		good := subject == "news.>"
		for i := range 3 {
			if _, err := v.decode(key, token, 1, trusted); (err == nil) != good || err != nil && !errors.Is(err, ErrInvalid) {
				t.Errorf("%q, time %d: %v", subject, i, err)
			}
			if known := v.seen[sha256.Sum256([]byte(token))]; known != good {
				t.Errorf("%q, time %d: remembered as possible: %v", subject, i, known)
			}
		}
	}
}
