package tenancy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/custody"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

const (
	stockClustersMax = 20             // each costs a connection and a copy of every change
	systemUserLife   = 24 * time.Hour // of credentials made here; a connection that outlives them is made anew
)

// NewStockCluster says what cluster of stock nats-servers is to follow.
type NewStockCluster struct {
	ID, DisplayName string
	URLs            []string
	TLSCA, TLSCert  string
	TLSKey, Creds   string // secret
}

// StockClusterName returns the resource name of a cluster.
func StockClusterName(id string) string { return "stockClusters/" + id }

// CreateStockCluster adds a cluster.
func (s *Service) CreateStockCluster(ctx context.Context, tx *store.Tx, in NewStockCluster) (store.StockCluster, error) {
	for i, u := range in.URLs {
		if err := checkStockURL(u, in.TLSCA != ""); err != nil {
			return store.StockCluster{}, err.WithField(fmt.Sprintf("stock_cluster.urls[%d]", i))
		}
	}
	if err := checkStockTLS(in); err != nil {
		return store.StockCluster{}, err
	}
	if err := checkStockUser(ctx, tx, in.Creds); err != nil {
		return store.StockCluster{}, err
	}
	all, err := tx.StockClusters(ctx)
	if err != nil {
		return store.StockCluster{}, err
	}
	if len(all) >= stockClustersMax {
		return store.StockCluster{}, errs.New(errs.Exhausted, "STOCK_CLUSTER_QUOTA", "there are %d clusters of stock servers, and no more are allowed", len(all)).
			WithNext("let one cluster's servers resolve accounts over HTTP, or delete a cluster")
	}
	c := store.StockCluster{
		ID: in.ID, DisplayName: in.DisplayName, URLs: in.URLs, TLSCA: in.TLSCA, TLSCert: in.TLSCert, CreateTime: tx.Now,
	}
	for _, secret := range []struct {
		row, text string
		sealed    *[]byte
	}{{stockKeyRow(in.ID), in.TLSKey, &c.SealedKey}, {stockCredsRow(in.ID), in.Creds, &c.SealedCreds}} {
		if secret.text == "" {
			continue
		}
		if *secret.sealed, err = s.custody.Seal(ctx, secret.row, []byte(secret.text)); err != nil {
			return c, fmt.Errorf("seal %s: %w", secret.row, err)
		}
	}
	err = tx.CreateStockCluster(ctx, c)
	if errors.Is(err, store.ErrExists) {
		err = taken("STOCK_CLUSTER_EXISTS", "stock_cluster_id", StockClusterName(in.ID))
	}
	return c, err
}

func stockKeyRow(id string) string   { return "stock/" + id + "/tls" }
func stockCredsRow(id string) string { return "stock/" + id + "/creds" }

func checkStockURL(text string, secured bool) *errs.Error {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Scheme != "nats" && u.Scheme != "tls" || u.Path != "" {
		return errs.New(errs.Invalid, "STOCK_URL_INVALID", "%q is not the URL of a nats-server", text).WithNext("give nats://host:4222 or tls://host:4222")
	}
	if u.User != nil {
		return errs.New(errs.Invalid, "STOCK_URL_INVALID", "the URL has a user in it").WithNext("give a credentials file")
	}
	ip := net.ParseIP(u.Hostname())
	if u.Scheme == "nats" && !secured && u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return errs.New(errs.Invalid, "PLAINTEXT_EXPOSED", "%s is reached without TLS, and whoever is on the way could act as the system account", text).
			WithNext("use tls://, or give the certificates that the servers' are signed by")
	}
	return nil
}

func checkStockTLS(in NewStockCluster) error {
	if in.TLSCA != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(in.TLSCA)) {
		return errs.New(errs.Invalid, "STOCK_TLS_INVALID", "no certificate is in it").WithField("stock_cluster.tls_ca").WithNext("give PEM")
	}
	if (in.TLSCert == "") != (in.TLSKey == "") {
		return errs.New(errs.Invalid, "TLS_INCOMPLETE", "TLS needs both a client certificate and a key").WithField("stock_cluster.tls_cert")
	}
	if in.TLSCert == "" {
		return nil
	}
	if _, err := tls.X509KeyPair([]byte(in.TLSCert), []byte(in.TLSKey)); err != nil {
		return errs.New(errs.Invalid, "STOCK_TLS_INVALID", "the client certificate and the key do not belong together, or are none").
			WithField("stock_cluster.tls_cert").WithNext("give PEM of both").WithCause(err)
	}
	return nil
}

// checkStockUser finds out whether there are credentials to connect with.
func checkStockUser(ctx context.Context, tx *store.Tx, creds string) error {
	if creds != "" {
		_, _, err := accounts.ParseCreds([]byte(creds))
		return err
	}
	i, err := tx.Installation(ctx)
	if err == nil && len(i.SealedSystem) == 0 {
		err = errs.New(errs.Precondition, "NO_SYSTEM_SEED", "the seed of the system account %s is not here, so that no credentials can be made", i.SystemAccount).
			WithField("stock_cluster.creds_file").WithNext("give a credentials file of a user of the cluster's system account")
	}
	return err
}

