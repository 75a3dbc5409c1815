// Package fleettest runs the control plane's end of the fleet for tests of both
// ends: the real service on a real loopback listener, over an etcd of its own.
package fleettest

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"github.com/coveymq/covey/controlplane/internal/fleet"
	"github.com/coveymq/covey/controlplane/internal/operation"
	"github.com/coveymq/covey/internal/lifecycle"
	"github.com/coveymq/covey/internal/testetcd"
	"github.com/coveymq/covey/internal/testport"
)

// Names for what tests look at.
type (
	// Progress is how far one broker is.
	Progress = fleet.BrokerProgress
	// Receipt is a usage digest.
	Receipt = fleet.Receipt
)

// DeliverEvery is the least time between two deliveries to one broker.
const DeliverEvery = fleet.DeliverEvery

// Summarise says how far a revision is.
func Summarise(p []Progress, now time.Time) (enforced, done bool) {
	const revision = 1
	brokers := make([]operation.Broker, len(p))
	for i, b := range p {
		brokers[i] = operation.Broker{Leased: b.Leased, Exited: b.Exited, ServeUntil: b.ServeUntil}
		if b.Acknowledged {
			brokers[i].AckedRevision = revision
		}
	}
	state := operation.StateOf(brokers, revision, now)
	return state >= operation.Enforced, state == operation.Done
}

// ControlPlane is the fleet service with an operator that signs accounts. The
// methods fail the test rather than return errors.
type ControlPlane struct {
	Service  *fleet.Service
	Etcd     *clientv3.Client
	Operator nkeys.KeyPair
	Addr     string

	tb      testing.TB
	lease   time.Duration
	watcher *watcher
	reader  *reader
	server  *grpc.Server
	group   *lifecycle.Group
}

// plainCustody encrypts nothing.
type plainCustody struct{}

// Encrypt returns plain.
func (plainCustody) Encrypt(_ context.Context, plain []byte) ([]byte, error) { return plain, nil }

// Decrypt returns cipher.
func (plainCustody) Decrypt(_ context.Context, cipher []byte) ([]byte, error) { return cipher, nil }

// Start runs a control plane with a new operator on a new etcd. Brokers that are
// silent for two seconds have left.
func Start(tb testing.TB) *ControlPlane {
	tb.Helper()
	return StartLeased(tb, 2*time.Second)
}

// StartLeased is Start with another time after which silent brokers have left.
func StartLeased(tb testing.TB, lease time.Duration) *ControlPlane {
	tb.Helper()
	addr, err := testport.Addr()
	if err != nil {
		tb.Fatal(err)
	}
	operator, err := nkeys.CreateOperator()
	if err != nil {
		tb.Fatal(err)
	}
	cp := &ControlPlane{Etcd: testetcd.New(tb), Operator: operator, Addr: addr, lease: lease, tb: tb}
	cp.watcher = newWatcher(cp.Etcd.Watcher)
	cp.reader = &reader{KV: cp.Etcd.KV}
	cp.Etcd.Watcher, cp.Etcd.KV = cp.watcher, cp.reader
	cp.PutOperator()
	cp.Up()
	tb.Cleanup(cp.Down)
	return cp
}

// Up starts the service, on the same port as before if there was one.
func (cp *ControlPlane) Up() {
	cp.tb.Helper()
	service, err := fleet.New(cp.tb.Context(), fleet.Config{
		Etcd: cp.Etcd, Custody: plainCustody{}, Receipts: receipts{}, LeaseTTL: cp.lease,
		Logger: slog.New(slog.NewTextHandler(cp.tb.Output(), nil)),
	})
	if err != nil {
		cp.tb.Fatal(err)
	}
	listener, err := new(net.ListenConfig).Listen(cp.tb.Context(), "tcp", cp.Addr)
	if err != nil {
		cp.tb.Fatal(err)
	}
	cp.Service, cp.Addr = service, listener.Addr().String()
	cp.server = grpc.NewServer(service.ServerOptions()...)
	service.Register(cp.server)
	cp.group = lifecycle.NewGroup(context.Background())
	cp.group.Go(service.Run)
	cp.group.Go(func(context.Context) error { return cp.server.Serve(listener) })
}

// Down stops the service; etcd stays. It may be called twice.
func (cp *ControlPlane) Down() {
	cp.tb.Helper()
	if cp.group == nil {
		return
	}
	cp.group.Stop()
	cp.server.Stop()
	if err := cp.group.Wait(); err != nil {
		cp.tb.Error(err)
	}
	cp.watcher.wg.Wait()
	cp.group = nil
}

// OperatorKey is the operator's public key.
func (cp *ControlPlane) OperatorKey() string { return publicKey(cp.tb, cp.Operator) }

// PutOperator signs and stores the operator's JWT, naming signingKeys.
func (cp *ControlPlane) PutOperator(signingKeys ...string) {
	cp.tb.Helper()
	claims := jwt.NewOperatorClaims(cp.OperatorKey())
	claims.SigningKeys.Add(signingKeys...)
	text, err := claims.Encode(cp.Operator)
	if err != nil {
		cp.tb.Fatal(err)
	}
	cp.put("/covey/v1/operator", text)
}

