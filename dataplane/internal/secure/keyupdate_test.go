package secure_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/coveymq/covey/dataplane/internal/secure"
	"github.com/coveymq/covey/dataplane/internal/secure/securetest"
	"github.com/coveymq/covey/internal/testleak"
)

func TestMain(m *testing.M) { testleak.Main(m) }

// sealer makes the client's records of TLS 1.3 by hand, because crypto/tls does
// not ask for key updates.
type sealer struct {
	t      *testing.T
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

func (s *sealer) expand(secret []byte, label string, n int) []byte {
	s.t.Helper()
	label = "tls13 " + label
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(append(append(info, byte(len(label))), label...), 0)
	out, err := hkdf.Expand(sha256.New, secret, string(info), n)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *sealer) use(secret []byte) {
	s.t.Helper()
	block, err := aes.NewCipher(s.expand(secret, "key", 16))
	if err != nil {
		s.t.Fatal(err)
	}
	if s.aead, err = cipher.NewGCM(block); err != nil {
		s.t.Fatal(err)
	}
	s.secret, s.iv, s.seq = secret, s.expand(secret, "iv", 12), 0
}

func (s *sealer) seal(kind byte, content []byte) []byte {
	inner := append(bytes.Clone(content), kind)
	header := binary.BigEndian.AppendUint16([]byte{23, 3, 3}, uint16(len(inner)+s.aead.Overhead()))
	nonce := bytes.Clone(s.iv)
	for i := range 8 {
		nonce[11-i] ^= byte(s.seq >> (8 * i))
	}
	s.seq++
	return s.aead.Seal(header, nonce, inner, header)
}

// update asks for the peer's keys to change, and changes our own.
func (s *sealer) update() []byte {
	s.t.Helper()
	record := s.seal(22, []byte{24, 0, 0, 1, 1})
	s.use(s.expand(s.secret, "traffic upd", sha256.Size))
	return record
}

// connect does a handshake and returns the server's side, the client's, and what
// makes the client's records from then on.
func connect(t *testing.T) (*secure.Conn, *tls.Conn, *sealer, net.Conn) {
	t.Helper()
	ca := securetest.NewAuthority(t)
	settings, err := secure.Load(secure.Options{Certificates: []secure.KeyPair{ca.Server(t)}})
	if err != nil {
		t.Fatal(err)
	}
	near, far := sockets(t)
	config, secrets := ca.Config(t), &bytes.Buffer{}
	config.MinVersion, config.KeyLogWriter = tls.VersionTLS13, secrets
	client, server := tls.Client(far, config), secure.Server(near, settings)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := client.Handshake(); err != nil {
			t.Error(err)
		}
	})
	if err := server.Handshake(settings, false); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if suite := server.CipherSuite(); suite != "TLS_AES_128_GCM_SHA256" || server.Version() != "1.3" {
		t.Skipf("the sealer does not know %s", suite)
	}
	s := &sealer{t: t}
	for line := range strings.Lines(secrets.String()) {
		if f := strings.Fields(line); f[0] == "CLIENT_TRAFFIC_SECRET_0" {
			secret, err := hex.DecodeString(f[2])
			if err != nil {
				t.Fatal(err)
			}
			s.use(secret)
		}
	}
	return server, client, s, near
}

func sockets(t *testing.T) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if far, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if near, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	return near, far
}

// flush sends what is unsent.
func flush(t *testing.T, server *secure.Conn, near net.Conn) {
	t.Helper()
	n, err := near.Write(server.Unsent())
	if err != nil {
		t.Fatal(err)
	}
	server.Sent(n)
	if server.Busy() || len(server.Unsent()) > 0 {
		t.Error("something is left")
	}
}

