package load

import (
	"bytes"
	"encoding/base64"
	"fmt"

	"github.com/nats-io/nkeys"
)

// User is who a connection is.
type User struct {
	JWT string
	Key nkeys.KeyPair
}

// credentials returns the fields of CONNECT that prove it, with a comma behind.
func (u *User) credentials(nonce string) (string, error) {
	sig, err := u.Key.Sign([]byte(nonce))
	if err != nil {
		return "", fmt.Errorf("sign the nonce: %w", err)
	}
	return fmt.Sprintf(`"jwt":%q,"sig":%q,`, u.JWT, base64.RawURLEncoding.EncodeToString(sig)), nil
}

// nonceIn returns the nonce of an INFO line; empty if it has none.
func nonceIn(info []byte) string {
	_, rest, _ := bytes.Cut(info, []byte(`"nonce":"`))
	nonce, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(nonce)
}

// turn returns a dialer whose first user is that of the i-th connection.
func (d Dialer) turn(i int) Dialer {
	if len(d.Users) > 1 {
		i %= len(d.Users)
		d.Users = d.Users[i : i+1]
	}
	return d
}
