package appliance

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"netaudit/dissect/dns"
	"netaudit/ledger"
)

// messageComparisons are about requests and answers inside conversations.
var messageComparisons = []comparison{
	{
		name: "DNS transactions", // but for multicast, where tshark lists what answers add too
		ours: func(e ledger.Event) []string {
			if e.Kind != "dns" || e.DNS.RCode == "" || e.Dst.Port == multicastDNS {
				return nil
			}
			answers := slices.Clone(e.DNS.Answers)
			if slices.Contains(otherTexts, e.DNS.Type) {
				answers = nil
			}
			for i, a := range answers {
				answers[i] = a[strings.LastIndexByte(a, ' ')+1:]
			}
			slices.Sort(answers)
			return one(fmt.Sprintf("%04x %s %s %s %s", e.DNS.ID, e.DNS.Name, e.DNS.Type, e.DNS.RCode, strings.Join(answers, ",")))
		},
		theirs: func(f frame) []string {
			if !f.answer() || f.last("udp.dstport") == strconv.Itoa(multicastDNS) {
				return nil
			}
			var answers []string
			for _, field := range []string{"dns.a", "dns.aaaa", "dns.cname", "dns.ptr.domain_name", "dns.mx.mail_exchange", "dns.srv.target"} {
				for _, a := range f[field] {
					answers = append(answers, strings.ToLower(a))
				}
			}
			if slices.Contains(otherTexts, dns.TypeName(number(f.first("dns.qry.type")))) {
				answers = nil
			}
			slices.Sort(answers)
			code, _ := strconv.Atoi(f.first("dns.flags.rcode"))
			kind, _ := strconv.Atoi(f.first("dns.qry.type"))
			name := strings.ToLower(f.first("dns.qry.name"))
			return one(fmt.Sprintf("%s %s %s %s %s", strings.TrimPrefix(f.first("dns.id"), "0x"), name, dns.TypeName(uint16(kind)), dns.RCodeName(uint16(code)), strings.Join(answers, ",")))
		},
	},
	{
		name: "times to live",
		ours: func(e ledger.Event) []string {
			if e.Kind != "dns" || len(e.DNS.Answers) == 0 {
				return nil
			}
			return one(fmt.Sprintf("%04x %s %d", e.DNS.ID, e.DNS.Name, e.DNS.TTL))
		},
		theirs: func(f frame) []string {
			n, _ := strconv.Atoi(f.first("dns.count.answers"))
			if !f.answer() || n == 0 {
				return nil
			}
			least := uint64(1 << 32)
			for _, text := range f["dns.resp.ttl"][:min(n, len(f["dns.resp.ttl"]))] {
				ttl, _ := strconv.ParseUint(text, 10, 32)
				least = min(least, ttl)
			}
			return one(fmt.Sprintf("%s %s %d", strings.TrimPrefix(f.first("dns.id"), "0x"), strings.ToLower(f.first("dns.qry.name", "dns.resp.name")), least)) // multicast answers have no question
		},
	},
	{
		name: "HTTP requests",
		ours: func(e ledger.Event) []string {
			if e.Kind != "http" || e.HTTP.Method == "" { // a response whose request was not captured
				return nil
			}
			return one(e.HTTP.Method + " " + e.HTTP.Host + " " + e.HTTP.Path + " HTTP/" + e.HTTP.Version)
		},
		theirs: func(f frame) []string {
			var list []string
			methods, hosts, uris, versions := f["http.request.method"], f["http.host"], f["http.request.uri"], f["http.request.version"]
			if len(uris) != len(methods) || len(versions) != len(methods) {
				return one(fmt.Sprintf("%q %q %q", methods, uris, versions))
			}
			for i := range methods { // pipelined requests share a packet
				host := ""
				if len(hosts) == len(methods) {
					host = hosts[i]
				}
				list = append(list, requestLine(methods[i], host, uris[i])+" "+versions[i])
			}
			for i, method := range f["http2.headers.method"] {
				host, path := "", ""
				if i < len(f["http2.headers.authority"]) {
					host = f["http2.headers.authority"][i]
				} else if j := slices.Index(f["http2.header.name"], "host"); j >= 0 { // proxies pass the field of HTTP/1 on
					host = f["http2.header.value"][j]
				}
				if i < len(f["http2.headers.path"]) {
					path = f["http2.headers.path"][i]
				}
				list = append(list, requestLine(method, host, path)+" HTTP/2")
			}
			return list
		},
	},
	{
		name: "HTTP statuses",
		ours: func(e ledger.Event) []string {
			if e.Kind != "http" || e.HTTP.Status == 0 {
				return nil
			}
			return one(strconv.Itoa(e.HTTP.Status))
		},
		theirs: func(f frame) []string {
			return slices.DeleteFunc(slices.Concat(f["http.response.code"], f["http2.headers.status"]), func(code string) bool { return code[0] == '1' && code != "101" })
		},
	},
	{
		name: "lengths of HTTP bodies", once: true,
		ours: func(e ledger.Event) []string {
			if e.Kind != "http" || e.HTTP.Version == "2" {
				return nil
			}
			var list []string
			if e.HTTP.RequestBytes > 0 {
				list = append(list, fmt.Sprintf("%d %d", e.Src.Port, e.HTTP.RequestBytes))
			}
			if e.HTTP.ResponseBytes > 0 {
				list = append(list, fmt.Sprintf("%d %d", e.Src.Port, e.HTTP.ResponseBytes))
			}
			return list
		},
		theirs: func(f frame) []string {
			var list []string
			from, to := f.ports()
			if len(f["http.response.code"]) > 0 {
				from = to
			}
			for _, n := range f["http.content_length"] {
				if n != "0" {
					list = append(list, from+" "+n)
				}
			}
			if sum := f.sum("http.chunk_size"); sum > 0 {
				list = append(list, fmt.Sprintf("%s %d", from, sum))
			}
			return list
		},
	},
	{
		name: "programs that name themselves",
		ours: func(e ledger.Event) []string {
			if !closed(e) || e.Service == nil || e.Channel == "postgres" {
				return nil
			}
			return slices.DeleteFunc([]string{e.Service.Client, e.Service.Server}, func(s string) bool { return s == "" })
		},
		theirs: func(f frame) []string {
			if !f.has("ssh.protocol", "mysql.version") {
				return nil
			}
			return one(f.first("ssh.protocol", "mysql.version"))
		},
	},
}

const multicastDNS = 5353

// otherTexts are the types of records for which tshark has other texts than zone files.
var otherTexts = []string{"TXT", "HTTPS", "SOA"}

// answer says that the packet is a DNS response of its own, not one that an ICMP message quotes.
func (f frame) answer() bool {
	return f.has("dns.id") && !f.has("icmp.type") && (f.first("dns.flags.response") == "1" || f.first("dns.flags.response") == "True")
}

func (f frame) sum(field string) (n uint64) {
	for _, text := range f[field] {
		v, _ := strconv.ParseUint(text, 0, 64)
		n += v
	}
	return n
}

// requestLine writes a request as our rows do: the host without its port, the path without its query.
func requestLine(method, host, uri string) string {
	path, _, _ := strings.Cut(uri, "?")
	if authority, ok := strings.CutPrefix(path, "http://"); ok {
		path = "/"
		if i := strings.IndexByte(authority, '/'); i >= 0 {
			authority, path = authority[:i], authority[i:]
		}
		host = authority
	}
	if method == "CONNECT" {
		host, path = path, ""
	}
	host, _, _ = strings.Cut(host, ":")
	if strings.Contains(path, "@") {
		path = "/unsubscribe/<mail>/x"
	}
	return method + " " + host + " " + path
}
