package ledgertest

import "strings"

// kind is one sort of call that this installation makes.
type kind struct {
	addon, version, author, license string
	behalf                          string   // the addon whose helper it is
	program                         string   // instead of an addon
	role                            string   // of the Odoo process
	model, method                   string   // of the addon
	library                         []string // packages between addon and socket, innermost first
	line                            int

	host, ip, source string
	port             int
	channel          string
	class, party     string
	rule             string
	out, in          [2]int64 // bytes, from and to
	direction        string
	conflict         string
}

type weighted struct {
	kind
	weight int
}

var (
	requestsLibrary = []string{"ssl", "socket", "http.client", "urllib3.connection", "urllib3.connectionpool", "requests.adapters", "requests.sessions", "requests.api"}
	urllibLibrary   = []string{"ssl", "socket", "http.client", "urllib.request"}
	smtpLibrary     = []string{"socket", "smtplib"}
	imapLibrary     = []string{"ssl", "socket", "imaplib"}
	httpxLibrary    = []string{"ssl", "httpcore._backends.sync", "httpcore._sync.connection", "httpx._transports.default", "httpx._client"}
)

// The calls that happen on a schedule.
var (
	licenseCheck = kind{
		addon: "mit_license", version: "19.0.3.2.0", author: "MIT", license: "OPL-1", role: "odoo_cron", model: "mit.license", method: "_cron_renew_token", library: requestsLibrary, line: 118,
		host: "license.mit-odoo.de", ip: "203.0.113.10", port: 443, channel: "https", class: "mit_bound", party: "MIT", rule: "mit/domain:mit-odoo.de", out: [2]int64{980, 1240}, in: [2]int64{3900, 4600},
	}
	fetchMail = kind{
		addon: "mit_maildesk", version: "19.0.7.4.2", author: "MIT", license: "OPL-1", role: "odoo_cron", model: "maildesk.account", method: "fetch", library: imapLibrary, line: 241,
		host: "imap.mail.example", ip: "203.0.113.21", port: 993, channel: "imap", class: "third_party", party: "mail.example", rule: "default/domain", out: [2]int64{700, 1900}, in: [2]int64{2400, 180_000},
	}
	warranty = kind{
		addon: "mail", version: "19.0.1.19", author: "Odoo S.A.", license: "LGPL-3", role: "odoo_cron", model: "publisher_warranty.contract", method: "update_notification", library: requestsLibrary, line: 92,
		host: "services.odoo.com", ip: "203.0.113.37", port: 443, channel: "https", class: "third_party", party: "Odoo S.A.", rule: "odoo-s-a/domain:odoo.com", out: [2]int64{1400, 1700}, in: [2]int64{4300, 5200},
	}
	rates = kind{
		addon: "currency_rates", version: "19.0.1.0.0", author: "OCA", license: "AGPL-3", role: "odoo_cron", model: "res.currency", method: "update_rates", library: urllibLibrary, line: 33,
		host: "rates6.example", ip: "2001:db8:77::36", port: 443, channel: "https", class: "third_party", party: "rates6.example", rule: "default/domain", out: [2]int64{600, 700}, in: [2]int64{8200, 9100},
	}
	apt = kind{
		program: "apt-get", role: "other", host: "packages.example", ip: "203.0.113.61", port: 443, channel: "https", class: "third_party", party: "packages.example", rule: "default/domain", out: [2]int64{900, 1600}, in: [2]int64{90_000, 4_000_000},
	}
	ntp = kind{
		program: "chronyd", role: "other", ip: "203.0.113.62", host: "ntp.time.example", source: "dns", port: 123, channel: "ntp", class: "third_party", party: "time.example", rule: "default/domain", out: [2]int64{48, 48}, in: [2]int64{48, 48},
	}
	// What nobody told the customer about.
	upload = kind{
		addon: "mit_maildesk", version: "19.0.7.4.2", author: "MIT", license: "OPL-1", behalf: "http_connector", role: "odoo_http", model: "maildesk.message", method: "index_attachments", library: []string{"ssl", "socket"}, line: 377,
		host: "sync.mit-odoo.de", ip: "203.0.113.11", port: 443, channel: "https", class: "mit_bound", party: "MIT", rule: "mit/domain:mit-odoo.de", out: [2]int64{140_000, 190_000}, in: [2]int64{1900, 2600},
		conflict: "module name says odoo.addons.mail, file lies in mit_maildesk",
	}
)