// A client may ask for new keys. The answer waits until somebody writes, and
// both directions go on.
func TestKeyUpdate(t *testing.T) {
	server, client, s, near := connect(t)
	b := make([]byte, 100)
	for _, text := range []string{"before", "between", "after"} {
		server.Feed(s.seal(23, []byte(text)))
		if n, err := server.Read(b); err != nil || string(b[:n]) != text {
			t.Fatalf("read %q, %v", b[:n], err)
		}
		if server.Busy() {
			t.Error("there is something to send, and nothing was asked for")
		}
		server.Feed(s.update())
		if n, err := server.Read(b); n != 0 || !errors.Is(err, secure.ErrMore) {
			t.Fatalf("read %d, %v", n, err)
		}
		if !server.Busy() {
			t.Error("there is no answer")
		}
		if _, err := server.Seal([]byte(text)); err != nil {
			t.Fatal(err)
		}
		flush(t, server, near)
		if n, err := io.ReadFull(client, b[:len(text)]); err != nil || string(b[:n]) != text {
			t.Fatalf("the client read %q, %v", b[:n], err)
		}
	}
}

// Whoever asks for keys again and again and reads no answers is cut off before
// they fill the memory.
func TestKeyUpdateFlood(t *testing.T) {
	server, _, s, _ := connect(t)
	b := make([]byte, 100)
	for i := range 100_000 {
		server.Feed(append(s.seal(23, []byte("x")), s.update()...))
		var err error
		for err == nil {
			_, err = server.Read(b)
		}
		if errors.Is(err, secure.ErrMore) {
			continue
		}
		if got := len(server.Unsent()); got > 300<<10 || i < 1000 {
			t.Errorf("%d bytes are unsent after %d updates", got, i)
		}
		return
	}
	t.Error("100,000 updates were answered")
}

// Records are taken in pieces of any size, while more are added, and come out
// in order; positions say where each ends.
func TestUnsent(t *testing.T) {
	server, client, s, near := connect(t)
	rng := rand.New(rand.NewPCG(1, 1))
	var want bytes.Buffer
	var ends []int64
	var got sync.WaitGroup
	var all []byte
	var end error
	got.Go(func() { all, end = io.ReadAll(client) })
	b := make([]byte, 100)
	for range 300 {
		switch rng.IntN(3) {
		case 0:
			plain := make([]byte, 1+rng.IntN(secure.RecordMax))
			for i := range plain {
				plain[i] = byte(rng.Uint32())
			}
			if rng.IntN(2) == 0 {
				server.Reserve(len(plain))
			}
			end, err := server.Seal(plain)
			if err != nil {
				t.Fatal(err)
			}
			want.Write(plain)
			ends = append(ends, end)
		case 1:
			server.Feed(append(s.seal(23, []byte("x")), s.update()...))
			for _, err := server.Read(b); err == nil; _, err = server.Read(b) {
			}
		}
		for len(server.Unsent()) > 100<<10 || rng.IntN(2) == 0 && server.Busy() {
			unsent := server.Unsent()
			n := 1 + rng.IntN(len(unsent))
			if _, err := near.Write(unsent[:n]); err != nil {
				t.Fatal(err)
			}
			upTo := server.Sent(n)
			for len(ends) > 0 && ends[0] <= upTo {
				ends = ends[1:]
			}
			if n == len(unsent) && len(ends) > 0 {
				t.Fatalf("all is sent, but %d records are not through", len(ends))
			}
		}
	}
	server.CloseNotify()
	flush(t, server, near)
	got.Wait()
	if end != nil || !bytes.Equal(all, want.Bytes()) {
		t.Errorf("the client read %d bytes of %d, %v", len(all), want.Len(), end)
	}
}

// Dropped, nothing is unsent, whatever comes later.
func TestDrop(t *testing.T) {
	server, _, _, _ := connect(t)
	if _, err := server.Seal([]byte("x")); err != nil {
		t.Fatal(err)
	}
	server.Drop()
	server.Drop()
	if server.Busy() || server.Unsent() != nil {
		t.Error("something is unsent")
	}
}
