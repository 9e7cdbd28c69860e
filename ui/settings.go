package ui

import (
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	"netaudit/api"
)

// Setting is one value of the configuration in effect. Nothing secret is a setting: keys and tokens lie in files of their own.
type Setting struct {
	Key    string // as in the configuration file
	Value  string // "" for an empty one
	Origin string // file:line, --flag or $VARIABLE; "" for the default
}

// settingMeanings explain every key of the configuration.
var settingMeanings = map[string]string{
	"state":          "Directory of the log, its anchor, seals and keys",
	"listen":         "Address of these pages and of the API",
	"interfaces":     "Network interfaces that are watched; empty: every one that is up and has an address",
	"netns":          "Network namespace that is watched instead of netaudit's own",
	"filter":         "What the capture takes, in tcpdump's language; what it leaves out is never seen",
	"install":        "host: on the Odoo host, with processes; mirror: at a mirror port, packets only",
	"capture":        "immediate: every packet at once; ring: for busy ports, some milliseconds later",
	"workers":        "How many goroutines share the flows of an interface",
	"nice":           "How far netaudit stands back when processors are short, 0 to 19",
	"memory_mb":      "MiB below which netaudit's own memory stays while no more is needed; 0: no bound",
	"kernel_hook":    "Whether the kernel records who calls, at the moment of the call; otherwise the calling thread is searched for",
	"redaction":      "standard, or strict: paths, internal names, client addresses and user agents become keyed hashes",
	"addons_paths":   "Addons directories besides those of running Odoo processes",
	"party_files":    "Files that extend the catalogue of parties",
	"keep_days":      "Days after which the content of rows is taken away; 0: kept for ever",
	"keep_mb":        "Size in MiB from which the oldest days go; 0: no limit",
	"legal_hold":     "Days that are kept whatever else is said",
	"acknowledged":   "Damaged logs before this one that are no alarm any more",
	"witnesses":      "Public keys of those who hold the log's history outside and may cosign it",
	"local_networks": "Networks that count as local besides this host's own addresses",
}

// SettingMeaning explains a key of the configuration in English; "" for one that is not explained.
func SettingMeaning(key string) string { return settingMeanings[key] }

type settingLine struct {
	Setting
	Meaning string
}

type settingsContent struct {
	Settings      []settingLine
	LicenseAddons []string
	LicenseHosts  []string
	Budget        int64
	Key, SealKey  string
	Origin        string
	Tokens        []api.Token
}

// settings shows the configuration in effect. It changes nothing, and looking at it is a row.
func (p *pages) settings(c *gin.Context) {
	reader, _ := p.o.Tokens.Reader(c.Request)
	tokens, err := p.o.Tokens.List()
	if err != nil {
		p.failed(c, "read the tokens", err)
		return
	}
	p.o.Access.Note(c.Request.Context(), c.Request, api.AccessSetting, fmt.Sprintf("%q looked at the configuration", reader.Name))
	content := settingsContent{
		LicenseAddons: p.o.Rules.LicenseAddons, LicenseHosts: p.o.Rules.LicenseHosts, Budget: p.o.Rules.DailyBudget,
		Key: p.o.Ledger.VerifierKey(), SealKey: p.o.Ledger.SealVerifierKey(), Origin: p.o.Ledger.Origin(), Tokens: tokens,
	}
	w := p.words(c)
	for _, s := range p.o.Settings {
		meaning := ""
		if text := settingMeanings[s.Key]; text != "" {
			meaning = w.Text(text)
		}
		content.Settings = append(content.Settings, settingLine{s, meaning})
	}
	p.show(c, http.StatusOK, "settings", "Settings", "settings", content)
}
