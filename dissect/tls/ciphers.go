package tls

import (
	stdtls "crypto/tls"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// CipherName returns the IANA name of a cipher suite, or its number in hex when it is not a common one.
func CipherName(id uint16) string {
	if name, ok := suites()[id]; ok {
		return name
	}
	return fmt.Sprintf("0x%04X", id)
}

// suites joins what crypto/tls knows, which makes its lists anew at every call, with the others.
var suites = sync.OnceValue(func() map[uint16]string {
	all := maps.Clone(otherSuites)
	for _, s := range slices.Concat(stdtls.CipherSuites(), stdtls.InsecureCipherSuites()) {
		all[s.ID] = s.Name
	}
	return all
})

// otherSuites are suites that servers still choose and that crypto/tls does not know.
var otherSuites = map[uint16]string{
	0x0033: "TLS_DHE_RSA_WITH_AES_128_CBC_SHA", 0x0039: "TLS_DHE_RSA_WITH_AES_256_CBC_SHA",
	0x003d: "TLS_RSA_WITH_AES_256_CBC_SHA256", 0x0067: "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256", 0x006b: "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256",
	0x009e: "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", 0x009f: "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",
	0x1304: "TLS_AES_128_CCM_SHA256", 0x1305: "TLS_AES_128_CCM_8_SHA256",
	0xc024: "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384", 0xc028: "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384",
	0xccaa: "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256", 0xc0ac: "TLS_ECDHE_ECDSA_WITH_AES_128_CCM", 0xc0ad: "TLS_ECDHE_ECDSA_WITH_AES_256_CCM",
}
