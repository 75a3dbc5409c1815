package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/coveymq/covey/internal/lifecycle"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
	"github.com/coveymq/covey/test/conformance/proc"
)

const (
	singleOrgs  = 16 // each has a caller
	singleBatch = 25 // accounts made in one call
	singleCalls = 200 * time.Millisecond
	singleEnd   = time.Minute // for the process to end, with its database
	singleReady = 2 * time.Minute
	megabyte    = 1 << 20

	singleTries = 20
	singleRetry = 5 * time.Second
)

// single is one control plane, a process of its own, and who calls it.
type single struct {
	program, dir string

	cmd    *exec.Cmd    // of the process that runs; nil: none
	pid    atomic.Int64 // its; for whoever looks at its memory meanwhile
	conn   *grpc.ClientConn
	owners []string // API keys, one of each organization
	counts []int    // accounts of each
}

// start starts the process and waits until it takes calls.
func (s *single) start(ctx context.Context) error {
	var addr [4]string
	for i := range addr {
		var err error
		if addr[i], err = proc.FreeAddr(); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, s.program, "-data", filepath.Join(s.dir, "data"), "-api", addr[0], "-http", addr[1], "-fleet", addr[2], "-otlp", addr[3], //nolint:gosec // ours
		"-operator-key-file", filepath.Join(s.dir, "operator.key"))
	logged, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	defer func() { _ = logged.Close() }() // the process has its own
	cmd.Stderr = logged
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.program, err)
	}
	s.cmd = cmd
	s.pid.Store(int64(cmd.Process.Pid))
	key, err := content(ctx, filepath.Join(s.dir, "operator.key"))
	if err != nil {
		return err
	}
	if s.conn, err = grpc.NewClient(addr[0], grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, singleReady)
	defer cancel()
	_, err = apiv1.NewOrganizationServiceClient(s.conn).ListOrganizations(as(ctx, key), &apiv1.ListOrganizationsRequest{}, grpc.WaitForReady(true))
	return err
}

// stop ends the process as an operator does.
func (s *single) stop() error {
	if s.cmd == nil {
		return nil
	}
	cmd := s.cmd
	s.cmd = nil
	s.pid.Store(0)
	late := time.AfterFunc(singleEnd, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	if s.conn != nil {
		_ = s.conn.Close() // nothing is under way
	}
	err := errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait())
	if err != nil {
		return fmt.Errorf("end the control plane: %w", err)
	}
	return nil
}

// restart ends the process and starts another on the same data.
func (s *single) restart(ctx context.Context) (int64, error) {
	if err := s.stop(); err != nil {
		return 0, err
	}
	return 0, s.start(ctx)
}

func as(ctx context.Context, key string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key)
}

func singleOrg(i int) string { return fmt.Sprintf("organizations/org-%d", i) }

// load makes organizations, and accounts in all of them.
func (s *single) load(ctx context.Context, accounts int) (int64, error) {
	operator, err := content(ctx, filepath.Join(s.dir, "operator.key"))
	if err != nil {
		return 0, err
	}
	for i := range singleOrgs {
		resp, err := apiv1.NewOrganizationServiceClient(s.conn).SignUp(as(ctx, operator), &apiv1.SignUpRequest{
			OrganizationId: fmt.Sprintf("org-%d", i), ContactEmail: "bench@bench.example", RequestId: uuid.NewString(),
		})
		if err != nil {
			return 0, err
		}
		s.owners, s.counts = append(s.owners, resp.GetApiKey()), append(s.counts, accounts/singleOrgs)
	}
	s.counts[0] += accounts % singleOrgs
	var calls atomic.Int64
	g := lifecycle.NewGroup(ctx)
	for i := range singleOrgs {
		g.Side(func(ctx context.Context) error {
			client := apiv1.NewAccountServiceClient(s.conn)
			for from := 0; from < s.counts[i]; from += singleBatch {
				req := &apiv1.BatchCreateAccountsRequest{Parent: singleOrg(i), RequestId: uuid.NewString()}
				for n := from; n < min(from+singleBatch, s.counts[i]); n++ {
					req.Accounts = append(req.Accounts, &apiv1.NewAccount{AccountId: fmt.Sprintf("a-%d", n)})
				}
				if err := again(ctx, func() error { return second(client.BatchCreateAccounts(as(ctx, s.owners[i]), req)) }); err != nil {
					return err
				}
				calls.Add(1)
			}
			return nil
		})
	}
	err = g.Wait()
	return calls.Load() + singleOrgs, err
}

