package cli

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
)

func (a *App) adminFleetCA() *cobra.Command {
	cmd := &cobra.Command{Use: "fleet-ca", Short: "See to the certificate authority of the fleet"}
	cmd.AddCommand(a.fleetCAStatus(), a.fleetCARotate(), a.fleetCARetire())
	return cmd
}

func (a *App) fleetCACall(f func(ctx context.Context, c adminv1.FleetAuthorityServiceClient, args []string) ([]*adminv1.FleetAuthority, error)) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		return a.withSession(func(s *session) error {
			all, err := f(cmd.Context(), adminv1.NewFleetAuthorityServiceClient(s), args)
			if err != nil {
				return err
			}
			header := []string{"AUTHORITY", "STATE", "SINCE", "EXPIRES", "WAITS FOR"}
			return showList(a, "authorities", all, header, func(f *adminv1.FleetAuthority) []string {
				state := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(f.GetState().String(), "STATE_"), "_", "-"))
				return []string{f.GetId(), state, atOrNever(f.GetStateTime()), atOrNever(f.GetExpireTime()), orElse(strings.Join(f.GetWaiting(), ", "), "-")}
			})
		})
	}
}

func (a *App) fleetCAStatus() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show the authorities that are trusted, and who depends on which", Args: term.Exactly(),
		RunE: a.fleetCACall(func(ctx context.Context, c adminv1.FleetAuthorityServiceClient, _ []string) ([]*adminv1.FleetAuthority, error) {
			r, err := c.GetFleetAuthority(ctx, &adminv1.GetFleetAuthorityRequest{})
			return r.GetAuthorities(), err
		}),
	}
}

func (a *App) fleetCARotate() *cobra.Command {
	var w operatorWrite
	cmd := &cobra.Command{
		Use: "rotate", Short: "Have another authority sign the certificates of the fleet", Args: term.Exactly(),
		Long: `Have another authority sign the certificates of the fleet. Brokers learn to trust it; once all that are
there do, it signs, and they renew their certificates, all by themselves and without losing a session. Both
are trusted until the old one is retired.`,
		RunE: a.fleetCACall(func(ctx context.Context, c adminv1.FleetAuthorityServiceClient, _ []string) ([]*adminv1.FleetAuthority, error) {
			r, err := c.RotateFleetAuthority(ctx, &adminv1.RotateFleetAuthorityRequest{Reason: w.reason, RequestId: w.id, ValidateOnly: w.dry})
			return r.GetAuthorities(), err
		}),
	}
	w.flags(cmd)
	return cmd
}

func (a *App) fleetCARetire() *cobra.Command {
	var w operatorWrite
	var force bool
	cmd := &cobra.Command{
		Use: "retire AUTHORITY", Short: "End the trust in an authority that signs no more", Args: term.Exactly("AUTHORITY"),
		Long: `End the trust in an authority that signs no more, or give up one that is staged. That is refused while a
certificate of a broker or a collector depends on it, and names them; with --force they have to enrol anew.`,
		RunE: a.fleetCACall(func(ctx context.Context, c adminv1.FleetAuthorityServiceClient, args []string) ([]*adminv1.FleetAuthority, error) {
			r, err := c.RetireFleetAuthority(ctx, &adminv1.RetireFleetAuthorityRequest{Id: args[0], Force: force, Reason: w.reason, RequestId: w.id, ValidateOnly: w.dry})
			return r.GetAuthorities(), err
		}),
	}
	cmd.Flags().BoolVar(&force, "force", false, "also if certificates depend on it: their holders have to enrol anew")
	w.flags(cmd)
	return cmd
}

func (a *App) adminCollector() *cobra.Command {
	cmd := &cobra.Command{Use: "collector", Short: "See to collectors of usage that brokers report to"}
	cmd.AddCommand(a.collectorCertificate())
	return cmd
}

func (a *App) collectorCertificate() *cobra.Command {
	var dir, id string
	var hosts []string
	cmd := &cobra.Command{
		Use: "certificate NAME", Short: "Make a certificate for an OpenTelemetry Collector between brokers and control plane", Args: term.Exactly("NAME"),
		Long: `Make a certificate for an OpenTelemetry Collector between brokers and control plane: brokers take it for a
place to report usage to, control planes for somebody who may. It is good for 90 days; make another one before.
The key is made here, and leaves this machine never. Written are NAME.key, NAME.crt and fleet-ca.crt.`,
		Example: "  covey admin collector certificate collector-1 --out /etc/otelcol/tls --host otel.example.com",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withSession(func(s *session) error {
				key, request, err := collectorRequest(args[0], hosts)
				if err != nil {
					return err
				}
				r, err := adminv1.NewFleetAuthorityServiceClient(s).IssueCollectorCertificate(cmd.Context(),
					&adminv1.IssueCollectorCertificateRequest{Collector: args[0], CertificateRequest: request, RequestId: id})
				if err != nil {
					return err
				}
				if err := keepCertificate(dir, args[0], key, r); err != nil {
					return err
				}
				return a.show(r, term.Pair{Name: "certificate", Value: filepath.Join(dir, args[0]+".crt")}, term.Pair{Name: "key", Value: filepath.Join(dir, args[0]+".key")},
					term.Pair{Name: "authorities", Value: filepath.Join(dir, "fleet-ca.crt")}, term.Pair{Name: "expires", Value: r.GetExpireTime().AsTime().Format(time.RFC3339)})
			})
		},
	}
	cmd.Flags().StringVar(&dir, "out", ".", "directory that the files go to")
	cmd.Flags().StringArrayVar(&hosts, "host", nil, "another name that the collector is reached by, for clients other than brokers")
	cmd.Flags().StringVar(&id, "request-id", "", "the same id with the same request is carried out once")
	return cmd
}

// collectorRequest makes a key and a request for a certificate of it.
func collectorRequest(name string, hosts []string) (key, request []byte, err error) {
	pair, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(pair)
	if err != nil {
		return nil, nil, fmt.Errorf("encode key: %w", err)
	}
	request, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}, DNSNames: hosts}, pair)
	if err != nil {
		return nil, nil, fmt.Errorf("make certificate request: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), request, nil
}

// keepCertificate writes the files beside their places, and then all into them.
func keepCertificate(dir, name string, key []byte, r *adminv1.IssueCollectorCertificateResponse) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // the key in it is 0600
		return term.Failf("choose a directory that you can write", "make directory: %w", err)
	}
	files := map[string][]byte{name + ".key": key, name + ".crt": certificates(r.GetCertificateChain()), "fleet-ca.crt": certificates(r.GetRoots())}
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(dir, file+".new"), text, 0o600); err != nil {
			return term.Failf("choose a directory that you can write", "write certificate: %w", err)
		}
	}
	for file := range files {
		if err := os.Rename(filepath.Join(dir, file+".new"), filepath.Join(dir, file)); err != nil {
			return fmt.Errorf("put certificate in place: %w", err)
		}
	}
	return nil
}

func certificates(all [][]byte) (text []byte) {
	for _, der := range all {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return text
}
