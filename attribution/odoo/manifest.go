package odoo

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Manifest is what an addon says of itself in __manifest__.py.
type Manifest struct {
	Name, Version, Author, License string
}

// Framework tells addons that ship with Odoo itself: they are on nearly every stack and say nothing about who wanted a call.
func (m Manifest) Framework(addon string) bool {
	return frameworkAddons[addon] || strings.EqualFold(strings.TrimSpace(m.Author), "Odoo S.A.")
}

// frameworkAddons are recognised by name where a manifest cannot be read.
var frameworkAddons = map[string]bool{
	"base": true, "web": true, "mail": true, "bus": true, "rpc": true, "iap": true, "base_setup": true, "http_routing": true, "portal": true,
	"website": true, "base_import": true, "web_editor": true, "fetchmail": true, "mail_bot": true, "digest": true, "sms": true, "phone_validation": true,
}

// largestManifest bounds a manifest file, in bytes; some carry a long description.
const largestManifest = 256 << 10

// ReadManifest reads __manifest__.py (or the older __openerp__.py) of the addon in dir, as the process with root directory root sees it
// ("/proc/PID/root", or ""). It reads a Python literal and never runs Python.
func ReadManifest(root, dir string) (Manifest, error) {
	var m Manifest
	text, err := readBounded(filepath.Join(root, dir, "__manifest__.py"))
	if os.IsNotExist(err) {
		text, err = readBounded(filepath.Join(root, dir, "__openerp__.py"))
	}
	if err != nil {
		return m, fmt.Errorf("read the manifest of %s: %w", filepath.Base(dir), err)
	}
	values, err := parseStrings(text)
	if err != nil {
		return m, fmt.Errorf("manifest of %s: %w", filepath.Base(dir), err)
	}
	return Manifest{values["name"], values["version"], values["author"], values["license"]}, nil
}

func readBounded(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, largestManifest+1))
	if err != nil {
		return "", err
	}
	if len(text) > largestManifest {
		return "", fmt.Errorf("%s has more than %d bytes", path, largestManifest)
	}
	return string(text), nil
}

// Manifests remembers manifests for a minute: an upgrade changes them, a call does not. Safe for concurrent use.
type Manifests struct {
	mu    sync.Mutex
	known map[manifestPlace]rememberedManifest
}

type manifestPlace struct{ root, dir string }

type rememberedManifest struct {
	manifest Manifest
	until    time.Time
}

const (
	manifestLife  = time.Minute
	mostManifests = 4096
)

// Read is ReadManifest from memory where possible. An addon without a readable manifest gives the zero Manifest.
func (m *Manifests) Read(root, dir string) Manifest {
	if dir == "" {
		return Manifest{}
	}
	key := manifestPlace{root, dir}
	now := time.Now()
	m.mu.Lock()
	r, ok := m.known[key]
	m.mu.Unlock()
	if ok && now.Before(r.until) {
		return r.manifest
	}
	manifest, err := ReadManifest(root, dir)
	if err != nil {
		manifest = Manifest{}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil || len(m.known) >= mostManifests {
		m.known = map[manifestPlace]rememberedManifest{}
	}
	m.known[key] = rememberedManifest{manifest, now.Add(manifestLife)}
	return manifest
}
