package appliance

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"netaudit/dissect/tls"
	"netaudit/ledger"
)

const (
	clientHello        = "1"
	serverHello        = "2"
	helloVerifyRequest = "3"
	firstClientPort    = 32768 // of the captures: Linux takes ephemeral ports from there on
	helloRetry         = "cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c"
)

// handshake returns the value of a field of TLS, over whatever it travels: tshark has other names for those of DTLS.
func (f frame) handshake(field string) string {
	return f.first("tls.handshake."+field, "dtls.handshake."+field)
}

func (f frame) handshakes(field string) []string {
	return slices.Concat(f["tls.handshake."+field], f["dtls.handshake."+field])
}

// hello says that the packet holds a handshake message of a type. A second ClientHello of DTLS has a cookie more, and counts not.
func (f frame) hello(kind string) bool {
	if kind == clientHello && f.handshake("ja3") == "" { // of the form of SSL 2, which has no fingerprint
		return false
	}
	return slices.Contains(f.handshakes("type"), kind) && (kind != clientHello || f.first("dtls.handshake.message_seq") != "1")
}

func (f frame) retry() bool {
	return slices.ContainsFunc(f.handshakes("random"), func(r string) bool { return strings.ReplaceAll(r, ":", "") == helloRetry })
}

// chosenVersion is the number of the version that a ServerHello says.
func (f frame) chosenVersion() uint16 {
	if v := f.handshake("extensions.supported_version"); v != "" {
		return number(v)
	}
	return number(f.handshake("version"))
}

func clientPort(e ledger.Event) string { return strconv.Itoa(e.Src.Port) }

