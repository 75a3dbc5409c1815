package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func TestEmptyAccountIDIsRefusedPrecisely(t *testing.T) {
	h := newHome(t)
	h.up(anyPorts()...)
	h.signUp("acme")
	for _, id := range []string{"", "Not-An-Id", "a", strings.Repeat("x", 200)} {
		o := h.run("covey", "account", "create", id)
		if o.code != 2 || !strings.HasPrefix(o.stderr, "error: ") || strings.Contains(o.stderr, "internal") {
			t.Errorf("account create %q: %+v", id, o)
		}
	}
}

func TestExpiredCredentialIsRefused(t *testing.T) {
	h := newHome(t)
	b := h.up(anyPorts()...)
	acme := h.signUp("acme")
	file := h.dir + "/short.creds"
	h.covey("creds", "issue", acme.User, "--ttl", "1s", "--out", file)
	expired := time.NewTimer(2500 * time.Millisecond) // JWTs count whole seconds
	defer expired.Stop()
	<-expired.C
	b.mustRefuse("expired", file)
	o := h.run("covey", "pub", "x", "y", "--creds", file)
	if o.code != 4 || !strings.Contains(o.stderr, "next:") {
		t.Errorf("pub with expired credentials: %+v", o)
	}
	eventually(t, "the log says who and why", func() bool {
		return strings.Contains(strings.ToLower(h.log.String()), "expired")
	})
}

// TestMixedAndForgedCredentialsAreRefused gives acme's JWT the seed of globex,
// and breaks a JWT's signature.
func TestMixedAndForgedCredentialsAreRefused(t *testing.T) {
	h := newHome(t)
	b := h.up(anyPorts()...)
	acme, globex := h.signUp("acme"), h.signUp("globex")
	acmeJWT, acmeSeed := splitCreds(t, acme.CredsFile)
	_, globexSeed := splitCreds(t, globex.CredsFile)
	forged := []byte(acmeJWT)
	forged[len(forged)-10] ^= 1
	for name, text := range map[string]string{
		"seed of the other organization": credsText(acmeJWT, globexSeed),
		"forged signature":               credsText(string(forged), acmeSeed),
		"malformed jwt":                  credsText("eyJ0eXAiOiJKV1QifQ.e30.AAAA", acmeSeed),
	} {
		file := h.dir + "/bad.creds"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		b.mustRefuse(name, file)
	}
}

func splitCreds(t *testing.T, file string) (jwt, seed string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, line := range strings.Split(string(data), "\n") {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "ey") || strings.HasPrefix(line, "SU") {
			blocks = append(blocks, line)
		}
	}
	if len(blocks) != 2 {
		t.Fatalf("%s has %d blocks", file, len(blocks))
	}
	return blocks[0], blocks[1]
}

func credsText(jwt, seed string) string {
	return "-----BEGIN NATS USER JWT-----\n" + jwt + "\n------END NATS USER JWT------\n\n" +
		"-----BEGIN USER NKEY SEED-----\n" + seed + "\n------END USER NKEY SEED------\n"
}

func TestTenMegabyteConnectIsCutOff(t *testing.T) {
	h := newHome(t)
	b := h.up(anyPorts()...)
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(b.NATSURL, "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(conn)
	if info, err := answers.ReadString('\n'); err != nil || !strings.HasPrefix(info, "INFO ") {
		t.Fatalf("greeting %q, %v", info, err)
	}
	huge := append([]byte(`CONNECT {"name":"`), bytes.Repeat([]byte("x"), 10<<20)...)
	_, writeErr := conn.Write(append(huge, "\"}\r\n"...)) // the broker may hang up half-way
	rest, readErr := io.ReadAll(answers)
	if ne, ok := errors.AsType[net.Error](readErr); ok && ne.Timeout() {
		t.Fatal("the broker keeps the connection open")
	}
	if !bytes.Contains(bytes.ToLower(rest), []byte("maximum control line exceeded")) && writeErr == nil {
		t.Errorf("answer = %q", rest)
	}
	h.signUp("acme") // and is well afterwards
}

func TestCallsWithoutAKeyAreRefused(t *testing.T) {
	h := newHome(t)
	b := h.up(anyPorts()...)
	conn, err := grpc.NewClient("passthrough:///"+b.APIAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err = apiv1.NewOrganizationServiceClient(conn).ListOrganizations(ctx, &apiv1.ListOrganizationsRequest{})
	if status.Code(err) != codes.Unauthenticated || status.Convert(err).Message() == "" {
		t.Errorf("gRPC without a key: %v", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.HTTPURL+"/v1/organizations", nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("REST without a key: %s", resp.Status)
	}
}
