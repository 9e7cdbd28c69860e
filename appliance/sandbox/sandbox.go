// Package sandbox builds a small world to watch: two network namespaces joined by a wire with a delay. In one live
// real CPython processes that import modules named like Odoo addons; in the other real DNS, TLS, HTTP and SMTP servers.
// No route leads out of it: an address that nobody in the sandbox owns is a black hole.
//
// The demo shows itself in it, and the end-to-end tests prove themselves in it. It needs root (CAP_NET_ADMIN, CAP_SYS_ADMIN)
// and the programs ip (iproute2) and python3.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Config says what to build.
type Config struct {
	Dir    string        // where addons, certificates and logs go; it must exist
	Delay  time.Duration // one way; 10 ms makes the link like a near data centre, 0 is a bare veth pair
	Hosts  []Host        // names the DNS server knows
	Python string        // interpreter, default "python3"
	Logger *slog.Logger  // nil: slog.Default
}

// Host is one name of the sandbox's internet.
type Host struct {
	Name  string
	Addrs []netip.Addr // must lie in Internet4 or Internet6
}

// The sandbox's addresses. The internet's are documentation ranges (RFC 5737, RFC 3849): nobody owns them.
var (
	OdooAddr4 = netip.MustParseAddr("10.77.0.2")
	OdooAddr6 = netip.MustParseAddr("fd77::2")
	Gateway4  = netip.MustParseAddr("10.77.0.1")
	Gateway6  = netip.MustParseAddr("fd77::1")
	Resolver  = netip.MustParseAddr("203.0.113.53")
	Internet4 = netip.MustParsePrefix("203.0.113.0/24")
	Internet6 = netip.MustParsePrefix("2001:db8:77::/64")
)

// OdooInterface is the name of the interface inside the Odoo namespace: the one to watch.
const OdooInterface = "eth0"

// Sandbox is a running world. Close takes it down again.
type Sandbox struct {
	config   Config
	odoo     *namespace
	internet *namespace
	ca       *authority

	mu      sync.Mutex
	closers []func() error // run in reverse order by Close
	clients sync.WaitGroup
}

// New builds the namespaces, the wire and the servers. On error everything already built is taken down again.
func New(ctx context.Context, c Config) (*Sandbox, error) {
	if c.Python == "" {
		c.Python = "python3"
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	s := &Sandbox{config: c}
	if err := s.build(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Sandbox) build(ctx context.Context) error {
	if err := checkPrograms("ip", s.config.Python); err != nil {
		return err
	}
	var err error
	if s.odoo, err = newNamespace("odoo"); err != nil {
		return err
	}
	s.onClose(s.odoo.Close)
	if s.internet, err = newNamespace("internet"); err != nil {
		return err
	}
	s.onClose(s.internet.Close)
	if err := s.connect(ctx); err != nil {
		return fmt.Errorf("join the namespaces with a wire: %w", err)
	}
	if s.ca, err = newAuthority(s.config.Dir); err != nil {
		return fmt.Errorf("make the sandbox's certificate authority: %w", err)
	}
	if err := s.serve(ctx); err != nil {
		return fmt.Errorf("start the sandbox's servers: %w", err)
	}
	return nil
}

// OdooNetNS is the path of the namespace the Python processes live in, for capture and for attribution.
func (s *Sandbox) OdooNetNS() string { return s.odoo.path }

// OdooNetNSInode is the inode of that namespace.
func (s *Sandbox) OdooNetNSInode() uint64 { return s.odoo.inode }

// CAFile is the certificate that signs every server of the sandbox.
func (s *Sandbox) CAFile() string { return filepath.Join(s.config.Dir, "ca.pem") }

func (s *Sandbox) onClose(f func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closers = append(s.closers, f)
}

// Close ends every process it started (by its id), stops the servers and deletes the namespaces. It may be called twice.
func (s *Sandbox) Close() error {
	s.mu.Lock()
	closers := s.closers
	s.closers = nil
	s.mu.Unlock()
	var errs []error
	for i := len(closers) - 1; i >= 0; i-- {
		errs = append(errs, closers[i]())
	}
	s.clients.Wait()
	return errors.Join(errs...)
}

// writeResolvConf makes "ip netns exec" give the processes of the namespace the sandbox's resolver (ip-netns(8)).
func (s *Sandbox) writeResolvConf() error {
	dir := filepath.Join("/etc/netns", s.odoo.name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make %s: %w", dir, err)
	}
	s.onClose(func() error {
		err := os.RemoveAll(dir)
		_ = os.Remove("/etc/netns") // only goes when it is empty; somebody else may use it
		return err
	})
	text := "nameserver " + Resolver.String() + "\noptions timeout:2 attempts:2\n"
	return os.WriteFile(filepath.Join(dir, "resolv.conf"), []byte(text), 0o644)
}
