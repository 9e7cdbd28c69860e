package appliance

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"netaudit/attribution/party"
	"netaudit/ledger"
)

// captures are real clients and servers on the wire; the scripts beside them say which.
func captures(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob("../tap/testdata/captures/*.pcap*")
	if err != nil || len(list) < 19 {
		t.Fatalf("captures: %v, error %v; want at least 19", list, err)
	}
	return list
}

// replayed returns the events of one capture.
func replayed(t *testing.T, path string) []ledger.Event {
	t.Helper()
	parties, err := party.Load()
	if err != nil {
		t.Fatal(err)
	}
	var events []ledger.Event
	r := &Replay{Parties: parties, Emit: func(e ledger.Event) {
		if line := e.AppendJSON(nil); !json.Valid(line) {
			t.Errorf("no JSON: %s", line)
		}
		events = append(events, e)
	}}
	if err := r.Run(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	return events
}

func closed(e ledger.Event) bool { return e.Kind == "flow" && e.State == "closed" }

// TestNothingSecretLeavesTheParsers: the captured clients send the word in queries, bodies, header values, credentials and mail addresses.
func TestNothingSecretLeavesTheParsers(t *testing.T) {
	for _, path := range captures(t) {
		for _, e := range replayed(t, path) {
			if line := e.AppendJSON(nil); strings.Contains(string(line), "secret") {
				t.Errorf("%s: %s", filepath.Base(path), line)
			}
		}
	}
}

// TestEveryCapturedProtocolIsRecognised names what each capture of services.sh is there for.
func TestEveryCapturedProtocolIsRecognised(t *testing.T) {
	for file, want := range map[string][]string{
		"mail.pcap": {"smtp quit 2", "smtp tls 0", "imap quit 1", "imap tls 0", "pop3 quit 1", "pop3 tls 0"},
		"mail2.pcap": {
			"smtp quit 1", "smtp quit 1", "smtp quit 0", "smtp greeted 0", "smtp quit 1", "smtp tls 0", "smtp tls 0", "smtp ", "smtp quit 1",
			"imap quit 5", "imap tls 0", "imap ", "imap quit 0", "imap quit 0", "pop3 quit 1", "pop3 tls 0", "pop3 ", "pop3 quit 0",
		},
		"postfix.pcap": {
			"smtp quit 1", "smtp quit 1", "smtp quit 1", "smtp quit 1", "smtp tls 0", "smtp tls 0", "smtp hello 0", "smtp ", "smtp transfer 1", // of a connection that is kept for the next message
		},
		"databases.pcap": {"postgres p******* t********", "postgres over TLS", "mysql s********* s*********", "mysql over TLS", "redis"},
		"ldap.pcap":      {"ldap", "ldap over TLS"},
		"ssh.pcap":       {"ssh  "},
		"web.pcap":       {"http 1.1", "http 1.1", "websocket 1.1", "http 2"},
		"http2.pcap":     {"http 2", "http 2", "http 2", "http 2", "http 2", "http 2", "http 2", "http 2", "http 2", "http 1.1"},
		"ech.pcap": {
			"https api.partner.example grease_like", "https api.partner.example grease_like",
			"https elsewhere.example offered for elsewhere.example", "https elsewhere.example offered for elsewhere.example",
			"https public.example configured for license.mit-odoo.de", "https public.example configured for license.mit-odoo.de", "https public.example configured for license.mit-odoo.de",
			"https www.partner.example refused", "https www.partner.example refused",
		},
		"dtls.pcap":   {"dtls upload.mit-odoo.de", "dtls upload.mit-odoo.de"},
		"before.pcap": {"http 1.1", "https license.mit-odoo.de", "https license.mit-odoo.de", "nats", "tls upload.mit-odoo.de"},
		"tcp.pcap":    {"http 1.1", "http 1.1", "http 1.1"},
		"dtls13.pcap": {
			"dtls api.partner.example", "dtls api.partner.example", "dtls api.partner.example server protocol_version", "dtls elsewhere.example client encrypted", "dtls license.mit-odoo.de",
			"dtls upload.mit-odoo.de", "dtls upload.mit-odoo.de resumed", "dtls www.partner.example", "dtls www.partner.example",
		},
		"vxlan.pcap":  {"http 1.1 in vxlan:42"},
		"ftp.pcap":    {"ftp", "ftp over TLS", "ftp-data"},
		"xmpp.pcap":   {"xmpp over TLS"},
		"inside.pcap": {"mssql over TLS", "openvpn over TLS", "openvpn over TLS", "openvpn over TLS", "openvpn over TLS"},
		"quic2.pcap": {
			"quic v2.partner.example", "quic negotiated.partner.example", "quic retry.partner.example", "quic early.partner.example", "quic early.partner.example resumed early",
			"doq dns.partner.example", "quic refused.partner.example server no_application_protocol",
		},
	} {
		t.Run(file, func(t *testing.T) {
			var got []string
			for _, e := range replayed(t, filepath.Join("../tap/testdata/captures", file)) {
				if text := summary(e); text != "" && !strings.HasPrefix(text, "tcp") && text != "tls " && !strings.HasPrefix(text, "tls  ") { // tcp and tls: the data connections of FTP
					got = append(got, text)
				}
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

// TestDataConnectionsNameTheirDialogue: each data connection of FTP says which control connection had announced it.
func TestDataConnectionsNameTheirDialogue(t *testing.T) {
	channels, announced := map[string]string{}, 0
	events := replayed(t, "../tap/testdata/captures/ftpdata.pcap")
	for _, e := range events {
		channels[e.FlowID] = e.Channel
	}
	for _, e := range events {
		if e.Kind == "flow" && e.Channel == "ftp-data" {
			announced++
			if channels[e.AnnouncedBy] != "ftp" {
				t.Errorf("%s was announced by %q, channel %q", e.FlowID, e.AnnouncedBy, channels[e.AnnouncedBy])
			}
		}
	}
	if announced < 10 {
		t.Errorf("%d data connections, want at least 10", announced)
	}
}

func summary(e ledger.Event) string {
	text := e.Channel
	switch {
	case !closed(e) || e.Channel == "dns" || e.Channel == "icmp" || e.Channel == "udp":
		return ""
	case e.Mail != nil:
		text += fmt.Sprintf(" %s %d", e.Mail.State, e.Mail.Messages)
	case e.TLS != nil && e.TLS.StartTLS != "":
		text += " over TLS"
	case e.TLS != nil:
		text += " " + e.TLS.SNI
		for _, also := range []struct {
			is   bool
			text string
		}{{e.TLS.ECH, e.TLS.ECHKind}, {e.TLS.HidesName(), "for " + e.Dst.Host}, {e.TLS.Resumed, "resumed"}, {e.TLS.EarlyData, "early"}, {e.TLS.Alert != "", e.TLS.Alert}} {
			if also.is {
				text += " " + also.text
			}
		}
	case e.Service != nil:
		text += " " + e.Service.User + " " + e.Service.Database
	case e.HTTP != nil:
		text += " " + e.HTTP.Version
	}
	if e.Tunnel != "" {
		text += " in " + e.Tunnel
	}
	return text
}
