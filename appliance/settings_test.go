package appliance

import (
	"os"
	"path/filepath"
	"testing"

	"netaudit/ui"
)

func TestEverySettingSaysWhereItComesFromAndWhatItMeans(t *testing.T) {
	path := filepath.Join(t.TempDir(), "netaudit.yaml")
	text := "# the ring\ncapture: ring\n\nworkers: 1   # the default, and said\ninterfaces:\n  - eth0\n  - lo\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := LoadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Setting{
		"capture": {"capture", "ring", path + ":2"}, "workers": {"workers", "1", path + ":4"}, "interfaces": {"interfaces", "eth0, lo", path + ":5"}, "nice": {"nice", "10", ""}, "filter": {"filter", "", ""},
	}
	list := c.Settings()
	for _, s := range list {
		if w, ok := want[s.Key]; ok && s != w {
			t.Errorf("%+v, want %+v", s, w)
		}
		if ui.SettingMeaning(s.Key) == "" {
			t.Errorf("nothing explains %s", s.Key)
		}
	}
	if len(list) < 15 {
		t.Errorf("only %d settings", len(list))
	}
	if other := DefaultConfig(); other.Origins["capture"] != "" {
		t.Error("the origins of one configuration are those of another")
	}
}
