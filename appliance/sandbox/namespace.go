package sandbox

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// namespace is a named network namespace, visible to "ip netns" while it lives.
type namespace struct {
	name  string // netaudit-<6 hex>-<role>
	path  string // /run/netns/<name>
	inode uint64
}

func newNamespace(role string) (*namespace, error) {
	var id [3]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, fmt.Errorf("choose a namespace name: %w", err)
	}
	n := &namespace{name: "netaudit-" + hex.EncodeToString(id[:]) + "-" + role}
	n.path = filepath.Join("/run/netns", n.name)
	err := onOwnThread(func() error {
		h, err := netns.NewNamed(n.name) // also moves this thread there; onOwnThread's thread ends with the call
		if err != nil {
			return err
		}
		return h.Close()
	})
	if err != nil {
		return nil, fmt.Errorf("make network namespace %s (needs root): %w", n.name, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(n.path, &st); err != nil {
		return nil, errors.Join(fmt.Errorf("stat %s: %w", n.path, err), n.Close())
	}
	n.inode = st.Ino
	return n, nil
}

// Close removes the name; the namespace itself goes with its last process or socket.
func (n *namespace) Close() error {
	if err := netns.DeleteNamed(n.name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("delete network namespace %s: %w", n.name, err)
	}
	return nil
}

// do runs f on a thread inside the namespace. Sockets that f opens stay there; goroutines that f starts do not.
func (n *namespace) do(f func() error) error {
	return onOwnThread(func() error {
		h, err := netns.GetFromPath(n.path)
		if err != nil {
			return fmt.Errorf("open %s: %w", n.path, err)
		}
		defer h.Close()
		if err := netns.Set(h); err != nil {
			return fmt.Errorf("enter %s: %w", n.path, err)
		}
		return f()
	})
}

// onOwnThread runs f on a thread that is thrown away afterwards, so that a changed namespace cannot leak into other goroutines.
func onOwnThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		result <- f()
	}()
	return <-result
}

func checkPrograms(names ...string) error {
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%s is needed and was not found: install it (Debian: apt-get install iproute2 python3): %w", name, err)
		}
	}
	return nil
}
