package dissect

// dohHosts are public resolvers that answer DNS over HTTPS (RFC 8484). Below each of them every name counts: many give every customer one. What
// is asked there cannot be seen; that it is asked can.
var dohHosts = map[string]bool{
	"dns.google": true, "dns64.dns.google": true, "cloudflare-dns.com": true, "one.one.one.one": true, "cloudflare-gateway.com": true,
	"quad9.net": true, "doh.opendns.com": true, "doh.umbrella.com": true, "dns.nextdns.io": true, "dns.adguard.com": true, "dns.adguard-dns.com": true,
	"adguard-dns.com": true, "doh.cleanbrowsing.org": true, "controld.com": true, "dns.mullvad.net": true, "doh.mullvad.net": true, "dns0.eu": true,
	"dns.sb": true, "doh.sb": true, "doh.libredns.gr": true, "dnsforge.de": true, "dns.digitale-gesellschaft.ch": true, "dns3.digitalcourage.de": true,
	"doh.ffmuc.net": true, "doh.applied-privacy.net": true, "dns.switch.ch": true, "dns.alidns.com": true, "doh.pub": true, "doh.360.cn": true,
	"dns.twnic.tw": true, "doh.dns.apple.com": true, "doh.xfinity.com": true, "dns.wikimedia.org": true, "wikimedia-dns.org": true,
	"freedns.controld.com": true,
}

// isDoHHost says that a name is one of theirs.
func isDoHHost(name string) bool {
	for i, labels := len(name)-1, 0; i >= 0; i-- {
		if name[i] != '.' {
			continue
		}
		if dohHosts[name[i+1:]] {
			return true
		}
		if labels++; labels == mostDoHLabels {
			return false
		}
	}
	return dohHosts[name]
}

// mostDoHLabels is how many labels the longest of these names has.
const mostDoHLabels = 4
