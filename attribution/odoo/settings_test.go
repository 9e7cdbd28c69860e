package odoo

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestSettingsComeFromCommandLineAndFile(t *testing.T) {
	root := t.TempDir()
	write := func(path, text string) {
		t.Helper()
		full := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("etc/odoo.conf", "[options]\nadmin_passwd = a;b#c%(d)s\naddons_path = /opt/odoo/addons,\n    /opt/extra , custom\ndb_name = shop\n; comment\nstray line\n")
	write("etc/several.conf", "[options]\ndb_name = a,b\naddons_path = None\n")
	for _, c := range []struct {
		args     []string
		paths    []string
		database string
		failed   bool
	}{
		{[]string{"odoo"}, nil, "", false},
		{[]string{"python3", "odoo-bin", "-c", "/etc/odoo.conf"}, []string{"/opt/odoo/addons", "/opt/extra", "/srv/custom"}, "shop", false},
		{[]string{"odoo", "--config=../etc/odoo.conf", "-d", "other", "--addons-path=/a,b"}, []string{"/a", "/srv/b"}, "other", false},
		{[]string{"odoo", "--config", "/etc/odoo.conf", "-dother"}, []string{"/opt/odoo/addons", "/opt/extra", "/srv/custom"}, "other", false},
		{[]string{"odoo", "-c", "/etc/several.conf"}, nil, "", false},
		{[]string{"odoo", "-c", "/etc/missing.conf", "--database=x"}, nil, "x", true},
	} {
		s, err := ReadSettings(root, "/srv", c.args)
		if !slices.Equal(s.AddonsPaths, c.paths) || s.Database != c.database || (err != nil) != c.failed {
			t.Errorf("%v: %+v, %v", c.args, s, err)
		}
	}
}

func TestVersionIsThatOfTheFramesOdoo(t *testing.T) {
	for line, want := range map[string]string{
		"version_info = (19, 0, 0, FINAL, 0, '')":         "19.0",
		"version_info = ('saas~18', 3, 0, FINAL, 0, 'e')": "saas~18.3",
		"version = 1": "",
	} {
		root := t.TempDir()
		if err := os.MkdirAll(filepath.Join(root, "opt/odoo"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "opt/odoo/release.py"), []byte("# x\n"+line+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		frames := []Frame{
			{Module: "odoo.addons.web.controllers.home", File: "/opt/odoo/addons/web/controllers/home.py"},
			{Module: "odoo.service.server", File: "/opt/odoo/service/server.py"},
			{Module: "threading", File: "/usr/lib/python3.11/threading.py"},
		}
		if got := ReadVersion(root, frames); got != want {
			t.Errorf("%s: %q", line, got)
		}
		if got := ReadVersion(root, frames[2:]); got != "" {
			t.Errorf("a stack without Odoo has version %q", got)
		}
	}
}