// pool is what happens at any time, with its frequency.
func pool(variant string) (list []weighted, total int) {
	list = []weighted{
		{kind{
			addon: "mit_maildesk", version: "19.0.7.4.2", author: "MIT", license: "OPL-1", role: "odoo_http", model: "maildesk.message", method: "send", library: smtpLibrary, line: 164,
			host: "smtp.mail.example", ip: "203.0.113.20", port: 587, channel: "smtp", class: "third_party", party: "mail.example", rule: "default/domain", out: [2]int64{4_000, 260_000}, in: [2]int64{4200, 5200},
		}, 24},
		{kind{
			addon: "mit_maildesk", version: "19.0.7.4.2", author: "MIT", license: "OPL-1", role: "odoo_http", model: "maildesk.message", method: "summarise", library: httpxLibrary, line: 301,
			host: "api.openai.com", ip: "203.0.113.30", port: 443, channel: "https", class: "third_party", party: "OpenAI", rule: "openai/domain:openai.com", out: [2]int64{3_000, 48_000}, in: [2]int64{3_500, 30_000},
		}, 16},
		{kind{
			addon: "webshop_payment", version: "19.0.2.1", author: "Webshop GmbH", license: "LGPL-3", role: "odoo_http", model: "payment.transaction", method: "_send_payment_request", library: requestsLibrary, line: 77,
			host: "api.stripe.com", ip: "203.0.113.34", port: 443, channel: "https", class: "third_party", party: "Stripe", rule: "stripe/domain:stripe.com", out: [2]int64{2_200, 3_800}, in: [2]int64{4_600, 7_800},
		}, 11},
		{kind{
			addon: "http_connector", version: "19.0.1.3.0", author: "OCA", license: "AGPL-3", behalf: "shipping_labels", role: "odoo_http", model: "http.connector", method: "post", library: requestsLibrary, line: 48,
			host: "api.dhl.com", ip: "203.0.113.32", port: 443, channel: "https", class: "third_party", party: "DHL", rule: "dhl/domain:dhl.com", out: [2]int64{3_100, 9_000}, in: [2]int64{24_000, 96_000},
		}, 10},
		{kind{
			addon: "partner_enrich", version: "19.0.1.0.2", author: "Odoo Partner AG", license: "OPL-1", role: "odoo_http", model: "res.partner", method: "enrich", library: requestsLibrary, line: 59,
			host: "api.crm-data.example", ip: "203.0.113.31", port: 443, channel: "https", class: "third_party", party: "crm-data.example", rule: "default/domain", out: [2]int64{1_600, 2_200}, in: [2]int64{5_000, 14_000},
		}, 7},
		{kind{program: "postgres", role: "other", ip: "10.0.0.5", host: "db.customer.example", source: "dns", port: 5432, channel: "postgres", class: "internal", party: "internal", rule: "internal/range:10.0.0.0/8", out: [2]int64{4_000, 90_000}, in: [2]int64{20_000, 900_000}}, 14},
		{kind{program: "odoo-bin", role: "odoo_http", direction: "inbound", host: "", ip: "10.0.3.7", port: 8069, channel: "http", class: "internal", party: "internal", rule: "internal/range:10.0.0.0/8", out: [2]int64{700, 3_000}, in: [2]int64{4_000, 220_000}}, 18},
	}
	if variant == Hostile {
		list = append(hostile(), list...)
	}
	for _, w := range list {
		total += w.weight
	}
	return list, total
}

// hostileText stands for what the wire, a certificate or an addon's manifest may say.
const hostileText = `<script>alert(1)</script>"'><img src=x onerror=alert(2)>` + "\u202egnp.exe\u2066\u0000\u001b[31m{{.}}"

// hostile are calls whose every text wants to be something else.
func hostile() []weighted {
	long := strings.Repeat("very-long-name.", 700) + "example" // 10 kB
	right := "\u202e\u05d0\u05d1\u05d2-\u0627\u0628\u062c.example"
	base := kind{
		addon: hostileText, version: hostileText, author: hostileText, license: hostileText, behalf: hostileText, role: "odoo_http", model: hostileText, method: hostileText, library: []string{hostileText}, line: 1,
		host: hostileText, ip: "203.0.113.66", port: 443, channel: "https", class: "third_party", party: hostileText, rule: hostileText, out: [2]int64{1, 1 << 50}, in: [2]int64{0, 1}, conflict: hostileText,
	}
	list := []weighted{{base, 30}}
	for _, name := range []string{long, right, " ", "//evil.example/x", "javascript:alert(3)", strings.Repeat("&#x3c;", 50), strings.Repeat("\u0301", 500) + "zalgo.example"} {
		k := base
		k.host, k.addon, k.party, k.class = name, name, name, "mit_bound"
		list = append(list, weighted{k, 6})
	}
	return list
}
