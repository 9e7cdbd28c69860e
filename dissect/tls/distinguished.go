package tls

import (
	"encoding/asn1"
	"encoding/hex"
	"slices"
	"strings"
	"unicode/utf16"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// maskedMail stands for the value of an attribute that holds a mail address.
const maskedMail = "***"

// attributeNames are the names of attributes (RFC 4514 §3, RFC 2985 §5.2.1, RFC 5280 appendix A.1). Others are written as numbers.
var attributeNames = map[string]string{
	"2.5.4.3": "CN", "2.5.4.5": "SERIALNUMBER", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.9": "STREET", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.17": "POSTALCODE",
	"0.9.2342.19200300.100.1.25": "DC", "0.9.2342.19200300.100.1.1": "UID", "1.2.840.113549.1.9.1": "emailAddress",
}

// distinguishedName writes a name as RFC 4514 says: the last part first.
func distinguishedName(s cryptobyte.String) string {
	const mostParts = 64
	var parts []string
	var set cryptobyte.String
	for len(parts) < mostParts && s.ReadASN1(&set, casn1.SET) {
		var attributes []string
		var attribute cryptobyte.String
		for len(attributes) < mostParts && set.ReadASN1(&attribute, casn1.SEQUENCE) {
			if text, ok := attributeText(attribute); ok {
				attributes = append(attributes, text)
			}
		}
		parts = append(parts, strings.Join(attributes, "+"))
	}
	slices.Reverse(parts)
	return strings.Join(parts, ",")
}

func attributeText(s cryptobyte.String) (string, bool) {
	var id asn1.ObjectIdentifier
	var value cryptobyte.String
	var tag casn1.Tag
	if !s.ReadASN1ObjectIdentifier(&id) {
		return "", false
	}
	element := s
	if !s.ReadAnyASN1(&value, &tag) {
		return "", false
	}
	kind := id.String()
	name, known := attributeNames[kind]
	if !known {
		name = kind
	}
	text, ok := stringOf(value, tag)
	switch {
	case strings.Contains(text, "@") || !ok && strings.Contains(string(value), "@"):
		return name + "=" + maskedMail, true
	case !ok:
		return name + "=#" + hex.EncodeToString(element[:min(len(element), LongestText)]), true
	}
	return name + "=" + escapeValue(text), true
}

// stringOf reads the kinds of strings that names are made of (RFC 5280 §4.1.2.4).
func stringOf(b cryptobyte.String, tag casn1.Tag) (string, bool) {
	const numeric, visible, universal, bmp = casn1.Tag(18), casn1.Tag(26), casn1.Tag(28), casn1.Tag(30)
	switch tag {
	case casn1.UTF8String, casn1.PrintableString, casn1.IA5String, numeric, visible:
		return string(b), true
	case casn1.T61String: // in practice Latin-1
		runes := make([]rune, len(b))
		for i, c := range b {
			runes[i] = rune(c)
		}
		return string(runes), true
	case bmp:
		units := make([]uint16, len(b)/2)
		for i := range units {
			units[i] = uint16(b[2*i])<<8 | uint16(b[2*i+1])
		}
		return string(utf16.Decode(units)), true
	case universal:
		runes := make([]rune, len(b)/4)
		for i := range runes {
			runes[i] = rune(b[4*i])<<24 | rune(b[4*i+1])<<16 | rune(b[4*i+2])<<8 | rune(b[4*i+3])
		}
		return string(runes), true
	}
	return "", false
}

// escapeValue protects what has a meaning in a name's text (RFC 4514 §2.4).
func escapeValue(text string) string {
	var b strings.Builder
	for i, r := range text {
		if strings.ContainsRune(`"+,;<>\`, r) || i == 0 && (r == ' ' || r == '#') || i == len(text)-1 && r == ' ' {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