// NewAccount makes an account key.
func (cp *ControlPlane) NewAccount() string {
	cp.tb.Helper()
	pair, err := nkeys.CreateAccount()
	if err != nil {
		cp.tb.Fatal(err)
	}
	return publicKey(cp.tb, pair)
}

// Sign makes claims of account named name.
func Sign(tb testing.TB, signer nkeys.KeyPair, account, name string) string {
	tb.Helper()
	claims := jwt.NewAccountClaims(account)
	claims.Name = name
	text, err := claims.Encode(signer)
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

// PutAccount stores claims signed by the operator and returns them with their
// revision.
func (cp *ControlPlane) PutAccount(account, name string) (text string, revision int64) {
	cp.tb.Helper()
	text = Sign(cp.tb, cp.Operator, account, name)
	return text, cp.PutClaims(account, text)
}

// PutClaims stores text whoever signed it.
func (cp *ControlPlane) PutClaims(account, text string) int64 {
	cp.tb.Helper()
	return cp.put("/covey/v1/claims/"+account, text)
}

// DeleteAccount deletes claims.
func (cp *ControlPlane) DeleteAccount(account string) int64 {
	cp.tb.Helper()
	got, err := cp.Etcd.Delete(cp.tb.Context(), "/covey/v1/claims/"+account)
	if err != nil {
		cp.tb.Fatal(err)
	}
	return got.Header.GetRevision()
}

// JoinToken makes a join token's text.
func (cp *ControlPlane) JoinToken() string {
	cp.tb.Helper()
	token, err := cp.Service.JoinToken(cp.tb.Context(), time.Minute)
	if err != nil {
		cp.tb.Fatal(err)
	}
	return token.Reveal()
}

// Progress reads how far the brokers are with revision.
func (cp *ControlPlane) Progress(revision int64) []Progress {
	cp.tb.Helper()
	p, err := cp.Service.Progress(cp.tb.Context(), revision)
	if err != nil {
		cp.tb.Fatal(err)
	}
	return p
}

// Await polls until ok, or fails the test after a minute.
func Await(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			tb.Fatalf("not within a minute: %s", what)
		}
		<-tick.C
	}
}

func (cp *ControlPlane) put(key, value string) int64 {
	cp.tb.Helper()
	got, err := cp.Etcd.Put(cp.tb.Context(), key, value)
	if err != nil {
		cp.tb.Fatal(err)
	}
	return got.Header.GetRevision()
}

func publicKey(tb testing.TB, pair nkeys.KeyPair) string {
	tb.Helper()
	key, err := pair.PublicKey()
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// receipts echoes what it was asked, so that tests see it arrive.
type receipts struct{}

// Receipts returns one digest for each window.
func (receipts) Receipts(_ context.Context, incarnation string, windows []int64) ([]fleet.Receipt, error) {
	var all []fleet.Receipt
	for _, w := range windows {
		all = append(all, fleet.Receipt{Window: w, Series: int64(len(incarnation)), Total: uint64(w), Hash: 7})
	}
	return all, nil
}

const authorityKey = "/covey/v1/fleet/ca"

// ChangeAuthority replaces the fleet's certificate authorities by what f makes of
// them, and waits until the service has them.
func (cp *ControlPlane) ChangeAuthority(f func(value string) (string, error)) {
	cp.tb.Helper()
	got, err := cp.Etcd.Get(cp.tb.Context(), authorityKey)
	if err != nil || len(got.Kvs) != 1 {
		cp.tb.Fatalf("read fleet ca: %v", err)
	}
	value, err := f(string(got.Kvs[0].Value))
	if err != nil {
		cp.tb.Fatal(err)
	}
	revision := cp.put(authorityKey, value)
	Await(cp.tb, "the service has the authorities", func() bool { return cp.Service.AuthorityRevision() >= revision })
}

// StageAuthority stages another authority, and returns the active one's id.
func (cp *ControlPlane) StageAuthority() (active string) {
	cp.tb.Helper()
	cp.ChangeAuthority(func(value string) (string, error) {
		all, err := fleet.Authorities(value)
		if err != nil {
			return "", err
		}
		active = all[0].ID
		return fleet.StageAuthority(cp.tb.Context(), value, plainCustody{}, time.Now())
	})
	return active
}

// ActivateAuthority lets the staged authority sign, whoever trusts it.
func (cp *ControlPlane) ActivateAuthority() {
	cp.tb.Helper()
	cp.ChangeAuthority(func(value string) (string, error) { return fleet.ActivateAuthority(value, time.Now()) })
}

// RetireAuthority ends the trust in one.
func (cp *ControlPlane) RetireAuthority(id string) {
	cp.tb.Helper()
	cp.ChangeAuthority(func(value string) (string, error) { return fleet.RetireAuthority(value, id) })
}
