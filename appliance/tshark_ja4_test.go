package appliance

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"netaudit/ledger"
)

// ja4Comparison computes JA4 anew from what tshark lists, as FoxIO's technical_details/JA4.md says: its version 4.0 does not compute it.
var ja4Comparison = comparison{
	name: "JA4", once: true,
	ours: func(e ledger.Event) []string {
		if !closed(e) || e.TLS == nil || e.TLS.JA4 == "" {
			return nil
		}
		return one(clientPort(e) + " " + e.TLS.JA4)
	},
	theirs: func(f frame) []string {
		if !f.hello(clientHello) {
			return nil
		}
		from, _ := f.ports()
		return one(from + " " + f.ja4())
	},
}

func (f frame) ja4() string {
	transport, sni, version := "t", "i", "12"
	switch {
	case f.has("dtls.handshake.type"):
		transport = "d"
	case f.innermost("tcp", "udp") == "udp" && !strings.Contains(f.first("frame.protocols"), ":openvpn"):
		transport = "q"
	}
	if slices.Contains(f.handshakes("extension.type"), "0") {
		sni = "d"
	}
	offered := map[string]bool{f.handshake("version"): true}
	if v := f.handshakes("extensions.supported_version"); len(v) > 0 {
		clear(offered)
		for _, one := range v {
			offered[one] = true
		}
	}
	for _, v := range []struct{ number, name string }{{"0x0301", "10"}, {"0x0302", "11"}, {"0x0303", "12"}, {"0x0304", "13"}, {"0xfeff", "d1"}, {"0xfefd", "d2"}, {"0xfefc", "d3"}} {
		if offered[v.number] {
			version = v.name
		}
	}
	ciphers, extensions := f.hexadecimal("ciphersuite"), f.hexadecimal("extension.type")
	alpn := f.handshake("extensions_alpn_str") + "00"
	if n := len(alpn) - len("00"); n > 0 {
		alpn = alpn[:1] + alpn[n-1:n]
	}
	head := fmt.Sprintf("%s%s%s%02d%02d%s", transport, version, sni, len(ciphers), len(extensions), alpn)
	extensions = slices.DeleteFunc(extensions, func(e string) bool { return e == "0000" || e == "0010" })
	slices.Sort(ciphers)
	slices.Sort(extensions)
	behind := strings.Join(extensions, ",")
	if algorithms := f.signatureAlgorithms(); len(algorithms) > 0 {
		behind += "_" + strings.Join(algorithms, ",")
	}
	return head + "_" + hash12(strings.Join(ciphers, ",")) + "_" + hash12(behind)
}

// signatureAlgorithms are those of the extension of that name. tshark puts the lists of others that hold such numbers into the same field: they follow each other as the extensions do.
func (f frame) signatureAlgorithms() []string {
	const own, delegated, certificates = "13", "34", "50"
	at, lists := 0, f.handshakes("sig_hash_alg_len")
	for _, e := range f.handshakes("extension.type") {
		if e != own && e != delegated && e != certificates || len(lists) == 0 {
			continue
		}
		n, _ := strconv.Atoi(lists[0])
		lists = lists[1:]
		if e == own {
			return hexadecimal(f.handshakes("sig_hash_alg")[at : at+n/2])
		}
		at += n / 2
	}
	return nil
}

func (f frame) hexadecimal(field string) []string { return hexadecimal(f.handshakes(field)) }

// hexadecimal are numbers as four digits, without the reserved ones that mean nothing (RFC 8701).
func hexadecimal(numbers []string) (list []string) {
	for _, text := range numbers {
		n, _ := strconv.ParseUint(text, 0, 16)
		if n&0x0f0f != 0x0a0a || n>>8 != n&0xff {
			list = append(list, fmt.Sprintf("%04x", n))
		}
	}
	return list
}

func hash12(text string) string {
	if text == "" {
		return "000000000000"
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:6])
}
