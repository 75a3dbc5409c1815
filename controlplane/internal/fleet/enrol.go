package fleet

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	fleetv1 "github.com/coveymq/covey/proto/covey/fleet/v1"
)

const (
	serverNameMax = 128
	requestMax    = 8 << 10 // of a certificate request, bytes
)

var errJoinRefused = status.Error(codes.PermissionDenied,
	"the join token is unknown, used up or expired; make a new one")

// Enrol gives a broker its certificate: a new broker shows a join token, a
// known one its present certificate.
func (s *Service) Enrol(ctx context.Context, req *fleetv1.EnrolRequest) (*fleetv1.EnrolResponse, error) {
	csr, err := parseRequest(req.GetCertificateRequest())
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "certificate_request: %v", err)
	}
	if n := len(req.GetServerName()); n == 0 || n > serverNameMax {
		return nil, status.Errorf(codes.InvalidArgument, "server_name: must have 1 to %d bytes", serverNameMax)
	}
	var id string
	set := s.authorities.Load()
	by := set.active()
	if req.GetJoinToken() != "" {
		id, by, err = s.redeem(ctx, set, req, csr)
	} else {
		id, err = s.renewable(ctx)
	}
	if err != nil {
		return nil, err
	}
	template, err := newTemplate(id, brokerCertificateLife)
	if err != nil {
		return nil, s.internal(ctx, "enrol", err)
	}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	chain, err := by.sign(ctx, template, csr.PublicKey)
	if err != nil {
		return nil, s.internal(ctx, "enrol", err)
	}
	s.log.LogAttrs(ctx, slog.LevelInfo, "broker enrolled",
		slog.String("broker", id), slog.String("server_name", req.GetServerName()))
	return &fleetv1.EnrolResponse{
		BrokerId: id, CertificateChain: chain, ControlPlaneRoots: set.roots(),
	}, nil
}

func parseRequest(der []byte) (*x509.CertificateRequest, error) {
	if len(der) > requestMax {
		return nil, fmt.Errorf("longer than %d bytes", requestMax)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("parse: %w", err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	switch csr.PublicKey.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return csr, nil
	default:
		return nil, fmt.Errorf("key must be ECDSA or Ed25519")
	}
}

// renewable returns the calling broker if it may have a new certificate.
func (s *Service) renewable(ctx context.Context) (string, error) {
	id, ok := BrokerID(ctx)
	if !ok {
		return "", status.Error(codes.Unauthenticated, "a join token is needed to enrol")
	}
	b, known, err := readBroker(ctx, s.etcd, id)
	if err != nil {
		return "", s.unavailable(ctx, "renew certificate", err)
	}
	if !known {
		return "", errBrokerUnknown
	}
	if b.Revoked {
		return "", errRevoked
	}
	return id, nil
}

// redeem turns a join token into a broker id. A token is good for one key pair:
// a broker that did not get the answer may ask again, a second broker may not.
func (s *Service) redeem(ctx context.Context, set *authorities, req *fleetv1.EnrolRequest, csr *x509.CertificateRequest) (string, *authority, error) {
	secret, ca := set.joinSecret(req.GetJoinToken())
	if ca == nil {
		return "", nil, errJoinRefused
	}
	id, err := s.redeemSecret(ctx, secret, req, csr)
	return id, ca, err // which is the one that the broker knows
}

func (s *Service) redeemSecret(ctx context.Context, secret []byte, req *fleetv1.EnrolRequest, csr *x509.CertificateRequest) (string, error) {
	key := joinKey(secret)
	got, err := s.etcd.Get(ctx, key)
	if err != nil {
		return "", s.unavailable(ctx, "read join token", err)
	}
	if len(got.Kvs) == 0 {
		return "", errJoinRefused
	}
	var token storedToken
	if err := json.Unmarshal(got.Kvs[0].Value, &token); err != nil {
		return "", s.internal(ctx, "decode join token", err)
	}
	pub := sha256.Sum256(csr.RawSubjectPublicKeyInfo)
	if token.BrokerID != "" {
		if !bytes.Equal(token.PublicKey, pub[:]) {
			s.log.LogAttrs(ctx, slog.LevelWarn, "used join token shown again", slog.String("used_by", token.BrokerID))
			return "", errJoinRefused
		}
		return token.BrokerID, nil
	}
	token.BrokerID, token.PublicKey = newBrokerID(), pub[:]
	used, err := json.Marshal(token)
	if err != nil {
		return "", s.internal(ctx, "encode join token", err)
	}
	now := time.Now().UTC()
	record := Broker{
		ID: token.BrokerID, ServerName: req.GetServerName(),
		EnrolledAt: now, LastContact: now, ServeUntil: now,
	}
	put, err := record.put()
	if err != nil {
		return "", s.internal(ctx, "enrol", err)
	}
	done, err := s.etcd.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(key), "=", got.Kvs[0].ModRevision)).
		Then(clientv3.OpPut(key, string(used), clientv3.WithIgnoreLease()), put).Commit()
	if err != nil {
		return "", s.unavailable(ctx, "store broker", err)
	}
	if !done.Succeeded {
		return "", errJoinRefused // somebody else was faster, or the token expired meanwhile
	}
	return record.ID, nil
}

func newBrokerID() string {
	return brokerIDPrefix + strings.ReplaceAll(uuid.Must(uuid.NewV7()).String(), "-", "")
}
