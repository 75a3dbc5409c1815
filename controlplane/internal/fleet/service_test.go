package fleet_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/coveymq/covey/controlplane/fleettest"
	"github.com/coveymq/covey/controlplane/internal/fleet"
	"github.com/coveymq/covey/internal/testetcd"
	"github.com/coveymq/covey/internal/testleak"
	fleetv1 "github.com/coveymq/covey/proto/covey/fleet/v1"
)

func TestMain(m *testing.M) { testleak.Main(m) }

// silence is for how long a peer may say nothing: it sends no heartbeats.
const silence = time.Minute

// peer speaks the protocol by hand.
type peer struct {
	fleetv1.FleetServiceClient
	id   string
	cert *tls.Certificate
}

func request(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return csr
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// dial connects with cert, or without one. Who answers is not these tests' matter.
func dial(t *testing.T, cp *fleettest.ControlPlane, cert *tls.Certificate) fleetv1.FleetServiceClient {
	t.Helper()
	cfg := &tls.Config{InsecureSkipVerify: true}
	if cert != nil {
		cfg.Certificates = []tls.Certificate{*cert}
	}
	conn, err := grpc.NewClient(cp.Addr, grpc.WithTransportCredentials(credentials.NewTLS(cfg)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return fleetv1.NewFleetServiceClient(conn)
}

func enrol(t *testing.T, cp *fleettest.ControlPlane) *peer {
	t.Helper()
	key := newKey(t)
	resp, err := dial(t, cp, nil).Enrol(t.Context(), &fleetv1.EnrolRequest{
		JoinToken: cp.JoinToken(), CertificateRequest: request(t, key), ServerName: "p",
	})
	if err != nil {
		t.Fatal(err)
	}
	cert := &tls.Certificate{Certificate: resp.GetCertificateChain(), PrivateKey: key}
	return &peer{FleetServiceClient: dial(t, cp, cert), id: resp.GetBrokerId(), cert: cert}
}

// attend says hello and reads up to the first watermark.
func (p *peer) attend(t *testing.T, held ...*fleetv1.HeldAccount) (fleetv1.FleetService_AttendClient, []*fleetv1.AccountClaims, int64) {
	t.Helper()
	return p.attendAs(t, "i1", held...)
}

// hello begins a session and returns the first message of it.
func (p *peer) hello(t *testing.T, incarnation string, held ...*fleetv1.HeldAccount) (fleetv1.FleetService_AttendClient, *fleetv1.AttendResponse, error) {
	t.Helper()
	stream, err := p.Attend(t.Context())
	if err != nil {
		return nil, nil, err
	}
	_ = stream.Send(&fleetv1.AttendRequest{Message: &fleetv1.AttendRequest_Hello{Hello: &fleetv1.Hello{
		IncarnationId: incarnation, ServerName: "p", Accounts: held,
	}}}) // what is wrong shows in the answer
	first, err := stream.Recv()
	return stream, first, err
}

func (p *peer) attendAs(t *testing.T, incarnation string, held ...*fleetv1.HeldAccount) (fleetv1.FleetService_AttendClient, []*fleetv1.AccountClaims, int64) {
	t.Helper()
	stream, first, err := p.hello(t, incarnation, held...)
	// A connection to a control plane that has just stopped may not know it yet.
	for deadline := time.Now().Add(time.Minute); status.Code(err) == codes.Unavailable && time.Now().Before(deadline); {
		stream, first, err = p.hello(t, incarnation, held...)
	}
	if err != nil {
		t.Fatal(err)
	}
	if first.GetWelcome().GetOperatorJwt() == "" {
		t.Fatalf("first message = %v, want a welcome with the operator", first)
	}
	got, watermark := untilWatermark(t, stream, 0)
	return stream, got, watermark
}

func untilWatermark(t *testing.T, stream fleetv1.FleetService_AttendClient, least int64) (got []*fleetv1.AccountClaims, watermark int64) {
	t.Helper()
	for {
		m, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if c := m.GetAccountClaims(); c != nil {
			got = append(got, c)
		}
		if w := m.GetWatermark(); w != nil && w.GetRevision() >= least {
			return got, w.GetRevision()
		}
	}
}

func send(t *testing.T, stream fleetv1.FleetService_AttendClient, m *fleetv1.AttendRequest) {
	t.Helper()
	if err := stream.Send(m); err != nil {
		t.Fatal(err)
	}
}

func acknowledge(revision int64) *fleetv1.AttendRequest {
	return &fleetv1.AttendRequest{Message: &fleetv1.AttendRequest_Acknowledge{
		Acknowledge: &fleetv1.Acknowledge{Revision: revision},
	}}
}

func hold(add, remove []string) *fleetv1.AttendRequest {
	return &fleetv1.AttendRequest{Message: &fleetv1.AttendRequest_Hold{Hold: &fleetv1.Hold{Add: add, Remove: remove}}}
}

func streamError(stream fleetv1.FleetService_AttendClient) error {
	for {
		if _, err := stream.Recv(); err != nil {
			return err
		}
	}
}

func TestOnlyBrokersMayCall(t *testing.T) {
	cp := fleettest.StartLeased(t, silence)
	stranger := dial(t, cp, nil)
	if _, err := stranger.LookupAccount(t.Context(), &fleetv1.LookupAccountRequest{AccountPublicKey: cp.NewAccount()}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("LookupAccount without a certificate = %v, want Unauthenticated", err)
	}
	if _, err := stranger.GetUsageReceipt(t.Context(), &fleetv1.GetUsageReceiptRequest{IncarnationId: "i"}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("GetUsageReceipt without a certificate = %v, want Unauthenticated", err)
	}
	stream, err := stranger.Attend(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := streamError(stream); status.Code(err) != codes.Unauthenticated {
		t.Errorf("Attend without a certificate = %v, want Unauthenticated", err)
	}
	if _, err := stranger.Enrol(t.Context(), &fleetv1.EnrolRequest{CertificateRequest: request(t, newKey(t)), ServerName: "p"}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("Enrol with neither token nor certificate = %v, want Unauthenticated", err)
	}
}

func TestLookupNeverGuesses(t *testing.T) {
	cp := fleettest.StartLeased(t, silence)
	p := enrol(t, cp)
	account := cp.NewAccount()
	ask := func() error {
		_, err := p.LookupAccount(t.Context(), &fleetv1.LookupAccountRequest{AccountPublicKey: account})
		return err
	}
	if err := ask(); status.Code(err) != codes.Unavailable {
		t.Errorf("LookupAccount before Attend = %v, want Unavailable", err)
	}
	p.attend(t)
	if err := ask(); status.Code(err) != codes.NotFound {
		t.Errorf("LookupAccount = %v, want NotFound", err)
	}
	cp.FailReads(errors.New("no leader"))
	if err := ask(); status.Code(err) != codes.Unavailable || strings.Contains(err.Error(), "leader") {
		t.Errorf("LookupAccount without a store = %v, want Unavailable without inner detail", err)
	}
	cp.FailReads(nil)
	if err := ask(); status.Code(err) != codes.NotFound {
		t.Errorf("LookupAccount = %v, want NotFound", err)
	}
}

func TestEnrolMayBeAskedAgainWithTheSameKeyOnly(t *testing.T) {
	cp := fleettest.StartLeased(t, silence)
	anonymous := dial(t, cp, nil)
	key, token := newKey(t), cp.JoinToken()
	ask := func(key *ecdsa.PrivateKey) (string, error) {
		resp, err := anonymous.Enrol(t.Context(), &fleetv1.EnrolRequest{
			JoinToken: token, CertificateRequest: request(t, key), ServerName: "p",
		})
		return resp.GetBrokerId(), err
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	ids := make(map[string]int)
	for range 4 { // of several keys at once, one wins
		k := newKey(t)
		wg.Go(func() {
			id, err := ask(k)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				ids[id]++
				key = k
			} else if status.Code(err) != codes.PermissionDenied {
				t.Errorf("Enrol = %v, want PermissionDenied", err)
			}
		})
	}
	wg.Wait()
	if len(ids) != 1 {
		t.Fatalf("%d brokers enrolled with one token", len(ids))
	}
	if id, err := ask(key); err != nil || ids[id] != 1 {
		t.Errorf("asking again = %q, %v; want the same broker", id, err)
	}
	if _, err := ask(newKey(t)); status.Code(err) != codes.PermissionDenied {
		t.Errorf("another key = %v, want PermissionDenied", err)
	}
	if n := len(cp.Progress(0)); n != 1 {
		t.Errorf("%d brokers recorded, want 1", n)
	}
}

func TestAttendSendsWhatDiffersFromWhatIsHeld(t *testing.T) {
	cp := fleettest.StartLeased(t, silence)
	p := enrol(t, cp)
	same, old, gone, ahead := cp.NewAccount(), cp.NewAccount(), cp.NewAccount(), cp.NewAccount()
	_, sameAt := cp.PutAccount(same, "same")
	_, goneAt := cp.PutAccount(gone, "gone")
	_, oldAt := cp.PutAccount(old, "v1")
	oldText, oldNow := cp.PutAccount(old, "v2")
	_, aheadNow := cp.PutAccount(ahead, "v1")
	deletedAt := cp.DeleteAccount(gone)

	_, got, watermark := p.attend(t,
		&fleetv1.HeldAccount{AccountPublicKey: same, Revision: sameAt},
		&fleetv1.HeldAccount{AccountPublicKey: old, Revision: oldAt},
		&fleetv1.HeldAccount{AccountPublicKey: gone, Revision: goneAt},
		&fleetv1.HeldAccount{AccountPublicKey: ahead, Revision: 1 << 40},
	)
	byAccount := make(map[string]*fleetv1.AccountClaims)
	for _, c := range got {
		byAccount[c.GetAccountPublicKey()] = c
	}
	if byAccount[same] != nil || len(byAccount) != 3 {
		t.Errorf("got claims of %d accounts, want the three that differ", len(byAccount))
	}
	if c := byAccount[old]; c.GetRevision() != oldNow || c.GetJwt() != oldText {
		t.Errorf("stale account: got revision %d, want %d", c.GetRevision(), oldNow)
	}
	if c := byAccount[gone]; c.GetJwt() != "" || c.GetRevision() < deletedAt {
		t.Errorf("deleted account: got revision %d, want a deletion at or after %d", c.GetRevision(), deletedAt)
	}
	if c := byAccount[ahead]; c.GetRevision() != aheadNow {
		t.Errorf("account held at a revision that is not yet: got %d, want %d", c.GetRevision(), aheadNow)
	}
	if watermark < deletedAt {
		t.Errorf("watermark %d, want at least %d", watermark, deletedAt)
	}
}

func TestHoldSendsTheClaimsOnceAndChangesAfter(t *testing.T) {
	cp := fleettest.StartLeased(t, silence)
	p := enrol(t, cp)
	stream, _, _ := p.attend(t)
	held, other := cp.NewAccount(), cp.NewAccount()
	_, first := cp.PutAccount(held, "v1")
	send(t, stream, hold([]string{held}, nil))
	m, err := stream.Recv()
	for err == nil && m.GetAccountClaims() == nil {
		m, err = stream.Recv()
	}
	if err != nil || m.GetAccountClaims().GetRevision() != first {
		t.Fatalf("after Hold: %v, %v; want claims of revision %d", m, err, first)
	}
	cp.PutAccount(other, "nobody here holds it")
	_, second := cp.PutAccount(held, "v2")
	got, _ := untilWatermark(t, stream, second)
	if len(got) != 1 || got[0].GetRevision() != second {
		t.Errorf("after a change: %v, want the one at revision %d", got, second)
	}
	send(t, stream, hold(nil, []string{held}))
	send(t, stream, acknowledge(second))
	fleettest.Await(t, "acknowledged", func() bool { return cp.Progress(second)[0].Acknowledged })
	_, third := cp.PutAccount(held, "v3")
	if got, _ := untilWatermark(t, stream, third); len(got) != 0 {
		t.Errorf("after dropping: %v, want nothing", got)
	}
}

func TestAttendRefusals(t *testing.T) {
	cp := fleettest.StartLeased(t, silence)
	p := enrol(t, cp)
	t.Run("acknowledging what was never sent", func(t *testing.T) {
		stream, _, watermark := p.attend(t)
		send(t, stream, acknowledge(watermark+1000))
		if err := streamError(stream); status.Code(err) != codes.InvalidArgument {
			t.Errorf("stream ended with %v, want InvalidArgument", err)
		}
		if cp.Progress(watermark + 1)[0].Acknowledged {
			t.Error("it counts all the same")
		}
	})
	t.Run("not hello first", func(t *testing.T) {
		stream, err := p.Attend(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		send(t, stream, acknowledge(1))
		if err := streamError(stream); status.Code(err) != codes.InvalidArgument {
			t.Errorf("stream ended with %v, want InvalidArgument", err)
		}
	})
	t.Run("holding nonsense", func(t *testing.T) {
		stream, _, _ := p.attend(t)
		send(t, stream, hold([]string{"../operator"}, nil))
		if err := streamError(stream); status.Code(err) != codes.InvalidArgument {
			t.Errorf("stream ended with %v, want InvalidArgument", err)
		}
	})
	t.Run("superseded", func(t *testing.T) {
		old, _, _ := p.attend(t)
		_, _, watermark := p.attend(t)
		if err := streamError(old); status.Code(err) != codes.Aborted {
			t.Errorf("older session ended with %v, want Aborted", err)
		}
		if b := cp.Progress(watermark)[0]; !b.Leased {
			t.Error("the end of the older session took the lease of the newer")
		}
	})
}

func TestAcknowledgementsAreOfOneIncarnation(t *testing.T) {
	cp := fleettest.StartLeased(t, silence)
	p := enrol(t, cp)
	stream, _, watermark := p.attendAs(t, "i1")
	send(t, stream, acknowledge(watermark))
	fleettest.Await(t, "acknowledged", func() bool { return cp.Progress(watermark)[0].Acknowledged })
	p.attendAs(t, "i1")
	if !cp.Progress(watermark)[0].Acknowledged {
		t.Error("a reconnection of the same process lost its acknowledgement")
	}
	p.attendAs(t, "i2")
	if b := cp.Progress(watermark)[0]; b.Acknowledged || b.IncarnationID != "i2" {
		t.Errorf("a new process counts as having acknowledged: %+v", b)
	}
}

// A session at one control plane must not write after the broker has gone to
// another one.
func TestOnlyTheSessionOfTheLeaseMayWrite(t *testing.T) {
	cp := fleettest.StartLeased(t, silence)
	p := enrol(t, cp)
	stream, _, watermark := p.attend(t)
	if _, err := cp.Etcd.Put(t.Context(), "/covey/v1/fleet/lease/"+p.id, "a session elsewhere"); err != nil {
		t.Fatal(err)
	}
	_ = stream.Send(acknowledge(watermark)) // it may have been noticed without that
	if err := streamError(stream); status.Code(err) != codes.Unavailable {
		t.Errorf("the session ended with %v, want Unavailable", err)
	}
	if b := cp.Progress(watermark)[0]; b.Acknowledged || !b.Leased {
		t.Errorf("the older session wrote: %+v", b)
	}
}

// What a change costs the store does not grow with the brokers: their records
// stay as they are, and one key says what all of them acknowledged.
func TestAcknowledgementsOfAllBrokersAreInOneKey(t *testing.T) {
	cp := fleettest.StartLeased(t, silence)
	const brokers = 5
	var streams []fleetv1.FleetService_AttendClient
	for range brokers {
		stream, _, _ := enrol(t, cp).attend(t)
		streams = append(streams, stream)
	}
	records := func() (all []int64) {
		t.Helper()
		got, err := cp.Etcd.Get(t.Context(), "/covey/v1/fleet/broker/", clientv3.WithPrefix())
		if err != nil {
			t.Fatal(err)
		}
		for _, kv := range got.Kvs {
			all = append(all, kv.ModRevision)
		}
		return all
	}
	before := records()
	_, revision := cp.PutAccount(cp.NewAccount(), "x")
	for _, stream := range streams {
		_, watermark := untilWatermark(t, stream, revision)
		send(t, stream, acknowledge(watermark))
	}
	fleettest.Await(t, "acknowledged", func() bool {
		enforced, _ := fleettest.Summarise(cp.Progress(revision), time.Now())
		return enforced
	})
	if after := records(); !slices.Equal(before, after) {
		t.Errorf("acknowledging wrote brokers' records: at %v, before at %v", after, before)
	}
	got, err := cp.Etcd.Get(t.Context(), "/covey/v1/fleet/acks/", clientv3.WithPrefix())
	if err != nil || len(got.Kvs) != 1 {
		t.Errorf("%d tables (%v), want one for the one control plane", len(got.Kvs), err)
	}
}

// What a broker acknowledged at a control plane that is gone counts on, until
// the broker attends at another one; then its table goes.
func TestAcknowledgementsOutliveTheControlPlane(t *testing.T) {
	cp := fleettest.StartLeased(t, silence)
	p := enrol(t, cp)
	stream, _, watermark := p.attend(t)
	send(t, stream, acknowledge(watermark))
	fleettest.Await(t, "acknowledged", func() bool { return cp.Progress(watermark)[0].Acknowledged })
	tables := func(when string, want int64) {
		t.Helper()
		if err := cp.Service.Forget(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		got, err := cp.Etcd.Get(t.Context(), "/covey/v1/fleet/acks/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil || got.Count != want {
			t.Errorf("%s there are %d tables (%v), want %d", when, got.Count, err, want)
		}
	}
	cp.Down()
	cp.Up()
	if !cp.Progress(watermark)[0].Acknowledged {
		t.Error("the acknowledgement was lost with the control plane")
	}
	tables("while the broker is away", 1)
	p.attend(t)
	if !cp.Progress(watermark)[0].Acknowledged {
		t.Error("the acknowledgement was lost when the broker came back")
	}
	tables("when it is back", 0)
}

func TestOldBrokersAreForgotten(t *testing.T) {
	cp := fleettest.StartLeased(t, silence)
	gone, present := enrol(t, cp), enrol(t, cp)
	present.attend(t)
	for _, tt := range []struct {
		after time.Duration
		want  int
	}{{fleet.GarbageAge - time.Hour, 2}, {fleet.GarbageAge + time.Hour, 1}} {
		if err := cp.Service.Forget(t.Context(), time.Now().Add(tt.after)); err != nil {
			t.Fatal(err)
		}
		if got := len(cp.Progress(0)); got != tt.want {
			t.Errorf("after %v %d brokers are listed, want %d", tt.after, got, tt.want)
		}
	}
	if cp.Progress(0)[0].ID != present.id || gone.id == present.id {
		t.Error("the wrong broker was forgotten")
	}
}

// flipping is a custody that a reader of etcd does not see through by accident.
type flipping struct{}

func (flipping) Encrypt(_ context.Context, b []byte) ([]byte, error) { return flip(b), nil }
func (flipping) Decrypt(_ context.Context, b []byte) ([]byte, error) { return flip(b), nil }

func flip(b []byte) []byte {
	out := bytes.Clone(b)
	for i := range out {
		out[i] ^= 0xff
	}
	return out
}

func TestControlPlanesThatStartAtOnceShareOneCA(t *testing.T) {
	etcd := testetcd.New(t)
	pins := make([][32]byte, 4)
	var wg sync.WaitGroup
	for i := range pins {
		wg.Go(func() {
			s, err := fleet.New(t.Context(), fleet.Config{Etcd: etcd, Custody: flipping{}, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Error(err)
				return
			}
			pins[i] = s.Fingerprint()
		})
	}
	wg.Wait()
	for _, pin := range pins {
		if pin != pins[0] {
			t.Fatal("several CAs")
		}
	}
	got, err := etcd.Get(t.Context(), "/covey/v1/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range got.Kvs {
		var stored struct {
			Key []byte `json:"encrypted_key"`
		}
		if err := json.Unmarshal(kv.Value, &stored); err != nil {
			t.Fatal(err)
		}
		if _, err := x509.ParsePKCS8PrivateKey(stored.Key); err == nil {
			t.Errorf("%s holds a key in clear", kv.Key)
		}
	}
}

func TestJoinTokenIsStoredHashedAndPrintsRedacted(t *testing.T) {
	cp := fleettest.StartLeased(t, silence)
	token, err := cp.Service.JoinToken(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	secret := token.Reveal()[len(token.Reveal())-43:]
	text, err := json.Marshal(token)
	if err != nil {
		t.Fatal(err)
	}
	if s := fmt.Sprintf("%v %s %#v %s %v", token, token, token, text, token.LogValue()); strings.Contains(s, secret) {
		t.Errorf("the secret is printed: %s", s)
	}
	got, err := cp.Etcd.Get(t.Context(), "/covey/v1/fleet/join/", clientv3.WithPrefix())
	if err != nil || len(got.Kvs) != 1 {
		t.Fatalf("stored tokens = %v, %v; want one", got, err)
	}
	if kv := got.Kvs[0]; kv.Lease == 0 || strings.Contains(string(kv.Key)+string(kv.Value), secret) {
		t.Errorf("stored as %s = %s, lease %d", kv.Key, kv.Value, kv.Lease)
	}
	for _, ttl := range []time.Duration{0, time.Second, 48 * time.Hour} {
		if _, err := cp.Service.JoinToken(t.Context(), ttl); err == nil {
			t.Errorf("JoinToken(%v) succeeded", ttl)
		}
	}
}

func FuzzJoinSecret(f *testing.F) {
	s, err := fleet.New(f.Context(), fleet.Config{Etcd: testetcd.New(f), Custody: flipping{}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	token, err := s.JoinToken(f.Context(), time.Minute)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token.Reveal())
	f.Add("coveyjoin_")
	f.Add(strings.Repeat("_", 97))
	f.Fuzz(func(t *testing.T, text string) {
		if s.JoinSecretOK(text) && !strings.HasPrefix(text, token.Reveal()[:54]) {
			t.Errorf("%q accepted", text)
		}
	})
}