// tlsComparisons are about handshakes.
var tlsComparisons = []comparison{
	{
		name: "ClientHellos", once: true,
		ours: func(e ledger.Event) []string {
			if !closed(e) || e.TLS == nil || e.TLS.JA3 == "" {
				return nil
			}
			return one(clientPort(e) + " " + e.TLS.SNI + " " + e.TLS.JA3)
		},
		theirs: func(f frame) []string {
			if !f.hello(clientHello) {
				return nil
			}
			from, _ := f.ports()
			return one(from + " " + f.handshake("extensions_server_name") + " " + f.handshake("ja3"))
		},
	},
	{
		name: "ServerHellos",
		ours: func(e ledger.Event) []string {
			if !closed(e) || e.TLS == nil || e.TLS.JA3S == "" {
				return nil
			}
			return one(clientPort(e) + " " + e.TLS.JA3S + " " + e.TLS.Cipher + " " + e.TLS.Version)
		},
		theirs: func(f frame) []string {
			if !f.hello(serverHello) || f.retry() || f.handshake("ja3s") == "" { // a fragment of DTLS says nothing alone
				return nil
			}
			_, to := f.ports()
			cipher := tls.CipherName(number(f.handshake("ciphersuite")))
			return one(to + " " + f.handshake("ja3s") + " " + cipher + " " + tls.VersionName(f.chosenVersion()))
		},
	},
	{
		name: "application protocols that servers chose", // up to 1.2: later ones encrypt it
		ours: func(e ledger.Event) []string {
			if !closed(e) || e.TLS == nil || !slices.Contains([]string{"1.0", "1.1", "1.2"}, e.TLS.Version) || e.TLS.ALPN == "" || e.TLS.JA3S == "" {
				return nil
			}
			return one(clientPort(e) + " " + e.TLS.ALPN)
		},
		theirs: func(f frame) []string {
			if !f.hello(serverHello) || !f.has("tls.handshake.extensions_alpn_str") || f.has("tls.handshake.extensions.supported_version") {
				return nil
			}
			_, to := f.ports()
			return one(to + " " + f.first("tls.handshake.extensions_alpn_str"))
		},
	},
	{
		name: "early data", once: true,
		ours: func(e ledger.Event) []string {
			if !closed(e) || e.TLS == nil || !e.TLS.EarlyData {
				return nil
			}
			return one(clientPort(e))
		},
		theirs: func(f frame) []string {
			const earlyData = "42"
			if !f.hello(clientHello) || !slices.Contains(f.handshakes("extension.type"), earlyData) {
				return nil
			}
			from, _ := f.ports()
			return one(from)
		},
	},
	{
		name: "Encrypted Client Hellos", once: true,
		ours: func(e ledger.Event) []string {
			if !closed(e) || e.TLS == nil || !e.TLS.ECH {
				return nil
			}
			return one(clientPort(e))
		},
		theirs: func(f frame) []string {
			const encryptedClientHello = "65037"
			if !f.hello(clientHello) || !slices.Contains(f.handshakes("extension.type"), encryptedClientHello) {
				return nil
			}
			from, _ := f.ports()
			return one(from)
		},
	},
	{
		name: "key exchange groups", once: true,
		ours: func(e ledger.Event) []string {
			if !closed(e) || e.TLS == nil || !strings.HasSuffix(e.TLS.Version, "1.3") || e.TLS.Group == "" {
				return nil
			}
			return one(clientPort(e) + " " + e.TLS.Group)
		},
		theirs: func(f frame) []string {
			if !f.hello(serverHello) || f.handshake("extensions_key_share_group") == "" || f.retry() {
				return nil
			}
			_, to := f.ports()
			return one(to + " " + tls.GroupName(number(f.handshake("extensions_key_share_group"))))
		},
	},
	{
		name: "hellos that were asked for again", once: true,
		ours: func(e ledger.Event) []string {
			if !closed(e) || e.TLS == nil || !e.TLS.Retry {
				return nil
			}
			return one(clientPort(e))
		},
		theirs: func(f frame) []string {
			if !f.retry() && !slices.Contains(f["dtls.handshake.type"], helloVerifyRequest) {
				return nil
			}
			_, to := f.ports()
			return one(to)
		},
	},
	{
		name: "certificates", once: true,
		ours: func(e ledger.Event) []string {
			if !closed(e) || e.TLS == nil || e.TLS.Cert == nil || len(e.TLS.Cert.SAN) == 0 || e.TLS.Version[0] == 'd' {
				return nil
			}
			return one(clientPort(e) + " " + strings.Join(e.TLS.Cert.SAN, ",") + " " + time.Unix(0, e.TLS.Cert.NotAfter).UTC().Format(time.DateTime))
		},
		theirs: func(f frame) []string {
			from, to := f.ports()
			if n, _ := strconv.Atoi(from); !slices.Contains(f["tls.handshake.type"], "11") || !f.has("x509ce.dNSName") || n >= firstClientPort {
				return nil
			}
			const notAfter = 1 // behind notBefore
			if len(f["x509af.utcTime"]) <= notAfter {
				return nil
			}
			end, err := time.Parse("2006-01-02 15:04:05", strings.TrimSuffix(f["x509af.utcTime"][notAfter], " (UTC)"))
			if err != nil {
				return one(to + " " + err.Error())
			}
			return one(to + " " + strings.Join(f["x509ce.dNSName"], ",") + " " + end.Format(time.DateTime))
		},
	},
	{
		name: "alerts of handshakes",
		ours: func(e ledger.Event) []string {
			if !closed(e) || e.TLS == nil || e.TLS.Alert == "" || strings.HasSuffix(e.TLS.Alert, "close_notify") || strings.HasSuffix(e.TLS.Alert, " encrypted") {
				return nil
			}
			return one(clientPort(e) + " " + e.TLS.Alert)
		},
		theirs: func(f frame) []string {
			const fatal = "2"
			description := f.first("tls.alert_message.desc", "dtls.alert_message.desc", "quic.cc.error_code.tls_alert")
			if f.first("tls.alert_message.level", "dtls.alert_message.level") != fatal && !f.has("quic.cc.error_code.tls_alert") {
				return nil
			}
			client, other := f.ports()
			who := "client "
			if n, _ := strconv.Atoi(client); n < firstClientPort {
				client, who = other, "server "
			}
			return one(client + " " + who + tls.AlertName(uint8(number(description))))
		},
	},
}
