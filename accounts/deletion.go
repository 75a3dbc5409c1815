package accounts

import (
	"github.com/nats-io/jwt/v2"
)

// SignDeletion signs the request that has stock nats-servers with a full resolver
// forget accounts. They take it from a signing key of the operator, about which
// the claims must be.
func SignDeletion(keys []string, operator Signer) (string, error) {
	claims := jwt.NewGenericClaims(operator.PublicKey())
	claims.Data["accounts"] = keys
	return sign(claims, operator)
}
