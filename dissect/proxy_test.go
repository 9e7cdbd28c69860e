package dissect

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestWhatAProxyCarriesIsNamed: SOCKS and CONNECT with what clients say behind them, cut anyhow.
func TestWhatAProxyCarriesIsNamed(t *testing.T) {
	hello := string(clientHello(t))
	const (
		open5 = "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"
		open4 = "\x00\x5a\x00\x00\x00\x00\x00\x00"
		web   = "GET /inside HTTP/1.1\r\nHost: www.inside.example\r\n\r\n"
		page  = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	)
	for name, c := range map[string]struct {
		port          uint16
		spoken        []said
		channel, host string
		source        HostSource
		through       string // of TLS
	}{
		"SOCKS 5, name":             {1080, []said{{true, "\x05\x02\x00\x02"}, {false, "\x05\x00"}, {true, "\x05\x01\x00\x03\x0cmail.example\x00\x19"}, {false, open5}, {false, "220 mail.example ESMTP\r\n"}, {true, "QUIT\r\n"}}, "smtp", "mail.example", HostProxy, ""},
		"SOCKS 5, password, TLS":    {9050, []said{{true, "\x05\x01\x02"}, {false, "\x05\x02"}, {true, "\x01\x06secret\x06secret"}, {false, "\x01\x00"}, {true, "\x05\x01\x00\x01\xcb\x00\x71\x09\x01\xbb"}, {false, open5}, {true, hello}}, "https", "license.mit-odoo.de", HostSNI, "socks"},
		"SOCKS 5, all at once":      {1080, []said{{true, "\x05\x01\x00\x05\x01\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x01\xbb" + hello}, {false, "\x05\x00" + open5}}, "https", "license.mit-odoo.de", HostSNI, "socks"},
		"SOCKS 5, web":              {1080, []said{{true, "\x05\x01\x00"}, {false, "\x05\x00"}, {true, "\x05\x01\x00\x03\x0bfile.exampl\x00\x50"}, {false, "\x05\x00\x00\x03\x01x\x00\x00"}, {true, web}, {false, page}}, "http", "www.inside.example", HostHTTP, ""},
		"SOCKS 5, unknown protocol": {1080, []said{{true, "\x05\x01\x00"}, {false, "\x05\x00"}, {true, "\x05\x01\x00\x01\xcb\x00\x71\x09\x10\x00"}, {false, open5}, {true, "something that nobody knows at all"}, {false, "yes"}}, "tcp", "203.0.113.9", HostProxy, ""},
		"SOCKS 5, refused":          {1080, []said{{true, "\x05\x01\x00"}, {false, "\x05\x00"}, {true, "\x05\x01\x00\x03\x07example\x01\xbb"}, {false, "\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00"}}, "tcp", "example", HostProxy, ""},
		"SOCKS 4":                   {1080, []said{{true, "\x04\x01\x01\xbb\xcb\x00\x71\x09secret\x00"}, {false, open4}, {true, hello}}, "https", "license.mit-odoo.de", HostSNI, "socks"},
		"SOCKS 4a":                  {1081, []said{{true, "\x04\x01\x00\x16\x00\x00\x00\x01\x00ssh.example\x00"}, {false, open4}, {false, "SSH-2.0-x\r\n"}, {true, "SSH-2.0-y\r\n"}}, "ssh", "ssh.example", HostProxy, ""},
		"CONNECT, TLS":              {3128, []said{{true, "CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\nProxy-Authorization: Basic secret\r\n\r\n"}, {false, "HTTP/1.0 200 Connection established\r\n\r\n"}, {true, hello}}, "https", "license.mit-odoo.de", HostSNI, "http-connect"},
		"CONNECT, mail with TLS":    {8080, []said{{true, "CONNECT mx.example:25 HTTP/1.1\r\n\r\n"}, {false, "HTTP/1.1 200 ok\r\n\r\n220 mx.example ESMTP\r\n"}, {true, "STARTTLS\r\n"}, {false, "220 go\r\n"}, {true, hello}}, "smtp", "license.mit-odoo.de", HostSNI, "smtp"},
		"CONNECT, web":              {3128, []said{{true, "CONNECT www.outside.example:80 HTTP/1.1\r\n\r\n"}, {false, "HTTP/1.1 200 ok\r\n\r\n"}, {true, web}, {false, page}}, "http", "www.outside.example", HostHTTP, ""},
		"CONNECT in CONNECT":        {3128, []said{{true, "CONNECT second.example:3128 HTTP/1.1\r\n\r\n"}, {false, "HTTP/1.1 200 ok\r\n\r\n"}, {true, "CONNECT third.example:443 HTTP/1.1\r\n\r\n"}, {false, "HTTP/1.1 200 ok\r\n\r\n"}, {true, hello}}, "https", "license.mit-odoo.de", HostSNI, "http-connect"},
		"PROXY 1":                   {8069, []said{{true, "PROXY TCP4 192.0.2.1 192.0.2.2 4711 443\r\n" + web}, {false, page}}, "http", "www.inside.example", HostHTTP, ""},
		"PROXY 2":                   {443, []said{{true, proxySignature + "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x12\x67\x01\xbb" + hello}}, "https", "license.mit-odoo.de", HostSNI, ""},
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				cut := func() int { return rapid.IntRange(10, 300).Draw(r, "length") }
				if rapid.Bool().Draw(r, "whole") {
					cut = nil
				}
				f := onlyFlows(r2t{t, r}, run(conversation(newWire(t), c.port, c.spoken, cut)...), 1)[0]
				through := ""
				if f.TLS != nil {
					through = f.TLS.StartTLS
				}
				if f.Channel != c.channel || f.Host != c.host || f.HostSource != c.source || through != c.through || f.ToldHost != "" {
					r.Errorf("channel %s, host %s (source %d), TLS through %q", f.Channel, f.Host, f.HostSource, through)
				}
			})
		})
	}
}

