package tls

import "golang.org/x/crypto/cryptobyte"

// versionECH is that of the configurations of RFC 9849; others are for other drafts, with other contents.
const versionECH = 0xfe0d

// mostConfigs bounds the configurations that are read of one list: servers give one, or two while keys change.
const mostConfigs = 8

// ECHConfig is what tells a client that uses a configuration for Encrypted Client Hello: its hello names the configuration's id, and the public name
// stands in place of the true one (RFC 9849 §4, §6.1).
type ECHConfig struct {
	ID         uint8
	PublicName []byte // as it was sent, see CleanName
}

// EachECHConfig reads a list of configurations as service records carry it (RFC 9848), at most 8, and shows each to yield. One of another version, or one that
// is damaged, is passed over.
func EachECHConfig(list []byte, yield func(ECHConfig)) {
	s := cryptobyte.String(list)
	var configs cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&configs) {
		return
	}
	for range mostConfigs {
		var version uint16
		var contents cryptobyte.String
		if !configs.ReadUint16(&version) || !configs.ReadUint16LengthPrefixed(&contents) {
			return
		}
		if c, ok := echConfig(contents); ok && version == versionECH {
			yield(c)
		}
	}
}

func echConfig(s cryptobyte.String) (c ECHConfig, ok bool) {
	const kem, longestPublicName = 2, 1 // bytes of fields that say nothing here
	var key, suites, name cryptobyte.String
	ok = s.ReadUint8(&c.ID) && s.Skip(kem) && s.ReadUint16LengthPrefixed(&key) && s.ReadUint16LengthPrefixed(&suites) &&
		s.Skip(longestPublicName) && s.ReadUint8LengthPrefixed(&name) && len(name) > 0
	c.PublicName = name
	return c, ok
}

// encryptedHello reads the extension of a client that calls (RFC 9849 §5): the id of the configuration that it says it uses. The hello inside has the extension too, as a
// single byte, and is itself never seen.
func (h *ClientHello) encryptedHello(data cryptobyte.String) {
	const outer, suite = 0, 4
	var kind uint8
	h.ECH = true
	if data.ReadUint8(&kind) && kind == outer && data.Skip(suite) {
		data.ReadUint8(&h.ECHConfig)
	}
}
