package fleet

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"math/big"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Custody encrypts the fleet CA's key at rest.
type Custody interface {
	Encrypt(ctx context.Context, plain []byte) ([]byte, error)
	Decrypt(ctx context.Context, cipher []byte) ([]byte, error)
}

const (
	// authorityLife outlives every deployment that is ever upgraded.
	authorityLife = 10 * 365 * 24 * time.Hour
	// brokerCertificateLife bounds how long a copied state directory is useful.
	brokerCertificateLife = 30 * 24 * time.Hour
	// serverCertificateLife is for the listeners; they renew by themselves.
	serverCertificateLife = 90 * 24 * time.Hour
	// clockSlack is how far clocks in the fleet may run behind the issuer's.
	clockSlack = 5 * time.Minute
)

// authority is the fleet's certificate authority. Immutable.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// storedAuthority is the JSON value of the CA's key in etcd.
type storedAuthority struct {
	Certificate  []byte `json:"certificate"`   // DER
	EncryptedKey []byte `json:"encrypted_key"` // PKCS #8 DER, through Custody
}

// openAuthority reads the CA, or makes it if there is none. Of several control
// planes that start at once one wins, and the others take its CA.
func openAuthority(ctx context.Context, etcd clientv3.KV, custody Custody) (*authority, error) {
	for {
		got, err := etcd.Get(ctx, caKey)
		if err != nil {
			return nil, fmt.Errorf("read fleet ca: %w", err)
		}
		if len(got.Kvs) == 1 {
			return decodeAuthority(ctx, got.Kvs[0].Value, custody)
		}
		a, value, err := newAuthority(ctx, custody)
		if err != nil {
			return nil, err
		}
		done, err := etcd.Txn(ctx).
			If(clientv3.Compare(clientv3.CreateRevision(caKey), "=", 0)).
			Then(clientv3.OpPut(caKey, string(value))).Commit()
		if err != nil {
			return nil, fmt.Errorf("store fleet ca: %w", err)
		}
		if done.Succeeded {
			return a, nil
		}
	}
}

// RenewAuthority seals the CA's key anew with a custodian's renew. It reports
// whether that was needed.
func RenewAuthority(ctx context.Context, etcd clientv3.KV, renew func(ctx context.Context, sealed []byte) ([]byte, bool, error)) (bool, error) {
	for {
		got, err := etcd.Get(ctx, caKey)
		if err != nil {
			return false, fmt.Errorf("read fleet ca: %w", err)
		}
		if len(got.Kvs) == 0 {
			return false, nil
		}
		var stored storedAuthority
		if err := json.Unmarshal(got.Kvs[0].Value, &stored); err != nil {
			return false, fmt.Errorf("decode fleet ca: %w", err)
		}
		again, renewed, err := renew(ctx, stored.EncryptedKey)
		if err != nil || !renewed {
			return false, err
		}
		stored.EncryptedKey = again
		value, err := json.Marshal(stored)
		if err != nil {
			return false, fmt.Errorf("encode fleet ca: %w", err)
		}
		done, err := etcd.Txn(ctx).
			If(clientv3.Compare(clientv3.ModRevision(caKey), "=", got.Kvs[0].ModRevision)).
			Then(clientv3.OpPut(caKey, string(value))).Commit()
		if err != nil {
			return false, fmt.Errorf("store fleet ca: %w", err)
		}
		if done.Succeeded {
			return true, nil
		}
	}
}

func newAuthority(ctx context.Context, custody Custody) (*authority, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("generate fleet ca key: %w", err)
	}
	template, err := newTemplate("Covey fleet CA", authorityLife)
	if err != nil {
		return nil, nil, err
	}
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.MaxPathLenZero = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, fmt.Errorf("sign fleet ca: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("parse fleet ca: %w", err)
	}
	plain, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("encode fleet ca key: %w", err)
	}
	cipher, err := custody.Encrypt(ctx, plain)
	if err != nil {
		return nil, nil, fmt.Errorf("encrypt fleet ca key: %w", err)
	}
	value, err := json.Marshal(storedAuthority{Certificate: der, EncryptedKey: cipher})
	if err != nil {
		return nil, nil, fmt.Errorf("encode fleet ca: %w", err)
	}
	return &authority{cert: cert, key: key}, value, nil
}

func decodeAuthority(ctx context.Context, value []byte, custody Custody) (*authority, error) {
	var stored storedAuthority
	if err := json.Unmarshal(value, &stored); err != nil {
		return nil, fmt.Errorf("decode fleet ca: %w", err)
	}
	cert, err := x509.ParseCertificate(stored.Certificate)
	if err != nil {
		return nil, fmt.Errorf("parse fleet ca: %w", err)
	}
	plain, err := custody.Decrypt(ctx, stored.EncryptedKey)
	if err != nil {
		return nil, fmt.Errorf("decrypt fleet ca key: %w", err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		return nil, fmt.Errorf("parse fleet ca key: %w", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("fleet ca key does not belong to its certificate")
	}
	return &authority{cert: cert, key: key}, nil
}

// fingerprint is what join tokens pin.
func (a *authority) fingerprint() [sha256.Size]byte { return sha256.Sum256(a.cert.Raw) }

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// sign issues template for pub and returns the chain, leaf first.
func (a *authority) sign(template *x509.Certificate, pub crypto.PublicKey) ([][]byte, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, pub, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	return [][]byte{der, bytes.Clone(a.cert.Raw)}, nil
}

func newTemplate(name string, life time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("draw serial number: %w", err)
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name, Organization: []string{"Covey fleet"}},
		NotBefore:    now.Add(-clockSlack),
		NotAfter:     now.Add(life),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}, nil
}