// TestProtocolsAreRecognisedAtAnyPort: by what is said, not by where.
func TestProtocolsAreRecognisedAtAnyPort(t *testing.T) {
	for name, c := range map[string]struct {
		port    uint16
		spoken  []said
		channel string
	}{
		"FTP names itself":         {2121, []said{{false, "220 (vsFTPd 3.0.3)\r\n"}}, "ftp"},
		"FTP by its commands":      {2121, []said{{false, "220 ready\r\n"}, {true, "USER x\r\n"}}, "ftp"},
		"SMTP by its commands":     {2121, []said{{false, "220 ready\r\n"}, {true, "EHLO x\r\n"}}, "smtp"},
		"SMTP that is left alone":  {2525, []said{{false, "220 ready\r\n"}}, "smtp"},
		"SMTP that refuses":        {25, []said{{false, "554 5.7.1 go away\r\n"}}, "smtp"},
		"SSH behind a greeting":    {2222, []said{{false, "Authorised use only. Everything is logged.\r\nReally.\r\n"}, {true, "SSH-2.0-client\r\n"}, {false, "SSH-2.0-server\r\n"}}, "ssh"},
		"LDAP at another port":     {10389, []said{{true, "\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00"}}, "ldap"},
		"LDAP with a long length":  {389, []said{{true, "\x30\x84\x00\x00\x00\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00"}}, "ldap"},
		"Redis at another port":    {7000, []said{{true, "*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n"}}, "redis"},
		"Redis typed":              {6379, []said{{true, "PING\r\n"}, {false, "+PONG\r\n"}}, "redis"},
		"PostgreSQL 3.2":           {5432, []said{{true, "\x00\x00\x00\x12\x00\x03\x00\x02user\x00secret\x00\x00"}}, "postgres"},
		"PostgreSQL cancel":        {15432, []said{{true, "\x00\x00\x00\x10\x04\xd2\x16\x2e\x00\x00\x00\x01\x00\x00\x00\x02"}}, "postgres"},
		"MySQL turns away":         {3306, []said{{false, "\x22\x00\x00\x00\xff\x6a\x04Host '10.0.0.2' is not allowed...."}}, "mysql"},
		"XMPP with a long preface": {5222, []said{{true, "<?xml version='1.0'?>\n<!-- a comment that takes some time -->"}, {true, "<stream:stream to='x'>"}}, "xmpp"},
		"XML that is none":         {9000, []said{{true, "<?xml version='1.0'?><envelope>"}, {false, "ok"}}, "tcp"},
		"nothing that is known":    {9000, []said{{true, "hello, who is there? somebody?"}, {false, "nobody"}}, "tcp"},
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				cut := func() int { return rapid.IntRange(1, 30).Draw(r, "length") }
				if rapid.Bool().Draw(r, "whole") {
					cut = nil
				}
				if f := onlyFlows(r2t{t, r}, run(conversation(newWire(t), c.port, c.spoken, cut)...), 1)[0]; f.Channel != c.channel {
					r.Errorf("channel %s, want %s", f.Channel, c.channel)
				}
			})
		})
	}
}

// TestProxyHeaderBehindTheServersWords: a server that seems to speak before the header of the PROXY protocol, and headers behind headers, lead to an end.
func TestProxyHeaderBehindTheServersWords(t *testing.T) {
	w := newWire(t)
	header := proxySignature + "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x12\x67\x01\xbb"
	list := append(dialogue(w, "cS sSA cA"), w.tcp(false, 5001, 1001, "PA", []byte{1, 2, 3}))
	onlyFlows(t, run(append(list, w.tcp(true, 1001, 5004, "PA", []byte(header)), w.tcp(false, 5004, 1001+uint32(len(header)), "PA", []byte{4}))...), 1)
	many := []byte(strings.Repeat(header, 40))
	onlyFlows(t, run(append(dialogue(w, "cS sSA cA"), w.tcp(true, 1001, 5001, "PA", many))...), 1)
	request := strings.Repeat(header, mostProxyHeaders) + "GET / HTTP/1.1\r\nHost: behind.example\r\n\r\n"
	if f := onlyFlows(t, run(append(dialogue(w, "cS sSA cA"), w.tcp(true, 1001, 5001, "PA", []byte(request)))...), 1)[0]; f.Host != "behind.example" {
		t.Errorf("behind %d headers: %q", mostProxyHeaders, f.Host)
	}
}
