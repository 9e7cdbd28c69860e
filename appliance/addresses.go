package appliance

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync/atomic"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
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
	err := inNetNS(b.netnsPath, func() error {
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

// inNetNS runs f inside the namespace at path, on a thread that is thrown away; with path "" it simply runs f.
func inNetNS(path string, f func() error) error {
	if path == "" {
		return f()
	}
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine and takes the namespace with it
		result <- func() error {
			h, err := netns.GetFromPath(path)
			if err != nil {
				return fmt.Errorf("open network namespace %s: %w", path, err)
			}
			defer h.Close()
			if err := netns.Set(h); err != nil {
				return fmt.Errorf("enter network namespace %s (needs CAP_SYS_ADMIN): %w", path, err)
			}
			return f()
		}()
	}()
	return <-result
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
