package auth

import "github.com/nats-io/jwt/v2"

// SetSentinel gives the user JWT that stands in for clients that bring none;
// empty for none.
func (o *Operator) SetSentinel(token string) { o.sentinel.Store(&token) }

// standIn puts the sentinel in the place of a JWT that is missing, or is none.
func (o *Operator) standIn(c *Connect) {
	token := o.sentinel.Load()
	if token == nil || *token == "" {
		return
	}
	if c.JWT != "" {
		if _, err := jwt.DecodeUserClaims(c.JWT); err == nil {
			return
		}
	}
	c.JWT = *token
}
