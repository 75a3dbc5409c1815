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
	"fmt"
	"math/big"
	"sync"
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

// authority is one of the fleet's certificate authorities. Its key is opened when
// it is first needed.
type authority struct {
	// Immutable.
	cert    *x509.Certificate
	sealed  []byte
	custody Custody
	state   AuthorityState
	since   time.Time

	mu  sync.Mutex
	key crypto.Signer // nil until it is opened
}

// storedAuthority is the JSON value of the CAs' key in etcd: the active one, and
// the others beside it.
type storedAuthority struct {
	Certificate  []byte        `json:"certificate"`   // DER
	EncryptedKey []byte        `json:"encrypted_key"` // PKCS #8 DER, through Custody
	Since        time.Time     `json:"since,omitzero"`
	Others       []storedOther `json:"others,omitempty"`
}

// openAuthorities reads the CAs, or makes one if there is none. Of several control
// planes that start at once one wins, and the others take its CA.
func openAuthorities(ctx context.Context, etcd clientv3.KV, custody Custody) (*authorities, error) {
	for {
		got, err := etcd.Get(ctx, caKey)
		if err != nil {
			return nil, fmt.Errorf("read fleet ca: %w", err)
		}
		if len(got.Kvs) == 1 {
			set, err := decodeAuthorities(got.Kvs[0].Value, got.Kvs[0].ModRevision, custody)
			if err == nil {
				_, err = set.active().signer(ctx)
			}
			return set, err
		}
		stored, err := newAuthority(ctx, custody)
		if err != nil {
			return nil, err
		}
		value, err := stored.text()
		if err != nil {
			return nil, err
		}
		_, err = etcd.Txn(ctx).
			If(clientv3.Compare(clientv3.CreateRevision(caKey), "=", 0)).
			Then(clientv3.OpPut(caKey, value)).Commit()
		if err != nil {
			return nil, fmt.Errorf("store fleet ca: %w", err)
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
		stored, err := decodeStored(got.Kvs[0].Value)
		if err != nil {
			return false, err
		}
		sealed := []*[]byte{&stored.EncryptedKey}
		for i := range stored.Others {
			sealed = append(sealed, &stored.Others[i].EncryptedKey)
		}
		any := false
		for _, one := range sealed {
			again, renewed, err := renew(ctx, *one)
			if err != nil {
				return false, err
			}
			if renewed {
				*one, any = again, true
			}
		}
		if !any {
			return false, nil
		}
		value, err := stored.text()
		if err != nil {
			return false, err
		}
		done, err := etcd.Txn(ctx).
			If(clientv3.Compare(clientv3.ModRevision(caKey), "=", got.Kvs[0].ModRevision)).
			Then(clientv3.OpPut(caKey, value)).Commit()
		if err != nil {
			return false, fmt.Errorf("store fleet ca: %w", err)
		}
		if done.Succeeded {
			return true, nil
		}
	}
}

func newAuthority(ctx context.Context, custody Custody) (*storedAuthority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate fleet ca key: %w", err)
	}
	template, err := newTemplate("Covey fleet CA", authorityLife)
	if err != nil {
		return nil, err
	}
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.MaxPathLenZero = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign fleet ca: %w", err)
	}
	plain, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode fleet ca key: %w", err)
	}
	cipher, err := custody.Encrypt(ctx, plain)
	if err != nil {
		return nil, fmt.Errorf("encrypt fleet ca key: %w", err)
	}
	return &storedAuthority{Certificate: der, EncryptedKey: bytes.Clone(cipher)}, nil
}

// signer opens the key.
func (a *authority) signer(ctx context.Context) (crypto.Signer, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.key != nil {
		return a.key, nil
	}
	plain, err := a.custody.Decrypt(ctx, a.sealed)
	if err != nil {
		return nil, fmt.Errorf("decrypt fleet ca key: %w", err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		return nil, fmt.Errorf("parse fleet ca key: %w", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(a.cert.PublicKey) {
		return nil, fmt.Errorf("fleet ca key does not belong to its certificate")
	}
	a.key = key
	return key, nil
}

// fingerprint is what join tokens pin.
func (a *authority) fingerprint() [sha256.Size]byte { return sha256.Sum256(a.cert.Raw) }

// sign issues template for pub and returns the chain, leaf first.
func (a *authority) sign(ctx context.Context, template *x509.Certificate, pub crypto.PublicKey) ([][]byte, error) {
	key, err := a.signer(ctx)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, pub, key)
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