// again makes a call, and the same call again when it may be worth it: what was
// made by the tries before is not made twice.
func again(ctx context.Context, call func() error) error {
	backoff := lifecycle.Backoff{Min: 100 * time.Millisecond, Max: singleRetry}
	for try := 1; ; try++ {
		err := call()
		if code := status.Code(err); try == singleTries || code != codes.Unavailable && code != codes.Aborted && code != codes.DeadlineExceeded {
			return err
		}
		if err := backoff.Wait(ctx); err != nil {
			return err
		}
	}
}

func second[T any](_ T, err error) error { return err }

// read lists everything and watches everything, gets accounts at random and
// changes some, in every organization at once.
func (s *single) read(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, residencyReads)
	defer cancel()
	var calls atomic.Int64
	g := lifecycle.NewGroup(ctx)
	for i := range singleOrgs {
		for _, work := range []func(context.Context, int, *atomic.Int64) error{s.get, s.list, s.watch, s.change} {
			g.Side(func(ctx context.Context) error {
				if err := work(as(ctx, s.owners[i]), i, &calls); ctx.Err() == nil {
					return err
				}
				return nil // the time is over
			})
		}
	}
	err := g.Wait()
	return calls.Load(), err
}

func (s *single) someAccount(org int) string {
	return fmt.Sprintf("%s/accounts/a-%d", singleOrg(org), rand.IntN(s.counts[org])) //nolint:gosec // any
}

func (s *single) get(ctx context.Context, org int, calls *atomic.Int64) error {
	for {
		req := &apiv1.GetAccountRequest{Name: s.someAccount(org)}
		if err := again(ctx, func() error { return second(apiv1.NewAccountServiceClient(s.conn).GetAccount(ctx, req)) }); err != nil {
			return err
		}
		calls.Add(1)
	}
}

// list reads all pages, again and again.
func (s *single) list(ctx context.Context, org int, calls *atomic.Int64) error {
	token, seen := "", 0
	for {
		resp, err := apiv1.NewAccountServiceClient(s.conn).ListAccounts(ctx, &apiv1.ListAccountsRequest{Parent: singleOrg(org), PageSize: 1000, PageToken: token})
		if err != nil {
			return err
		}
		calls.Add(1)
		seen += len(resp.GetAccounts())
		if token = resp.GetNextPageToken(); token == "" {
			if want := s.counts[org] + 1; seen != want { // and the one that signing up made
				return fmt.Errorf("%s lists %d accounts of %d", singleOrg(org), seen, want)
			}
			seen = 0
		}
	}
}

func (s *single) watch(ctx context.Context, org int, calls *atomic.Int64) error {
	stream, err := apiv1.NewWatchServiceClient(s.conn).WatchResources(ctx, &apiv1.WatchResourcesRequest{Parent: singleOrg(org)})
	if err != nil {
		return err
	}
	calls.Add(1)
	for {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			return errors.New("a watch ended by itself")
		} else if err != nil {
			return err
		}
	}
}

func (s *single) change(ctx context.Context, org int, calls *atomic.Int64) error {
	for rest(ctx, singleCalls) == nil {
		limit := int64(rand.IntN(1000)) //nolint:gosec // any
		req := &apiv1.UpdateAccountRequest{
			Account:    &apiv1.Account{Name: s.someAccount(org), Limits: &apiv1.Limits{Connections: &limit}},
			UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"limits.connections"}}, RequestId: uuid.NewString(),
		}
		if err := again(ctx, func() error { return second(apiv1.NewAccountServiceClient(s.conn).UpdateAccount(ctx, req)) }); err != nil {
			return err
		}
		calls.Add(1)
	}
	return nil
}

// memory reads what the process has; zero while there is none.
func (s *single) memory() proc.Memory {
	m, err := proc.MemoryOf(int(s.pid.Load()))
	if err != nil {
		return proc.Memory{}
	}
	return m
}

// database is the size of etcd's file.
func (s *single) database() (float64, error) {
	info, err := os.Stat(filepath.Join(s.dir, "data", "etcd", "member", "snap", "db"))
	if err != nil {
		return 0, fmt.Errorf("find etcd's database: %w", err)
	}
	return float64(info.Size()) / megabyte, nil
}
