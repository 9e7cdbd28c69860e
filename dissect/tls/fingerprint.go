package tls

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
)

// JA3 is the MD5 of version, ciphers, extensions, groups and point formats in the client's order, without GREASE
// (https://github.com/salesforce/ja3). Lower-case hex.
func (h *ClientHello) JA3() string {
	var b []byte
	b = strconv.AppendUint(b, uint64(h.LegacyVersion), 10)
	for _, list := range []Numbers{h.Ciphers, h.Extensions, h.Groups} {
		b = append(b, ',')
		b = appendDecimal(b, list.list())
	}
	b = append(b, ',')
	for i, f := range h.PointFormats {
		if i > 0 {
			b = append(b, '-')
		}
		b = strconv.AppendUint(b, uint64(f), 10)
	}
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:])
}

// JA3S is the server's counterpart: version, cipher, extensions.
func (h *ServerHello) JA3S() string {
	var b []byte
	b = strconv.AppendUint(b, uint64(h.Legacy), 10)
	b = append(b, ',')
	b = strconv.AppendUint(b, uint64(h.Cipher), 10)
	b = append(b, ',')
	b = appendDecimal(b, h.Extensions.list())
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:])
}

func appendDecimal(b []byte, list []uint16) []byte {
	first := true
	for _, v := range list {
		if IsGREASE(v) {
			continue
		}
		if !first {
			b = append(b, '-')
		}
		first = false
		b = strconv.AppendUint(b, uint64(v), 10)
	}
	return b
}

// JA4 is FoxIO's client fingerprint (JA4 itself is BSD-3-Clause; technical_details/JA4.md). transport is 't' TCP, 'q' QUIC, 'd' DTLS.
func (h *ClientHello) JA4(transport byte) string {
	ciphers, extensions := withoutGREASE(h.Ciphers.list()), withoutGREASE(h.Extensions.list())
	sni := byte('i')
	if h.Extensions.contains(extServerName) {
		sni = 'd'
	}
	head := fmt.Sprintf("%c%s%c%02d%02d%s", transport, ja4Version(h.HighestVersion()), sni, min(len(ciphers), 99), min(len(extensions), 99), ja4ALPN(h.ALPN))
	slices.Sort(ciphers)
	hashed := slices.DeleteFunc(extensions, func(e uint16) bool { return e == extServerName || e == extALPN })
	slices.Sort(hashed)
	text := hexList(hashed)
	if algs := withoutGREASE(h.SignatureAlgs.list()); len(algs) > 0 {
		text += "_" + hexList(algs)
	}
	cipherHash, extensionHash := truncatedHash(hexList(ciphers)), truncatedHash(text)
	if len(hashed) == 0 {
		extensionHash = emptyHash
	}
	return head + "_" + cipherHash + "_" + extensionHash
}

// emptyHash stands for an empty list.
const emptyHash = "000000000000"

func truncatedHash(text string) string {
	if text == "" {
		return emptyHash
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:6])
}

// withoutGREASE changes the list.
func withoutGREASE(list []uint16) []uint16 {
	return slices.DeleteFunc(list, IsGREASE)
}

func hexList(list []uint16) string {
	b := make([]byte, 0, 5*len(list))
	for i, v := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = hex.AppendEncode(b, []byte{byte(v >> 8), byte(v)})
	}
	return string(b)
}

func ja4Version(v uint16) string {
	switch v {
	case 0x0304:
		return "13"
	case 0x0303:
		return "12"
	case 0x0302:
		return "11"
	case 0x0301:
		return "10"
	case 0x0300:
		return "s3"
	case 0x0002:
		return "s2"
	case 0xfeff:
		return "d1"
	case 0xfefd:
		return "d2"
	case 0xfefc:
		return "d3"
	default:
		return "00"
	}
}

// ja4ALPN is the first and last character of the first protocol; of their hex form when they are not alphanumeric.
func ja4ALPN(list [][]byte) string {
	if len(list) == 0 || len(list[0]) == 0 {
		return "00"
	}
	name := list[0]
	first, last := name[0], name[len(name)-1]
	if alphanumeric(first) && alphanumeric(last) {
		return string([]byte{first, last})
	}
	text := hex.EncodeToString(name)
	return string([]byte{text[0], text[len(text)-1]})
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// Fingerprints computes JA3, JA3S and JA4 once for every kind of client and server: there are few kinds, and many calls. The zero
// value is ready. One goroutine owns it.
type Fingerprints struct {
	key    []byte
	client map[string]clientPrints
	server map[string]string
}

type clientPrints struct{ ja3, ja4 string }

// mostPrints bounds what is remembered of each; then everything is forgotten. A hostile client can make that happen as often as it likes and costs the
// time of computing.
const mostPrints = 2048

// Client returns JA3 and JA4 of a hello. transport is 't' TCP, 'q' QUIC, 'd' DTLS.
func (p *Fingerprints) Client(h *ClientHello, transport byte) (ja3, ja4 string) {
	k := append(p.key[:0], transport, byte(h.LegacyVersion>>8), byte(h.LegacyVersion))
	for _, list := range [...]Numbers{h.Versions, h.Ciphers, h.Extensions, h.Groups, h.SignatureAlgs} {
		k = append(append(k, byte(len(list)>>8), byte(len(list))), list...)
	}
	k = append(append(k, byte(len(h.PointFormats))), h.PointFormats...)
	if len(h.ALPN) > 0 {
		k = append(k, h.ALPN[0]...)
	}
	p.key = k
	if known, ok := p.client[string(k)]; ok {
		return known.ja3, known.ja4
	}
	if p.client == nil || len(p.client) >= mostPrints {
		p.client = map[string]clientPrints{}
	}
	prints := clientPrints{h.JA3(), h.JA4(transport)}
	p.client[string(k)] = prints
	return prints.ja3, prints.ja4
}

// Server returns JA3S of a hello.
func (p *Fingerprints) Server(h *ServerHello) string {
	k := append(p.key[:0], byte(h.Legacy>>8), byte(h.Legacy), byte(h.Cipher>>8), byte(h.Cipher))
	k = append(k, h.Extensions...)
	p.key = k
	if known, ok := p.server[string(k)]; ok {
		return known
	}
	if p.server == nil || len(p.server) >= mostPrints {
		p.server = map[string]string{}
	}
	ja3s := h.JA3S()
	p.server[string(k)] = ja3s
	return ja3s
}
