package appliance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"netaudit/appliance/demo"
	"netaudit/appliance/sandbox"
)

// RunDemo runs the appliance on the built-in sandbox. Everything it makes lies in a temporary directory, except the ledger
// when c.State names a directory; all of it is removed or ended on the way out.
func RunDemo(ctx context.Context, c Config, log *slog.Logger, ready func(Access)) (err error) {
	dir, err := os.MkdirTemp("", "netaudit-demo-")
	if err != nil {
		return fmt.Errorf("make a directory for the demo: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	world, err := demo.Start(ctx, dir)
	if err != nil {
		return fmt.Errorf("build the demo's sandbox: %w", err)
	}
	defer func() { err = errors.Join(err, world.Close()) }()
	c.Install = InstallDemo
	c.NetNS = world.Sandbox.OdooNetNS()
	c.Interfaces = []string{sandbox.OdooInterface}
	c.AddonsPaths = append(c.AddonsPaths, world.AddonsPath)
	var startErr error
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err = Run(ctx, c, log, func(access Access) {
		if startErr = world.Run(ctx); startErr != nil {
			cancel()
			return
		}
		ready(access)
	})
	return errors.Join(startErr, err)
}