// ResyncStockCluster wants everything to be pushed to a cluster anew.
func (s *Service) ResyncStockCluster(ctx context.Context, tx *store.Tx, id string, forgetAbsent bool) (store.StockCluster, error) {
	c, err := tx.StockCluster(ctx, id)
	if err != nil {
		return c, err
	}
	c.Resync++
	c.ForgetAbsent = forgetAbsent
	return c, tx.PutStockCluster(c)
}

// DeleteStockCluster stops telling a cluster.
func (s *Service) DeleteStockCluster(ctx context.Context, tx *store.Tx, id string) error {
	if _, err := tx.StockCluster(ctx, id); err != nil {
		return err
	}
	tx.DeleteStockCluster(id)
	return nil
}

// StockUser is who connects to a cluster, and with what.
type StockUser struct {
	JWT    string
	Signer accounts.Signer // of the user's key
	TLS    *tls.Config     // nil without any
}

// OpenStockUser opens what a cluster's servers are connected to with: the
// credentials that were given, or new ones of our own system account.
func OpenStockUser(ctx context.Context, st *store.Store, c *custody.Custody, cluster store.StockCluster) (StockUser, error) {
	secure, err := openStockTLS(ctx, c, cluster)
	if err != nil {
		return StockUser{}, err
	}
	if len(cluster.SealedCreds) == 0 {
		user, err := systemUser(ctx, st, c, time.Now())
		user.TLS = secure
		return user, err
	}
	text, err := c.Unseal(ctx, stockCredsRow(cluster.ID), cluster.SealedCreds)
	if err != nil {
		return StockUser{}, err
	}
	defer clear(text)
	token, seed, err := accounts.ParseCreds(text)
	if err != nil {
		return StockUser{}, err
	}
	signer, err := seed.Signer()
	return StockUser{JWT: token, Signer: signer, TLS: secure}, err
}

func openStockTLS(ctx context.Context, c *custody.Custody, cluster store.StockCluster) (*tls.Config, error) {
	if cluster.TLSCA == "" && cluster.TLSCert == "" {
		return nil, nil //nolint:nilnil // none is wanted: the URL's scheme says whether there is TLS
	}
	secure := &tls.Config{MinVersion: tls.VersionTLS12}
	if cluster.TLSCA != "" {
		secure.RootCAs = x509.NewCertPool()
		secure.RootCAs.AppendCertsFromPEM([]byte(cluster.TLSCA))
	}
	if cluster.TLSCert == "" {
		return secure, nil
	}
	key, err := c.Unseal(ctx, stockKeyRow(cluster.ID), cluster.SealedKey)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	pair, err := tls.X509KeyPair([]byte(cluster.TLSCert), key)
	if err != nil {
		return nil, fmt.Errorf("read client certificate of %s: %w", cluster.ID, err)
	}
	secure.Certificates = []tls.Certificate{pair}
	return secure, nil
}

// systemUser makes a user of our system account that may do what following takes,
// and nothing else.
func systemUser(ctx context.Context, st *store.Store, c *custody.Custody, now time.Time) (StockUser, error) {
	i, err := st.Installation(ctx)
	if err != nil {
		return StockUser{}, err
	}
	account, err := openSigner(ctx, c, rowName(i.SystemAccount, useIdentity), i.SealedSystem)
	if err != nil {
		return StockUser{}, fmt.Errorf("open system account: %w", err)
	}
	seed, err := accounts.NewUserKey()
	if err != nil {
		return StockUser{}, err
	}
	signer, err := seed.Signer()
	if err != nil {
		return StockUser{}, err
	}
	token, err := accounts.SignUser(accounts.UserSpec{
		PublicKey: signer.PublicKey(), Name: "covey-control-plane", AccountKey: i.SystemAccount, Expires: now.Add(systemUserLife),
		Permissions: &accounts.Permissions{
			Publish:   accounts.Rules{Allow: []string{"$SYS.REQ.CLAIMS.>", "$SYS.REQ.SERVER.PING", "$SYS.REQ.SERVER.PING.>"}},
			Subscribe: accounts.Rules{Allow: []string{"_INBOX.>", "$SYS.SERVER.*.SHUTDOWN"}},
		},
	}, account)
	return StockUser{JWT: token.JWT, Signer: signer}, err
}

// SignDeletion signs the request that stock servers forget accounts.
func SignDeletion(ctx context.Context, st *store.Store, c *custody.Custody, keys []string) (string, error) {
	i, err := st.Installation(ctx)
	if err != nil {
		return "", err
	}
	signer, err := openSigner(ctx, c, rowSigning, i.SealedSigning)
	if err != nil {
		return "", fmt.Errorf("open operator signing key: %w", err)
	}
	return accounts.SignDeletion(keys, signer)
}
