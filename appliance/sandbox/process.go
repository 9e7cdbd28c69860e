package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Start runs a program inside the Odoo namespace, with the sandbox's resolver and certificate authority. Its output goes to
// <Dir>/<name>.log. The process is ended with the sandbox: SIGTERM, and SIGKILL after two seconds.
func (s *Sandbox) Start(ctx context.Context, name string, argv ...string) (*exec.Cmd, error) {
	log, err := os.Create(filepath.Join(s.config.Dir, name+".log"))
	if err != nil {
		return nil, fmt.Errorf("make the log of %s: %w", name, err)
	}
	cmd := s.Command(ctx, argv...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), log.Close())
	}
	ended := make(chan struct{})
	s.clients.Go(func() {
		defer close(ended)
		err := cmd.Wait()
		s.config.Logger.Debug("a process of the sandbox ended", "name", name, "pid", cmd.Process.Pid, "result", err)
		_ = log.Close()
	})
	s.onClose(func() error {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
		select {
		case <-ended:
		case <-time.After(2 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		return nil
	})
	return cmd, nil
}

// Command prepares a program to run inside the Odoo namespace. "ip netns exec" execs it, so its process id is the program's own.
func (s *Sandbox) Command(ctx context.Context, argv ...string) *exec.Cmd {
	return s.command(ctx, s.odoo, argv)
}

// Outside prepares a program to run at the other end of the wire, as a client of what runs in the Odoo namespace.
func (s *Sandbox) Outside(ctx context.Context, argv ...string) *exec.Cmd {
	return s.command(ctx, s.internet, argv)
}

func (s *Sandbox) command(ctx context.Context, where *namespace, argv []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", where.name}, argv...)...)
	cmd.Dir = s.config.Dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + s.config.Dir, "LANG=C.UTF-8", "PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1",
		"SSL_CERT_FILE=" + s.CAFile(), "REQUESTS_CA_BUNDLE=" + s.CAFile(), "CURL_CA_BUNDLE=" + s.CAFile(),
	}
	return cmd
}

// Python is the interpreter the sandbox's processes run on.
func (s *Sandbox) Python() string { return s.config.Python }
