package main

import (
	"fmt"
	"os"
	"path/filepath"

	"netaudit/appliance"
	"netaudit/ledger/proof"
)

// watchFlags are shared by run and demo. A flag wins over the configuration file.
type watchFlags struct {
	State  string `help:"State directory: ledger, anchor, keys." placeholder:"DIR" type:"path"`
	Listen string `help:"Address of the web pages and the API (default ${default_listen})." placeholder:"HOST:PORT"`
}

type runCommand struct {
	watchFlags
	Config    string   `help:"Configuration file (YAML)." placeholder:"FILE" type:"existingfile" completion-predictor:"file"`
	Interface []string `help:"Interface to watch, or any (repeatable; default: every one that is up and has an address)." short:"i" placeholder:"NAME"`
	NetNS     string   `help:"Watch this network namespace (path) instead of the host's." name:"netns" placeholder:"PATH"`
	Filter    string   `help:"BPF filter as in tcpdump; what it excludes is never seen." placeholder:"EXPR"`
	Ring      bool     `help:"Capture with a ring that the kernel fills block by block: for busy ports, some milliseconds later."`
	Workers   int      `help:"With --ring: goroutines that share each interface's flows." placeholder:"N"`
	Strict    bool     `help:"Strict redaction: paths, internal names, client addresses and user agents become keyed hashes."`
	Mirror    bool     `help:"This machine is at a mirror port: packets only, no processes."`
	Addons    []string `help:"Extra addons directory (repeatable; those of running Odoo processes are found)." name:"addons-path" placeholder:"DIR" type:"path"`
}

// Help implements kong.HelpProvider.
func (runCommand) Help() string {
	return `Starts the appliance and prints its URL and a one-time login. Ctrl-C writes what is open, seals and leaves.

Examples:
  sudo netaudit run
  sudo netaudit run -i eth0 -i lo --state /srv/netaudit
  sudo netaudit run --mirror -i eth1      (at a mirror port)
  sudo netaudit run --mirror -i eth1 --ring --workers 4

Needs CAP_NET_RAW to see packets and CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH to see processes; netaudit doctor checks.`
}

// Run starts the appliance on this host.
func (c *runCommand) Run(s *session) error {
	config := appliance.DefaultConfig()
	if c.Config != "" {
		var err error
		if config, err = appliance.LoadConfig(c.Config); err != nil {
			return err
		}
	}
	c.override(&config)
	if err := yield(config); err != nil {
		s.log.Warn("netaudit competes with Odoo for processors", "error", err)
	}
	return appliance.Run(s.ctx, config, s.log, func(a appliance.Access) { welcome(s, a, config.State) })
}

// yield lets Odoo go first where it runs on this host.
func yield(c appliance.Config) error {
	if c.Install != appliance.InstallHost {
		return nil
	}
	return appliance.Yield(c.Nice)
}

// override puts flags over what the file says.
func (c *runCommand) override(config *appliance.Config) {
	c.apply(config)
	if len(c.Interface) > 0 {
		config.Interfaces, config.Origins["interfaces"] = c.Interface, "--interface"
	}
	if len(c.Addons) > 0 {
		config.AddonsPaths, config.Origins["addons_paths"] = c.Addons, "--addons-path"
	}
	if c.NetNS != "" {
		config.NetNS, config.Origins["netns"] = c.NetNS, "--netns"
	}
	if c.Filter != "" {
		config.Filter, config.Origins["filter"] = c.Filter, "--filter"
	}
	if c.Ring {
		config.Capture, config.Origins["capture"] = appliance.CaptureRing, "--ring"
	}
	if c.Workers > 0 {
		config.Workers, config.Origins["workers"] = c.Workers, "--workers"
	}
	if c.Strict {
		config.Redaction, config.Origins["redaction"] = appliance.RedactionStrict, "--strict"
	}
	if c.Mirror {
		config.Install, config.Origins["install"] = appliance.InstallMirror, "--mirror"
	}
}

func (f *watchFlags) apply(c *appliance.Config) {
	if f.State != "" {
		c.State, c.Origins["state"] = f.State, "--state"
	}
	if f.Listen != "" {
		c.Listen, c.Origins["listen"] = f.Listen, "--listen"
	}
}

type demoCommand struct {
	watchFlags
}

// Help implements kong.HelpProvider.
func (demoCommand) Help() string {
	return `Builds a sandbox out of network namespaces with real servers and real Python processes that import modules named like
Odoo addons, and watches it. Nothing touches the network outside. Needs root, iproute2 and python3.

Example:
  sudo netaudit demo`
}

// Run starts the appliance on the built-in sandbox; without --state its ledger goes away with it.
func (c *demoCommand) Run(s *session) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("the demo makes network namespaces and needs root: run  sudo netaudit demo")
	}
	config := appliance.DefaultConfig()
	c.apply(&config)
	if c.State == "" {
		dir, err := os.MkdirTemp("", "netaudit-demo-state-")
		if err != nil {
			return fmt.Errorf("make a directory for the demo's ledger: %w", err)
		}
		defer os.RemoveAll(dir)
		config.State = filepath.Join(dir, "state")
	}
	return appliance.RunDemo(s.ctx, config, s.log, func(a appliance.Access) { welcome(s, a, config.State) })
}

// welcome tells a newcomer the one thing to do next.
func welcome(s *session, a appliance.Access, state string) {
	c := paletteFor(s.stderr)
	fmt.Fprintf(s.stderr, "\n  %s\n\n", c.bold("netaudit is watching."))
	fmt.Fprintf(s.stderr, "  Trust Report   %s\n", c.link(a.URL))
	fmt.Fprintf(s.stderr, "  Log in once    %s\n", c.link(a.Login))
	fmt.Fprintf(s.stderr, "  Ledger         %s\n\n", state)
	switch {
	case a.SealKey == proof.SealKey{}:
	case isTerminal(s.stderr):
		showSealKey(s.stderr, a.SealKey)
	default: // a journal is no place for a key
		fmt.Fprintf(s.stderr, "  A new log began. Keep its seal key elsewhere before midnight UTC:  netaudit seal key %s\n\n", state)
	}
	fmt.Fprintf(s.stderr, "  %s\n\n", c.dim("Ctrl-C writes what is open, seals the ledger and leaves."))
}
