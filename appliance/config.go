// Package appliance wires the rooms together and runs them: configuration, capture, attribution, recording, sealing,
// serving. Start-up is written out in Run, top to bottom; nothing starts itself.
package appliance

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/goccy/go-yaml"

	"netaudit/ledger"
)

// Kinds of installation: they decide what a row can know.
const (
	InstallHost   = "host"   // on the Odoo host: packets, processes and Python stacks
	InstallMirror = "mirror" // at a mirror port: packets only
	InstallDemo   = "demo"   // the built-in sandbox
	InstallReplay = "replay" // rows made from capture files
)

// Config is the whole configuration. Every value has a working default; the file is optional.
type Config struct {
	State         string   `yaml:"state"`          // state directory: ledger, anchor, keys, tokens
	Listen        string   `yaml:"listen"`         // address of the web pages and the API; loopback unless you mean otherwise
	Interfaces    []string `yaml:"interfaces"`     // interfaces to watch, or "any"; empty: every one that is up and has an address
	NetNS         string   `yaml:"netns"`          // watch this network namespace (a path) instead of netaudit's own
	Filter        string   `yaml:"filter"`         // BPF filter in tcpdump's language; what it excludes is never seen
	Install       string   `yaml:"install"`        // host or mirror
	Capture       string   `yaml:"capture"`        // immediate (every packet at once) or ring (busy ports: cheaper, some milliseconds later)
	Workers       int      `yaml:"workers"`        // goroutines that share each interface's flows; more than one needs capture: ring
	Nice          int      `yaml:"nice"`           // how far netaudit stands back when processors are short, 0 to 19; not at a mirror port
	MemoryMB      int      `yaml:"memory_mb"`      // MiB below which netaudit's own memory stays while no more is needed; the program and the store's write-ahead logs, which are mapped from files, come on top; 0: no bound
	KernelHook    bool     `yaml:"kernel_hook"`    // let the kernel record who calls (BPF); false, or a kernel that cannot: the calling thread is searched for
	Redaction     string   `yaml:"redaction"`      // standard, or strict: also paths, internal names, client addresses and user agents become keyed hashes
	AddonsPaths   []string `yaml:"addons_paths"`   // extra addons directories; those of running Odoo processes are found
	PartyFiles    []string `yaml:"party_files"`    // extend or override the built-in catalogue of parties
	KeepDays      int      `yaml:"keep_days"`      // content of rows is taken away that many days after their day; 0: kept for ever
	KeepMB        int      `yaml:"keep_mb"`        // the oldest days go when the store is larger than so many MiB; 0: no limit
	LegalHold     []string `yaml:"legal_hold"`     // days that are kept whatever else is said: 2026-01-01/2026-03-31, or one day
	LocalNetworks []string `yaml:"local_networks"` // networks that count as local besides this host's own addresses
	Witnesses     []string `yaml:"witnesses"`      // public keys of those who hold the log's history outside and may cosign it
	Acknowledged  []string `yaml:"acknowledged"`   // damaged logs before this one that are no alarm any more: their names, or where they are kept

	Origins map[string]string `yaml:"-"` // by key: file:line, --flag or $VARIABLE; a key that is not there has its default
}

// Ways to capture and degrees of redaction.
const (
	CaptureImmediate  = "immediate"
	CaptureRing       = "ring"
	RedactionStandard = "standard"
	RedactionStrict   = "strict"
)

// mostWorkers bounds the goroutines of one interface; a ring has 64 MiB for each.
const mostWorkers = 64

// DefaultListen is the address of the web pages and the API unless configured.
const DefaultListen = "127.0.0.1:8460"

// DefaultConfig returns the configuration of an untouched installation.
func DefaultConfig() Config {
	c := Config{Listen: DefaultListen, Install: InstallHost, Capture: CaptureImmediate, Workers: 1, Nice: 10, MemoryMB: 112, KernelHook: true, Redaction: RedactionStandard, Origins: map[string]string{}}
	var variable string
	if c.State, variable = defaultState(); variable != "" {
		c.Origins["state"] = "$" + variable
	}
	return c
}

// defaultState is the state directory, and the environment variable that chose it.
func defaultState() (dir, variable string) {
	const choice = "XDG_STATE_HOME"
	if os.Geteuid() == 0 {
		return "/var/lib/netaudit", ""
	}
	if dir := os.Getenv(choice); dir != "" {
		return filepath.Join(dir, "netaudit"), choice
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "netaudit-state", ""
	}
	return filepath.Join(home, ".local", "state", "netaudit"), ""
}

// LoadConfig reads a YAML file over the defaults. Unknown keys are errors, reported with their line.
func LoadConfig(path string) (Config, error) {
	c := DefaultConfig()
	text, err := os.ReadFile(path)
	if err != nil {
		return c, fmt.Errorf("read the configuration: %w", err)
	}
	err = yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(&c)
	if err != nil && !errors.Is(err, io.EOF) { // an empty file is the default configuration
		return c, fmt.Errorf("configuration %s: %w", path, err)
	}
	if err := c.origins(path, text); err != nil {
		return c, err
	}
	return c, c.Check()
}

// Check reports the first value that cannot work, and says what would.
func (c *Config) Check() error {
	if c.State == "" {
		return errors.New("state: name a directory for the ledger, for example /var/lib/netaudit")
	}
	if c.Install != InstallHost && c.Install != InstallMirror && c.Install != InstallDemo {
		return fmt.Errorf("install: %q is not known; use host (on the Odoo host) or mirror (at a mirror port)", c.Install)
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return fmt.Errorf("listen: %q is not an address; write host:port, for example %s: %w", c.Listen, DefaultListen, err)
	}
	if c.Capture != CaptureImmediate && c.Capture != CaptureRing {
		return fmt.Errorf("capture: %q is not known; use immediate (every packet at once) or ring (busy ports)", c.Capture)
	}
	if c.Workers < 1 || c.Workers > mostWorkers || c.Workers > 1 && c.Capture != CaptureRing {
		return fmt.Errorf("workers: %d does not work; use 1, or up to %d with capture: ring (--ring)", c.Workers, mostWorkers)
	}
	if c.Nice < 0 || c.Nice > 19 {
		return fmt.Errorf("nice: %d does not work; use 0 (an equal among others) to 19 (last)", c.Nice)
	}
	if c.MemoryMB != 0 && c.MemoryMB < 32 {
		return fmt.Errorf("memory_mb: %d does not work; use 32 or more, or 0 for no bound", c.MemoryMB)
	}
	if c.Redaction != RedactionStandard && c.Redaction != RedactionStrict {
		return fmt.Errorf("redaction: %q is not known; use standard or strict", c.Redaction)
	}
	if _, err := c.policy(); err != nil {
		return err
	}
	if _, err := ledger.WitnessKeys(c.Witnesses); err != nil {
		return fmt.Errorf("witnesses: %w", err)
	}
	_, err := c.localNetworks()
	return err
}

func (c *Config) localNetworks() ([]netip.Prefix, error) {
	var list []netip.Prefix
	for _, text := range c.LocalNetworks {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("local_networks: %q is not a network; write it like 192.0.2.0/24: %w", text, err)
		}
		list = append(list, p)
	}
	return list, nil
}
