package main

import (
	"flag"
	"strings"

	"github.com/coveymq/covey/controlplane"
)

// settings is what the command line says.
type settings struct {
	config controlplane.Config

	// Files that a start writes; empty is none.
	operatorKey, joinToken, operatorPublicKey string
}

func parse(args []string) (settings, error) {
	var s settings
	cfg := &s.config
	flags := flag.NewFlagSet("covey-controlplane", flag.ContinueOnError)
	flags.StringVar(&cfg.DataDir, "data", "", "data `directory`")
	flags.StringVar(&cfg.APIAddr, "api", controlplane.DefaultAPIAddr, "gRPC `address`; port 0 is any free one")
	flags.StringVar(&cfg.HTTPAddr, "http", controlplane.DefaultHTTPAddr, "REST `address`")
	flags.StringVar(&cfg.FleetAddr, "fleet", controlplane.DefaultFleetAddr, "`address` for brokers")
	flags.StringVar(&cfg.OTLPAddr, "otlp", controlplane.DefaultOTLPAddr, "`address` for usage reports")
	flags.StringVar(&cfg.TLSCertFile, "tls-cert", "", "certificate `file` for gRPC and REST")
	flags.StringVar(&cfg.TLSKeyFile, "tls-key", "", "key `file` for gRPC and REST")
	endpoints := flags.String("etcd-endpoints", "", "comma-separated `URLs` of an etcd; empty runs one in this process")
	flags.StringVar(&cfg.Etcd.CAFile, "etcd-ca", "", "CA `file` for etcd")
	flags.StringVar(&cfg.Etcd.CertFile, "etcd-cert", "", "client certificate `file` for etcd")
	flags.StringVar(&cfg.Etcd.KeyFile, "etcd-key", "", "client key `file` for etcd")
	flags.StringVar(&cfg.Etcd.User, "etcd-user", "", "`user` of etcd")
	password := flags.String("etcd-password-file", "", "`file` with the user's password")
	ledgerURL := flags.String("ledger-url-file", "", "`file` with the URL of a Postgres database for usage and audit; without it they are in the data directory")
	flags.StringVar(&cfg.Custodian, "custodian", "local", "who seals secrets: local, or the `URL` of a key of Vault, AWS KMS, Google Cloud KMS or Azure Key Vault")
	flags.Func("former-custodian", "one that sealed secrets before, `named` likewise; may be given again", func(v string) error {
		cfg.FormerCustodians = append(cfg.FormerCustodians, v)
		return nil
	})
	flags.BoolVar(&cfg.AdoptLedger, "adopt-ledger", false, "make this ledger the installation's in place of the one that it has")
	flags.StringVar(&cfg.Audit.File, "audit-file", "", "`file` that gets a copy of the audit log, a line of JSON each")
	webhook := flags.String("audit-webhook-file", "", "`file` with the URL that a copy of the audit log is posted to")
	webhookSecret := flags.String("audit-webhook-secret-file", "", "`file` with the secret that signs what is posted")
	flags.StringVar(&cfg.Audit.OTLP, "audit-otlp", "", "`URL` of an OTLP collector that gets a copy of the audit log")
	flags.BoolVar(&cfg.PrivateReceivers, "private-alert-receivers", false, "let the webhooks of tenants' alerts be at private addresses, too")
	flags.StringVar(&s.operatorKey, "operator-key-file", "", "`file` that the first start writes the operator's API key to")
	flags.StringVar(&s.joinToken, "join-token-file", "", "`file` that each start writes a join token for one broker to")
	flags.StringVar(&s.operatorPublicKey, "operator-public-key-file", "", "`file` that each start writes the operator's public key to")
	if err := flags.Parse(args); err != nil {
		return settings{}, err
	}
	if *endpoints != "" {
		cfg.Etcd.Endpoints = strings.Split(*endpoints, ",")
	}
	for _, f := range []struct {
		path string
		into *controlplane.Secret
	}{{*password, &cfg.Etcd.Password}, {*ledgerURL, &cfg.LedgerURL}, {*webhook, &cfg.Audit.WebhookURL}, {*webhookSecret, &cfg.Audit.WebhookSecret}} {
		if f.path == "" {
			continue
		}
		var err error
		if *f.into, err = controlplane.ReadSecret(f.path); err != nil {
			return settings{}, err
		}
	}
	return s, nil
}
