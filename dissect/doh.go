package dissect

import "strings"

// dohHosts are public resolvers that answer DNS over HTTPS (RFC 8484). Below each of them every name counts: many give every customer one. What
// is asked there cannot be seen; that it is asked can.
var dohHosts = []string{
	"dns.google", "dns64.dns.google", "cloudflare-dns.com", "one.one.one.one", "cloudflare-gateway.com", "quad9.net", "doh.opendns.com", "doh.umbrella.com",
	"dns.nextdns.io", "dns.adguard.com", "dns.adguard-dns.com", "adguard-dns.com", "doh.cleanbrowsing.org", "controld.com", "dns.mullvad.net", "doh.mullvad.net",
	"dns0.eu", "dns.sb", "doh.sb", "doh.libredns.gr", "dnsforge.de", "dns.digitale-gesellschaft.ch", "dns3.digitalcourage.de", "doh.ffmuc.net", "doh.applied-privacy.net",
	"dns.switch.ch", "dns.alidns.com", "doh.pub", "doh.360.cn", "dns.twnic.tw", "doh.dns.apple.com", "doh.xfinity.com", "dns.wikimedia.org", "wikimedia-dns.org", "freedns.controld.com",
}

// isDoHHost says that a name is one of theirs.
func isDoHHost(name string) bool {
	for _, h := range dohHosts {
		if rest, ok := strings.CutSuffix(name, h); ok && (rest == "" || rest[len(rest)-1] == '.') {
			return true
		}
	}
	return false
}
