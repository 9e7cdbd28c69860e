package appliance

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"netaudit/tap"
)

// addressBook knows which addresses belong to the watched host. Refresh replaces its content; isLocal may be called
// from any goroutine at packet rate.
type addressBook struct {
	netnsPath string
	networks  []netip.Prefix // always local, besides the host's own addresses
	mirror    bool           // no host of our own: private ranges are local
	own       atomic.Pointer[map[netip.Addr]struct{}]
}

// refresh reads the interfaces' addresses again, in the watched namespace.
func (b *addressBook) refresh() error {
	own := map[netip.Addr]struct{}{}
	err := tap.InNamespace(b.netnsPath, func() error {
		list, err := net.InterfaceAddrs()
		if err != nil {
			return err
		}
		for _, a := range list {
			if n, ok := a.(*net.IPNet); ok {
				if ip, ok := netip.AddrFromSlice(n.IP); ok {
					own[ip.Unmap()] = struct{}{}
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the watched host's addresses: %w", err)
	}
	b.own.Store(&own)
	return nil
}

func (b *addressBook) isLocal(a netip.Addr) bool {
	if a.IsLoopback() {
		return true
	}
	if b.mirror && (a.IsPrivate() || a.IsLinkLocalUnicast()) {
		return true
	}
	if own := b.own.Load(); own != nil {
		if _, ok := (*own)[a]; ok {
			return true
		}
	}
	for _, p := range b.networks {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// netNSInode is the identity of the namespace at path; 0 stands for netaudit's own.
func netNSInode(path string) (uint64, error) {
	if path == "" {
		return 0, nil
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, fmt.Errorf("look at network namespace %s: %w", path, err)
	}
	return st.Ino, nil
}

// logRefresh keeps the old addresses when they cannot be read anew, and says so.
func (b *addressBook) logRefresh(log *slog.Logger) {
	if err := b.refresh(); err != nil {
		log.Warn("keeping the addresses read before", "error", err)
	}
}
