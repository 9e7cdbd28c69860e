package dissect

import (
	"strings"
	"testing"
)

// TestHelloIsReadWhateverWasSaidBefore: a server that speaks first, or a preface that nobody knows, must not hide the name that is called.
func TestHelloIsReadWhateverWasSaidBefore(t *testing.T) {
	hello := string(clientHello(t))
	for name, list := range map[string][]said{
		"a refusal of HTTP":             {{false, "HTTP/1.1 400 Bad Request\r\n\r\n"}, {true, hello}},
		"a refusal behind a PROXY line": {{true, "PROXY UNKNOWN\r\n"}, {false, "HTTP/1.1 400 Bad Request\r\n\r\n"}, {true, hello}},
		"a greeting of SMTP":            {{false, "220 mx.example.org ESMTP\r\n"}, {true, hello}},
		"a greeting of POP3":            {{false, "+OK\r\n"}, {true, hello}},
		"a greeting of SSH":             {{false, "SSH-2.0-x\r\n"}, {true, hello}},
		"a greeting of nobody":          {{false, strings.Repeat("welcome ", 3000)}, {true, hello}},
		"an upgrade that nobody knows":  {{false, "200 news\r\n"}, {true, "CAPABILITIES\r\n"}, {false, "101 list\r\nSTARTTLS\r\n.\r\n"}, {true, "STARTTLS is what it says here\r\n"}, {false, "382 go\r\n"}, {true, hello}},
	} {
		t.Run(name, func(t *testing.T) {
			f := onlyFlows(t, run(conversation(newWire(t), 7000, list, nil)...), 1)[0]
			if f.TLS == nil || f.TLS.SNI == "" || f.Channel != "https" {
				t.Errorf("channel %s, %+v; want the hello's name", f.Channel, f.TLS)
			}
		})
	}
}

// TestEmptyLinesBeforeARequestHideNothing: servers pass over them (RFC 9112 §2.2), so that clients may send them.
func TestEmptyLinesBeforeARequestHideNothing(t *testing.T) {
	for _, cut := range []func() int{nil, func() int { return 1 }} {
		packets := conversation(newWire(t), 80, []said{{true, "\r\n\r\nGET /there?secret HTTP/1.1\r\nHost: www.example.org\r\n\r\n"}, {false, "HTTP/1.1 204 No Content\r\n\r\n"}}, cut)
		f := onlyFlows(t, run(packets...), 1)[0]
		if f.Channel != "http" || f.HTTP == nil || f.HTTP.Host != "www.example.org" || f.HTTP.Path != "/there" {
			t.Errorf("channel %s, %+v", f.Channel, f.HTTP)
		}
	}
}

// TestCommandsOfOtherProtocolsAreNoRequests: they share their words with HTTP.
func TestCommandsOfOtherProtocolsAreNoRequests(t *testing.T) {
	for words, channel := range map[string]string{
		"CONNECT {\"verbose\":false}\r\nPING\r\n": "nats", "GET key of something else\r\nGET another\r\n": "tcp", "SEARCH ALL UNSEEN FROM nobody\r\n": "tcp", "OPTIONS rtsp://192.0.2.1/a RTSP/1.0\r\n": "rtsp",
		"OPTIONS sip:a@b.example SIP/2.0\r\n": "sip", "OPTIONS icap://192.0.2.1/a ICAP/1.0\r\n": "tcp",
		"GET / HTTP/1.1\r\n": "http", "CONNECT www.example.org:443 HTTP/1.1\r\n": "http", "CONNECT [2001:db8::1]:443 HTTP/1.1\r\n": "http", "OPTIONS * HTTP/1.1\r\n": "http",
		"GET HTTP://www.example.org/ HTTP/1.1\r\n": "http", "BREW x HTTP/1.1\r\n": "http",
	} {
		for _, cut := range []func() int{nil, func() int { return 1 }} {
			if f := onlyFlows(t, run(conversation(newWire(t), 4222, []said{{true, words}}, cut)...), 1)[0]; f.Channel != channel {
				t.Errorf("%q: channel %s, want %s", words, f.Channel, channel)
			}
		}
	}
}

// TestChannelIsWhatTheServerChose: a client may offer HTTP among others.
func TestChannelIsWhatTheServerChose(t *testing.T) {
	hello := func(protocols string) string { // TLS 1.2 with application protocols
		extension := "\x00\x10\x00" + string(rune(2+len(protocols))) + "\x00" + string(rune(len(protocols))) + protocols
		return "\x00" + string(rune(len(extension))) + extension
	}
	message := func(kind, body string) string {
		return "\x16\x03\x03\x00" + string(rune(4+len(body))) + kind + "\x00\x00" + string(rune(len(body))) + body
	}
	random := strings.Repeat("r", 32)
	client := message("\x01", "\x03\x03"+random+"\x00\x00\x02\xc0\x2f\x01\x00"+hello("\x08http/1.1\x09stun.turn"))
	for chosen, channel := range map[string]string{"\x08http/1.1": "https", "\x09stun.turn": "tls", "\x04imap": "imap"} {
		server := message("\x02", "\x03\x03"+random+"\x00\xc0\x2f\x00"+hello(chosen))
		if f := onlyFlows(t, run(conversation(newWire(t), 5349, []said{{true, client}, {false, server}}, nil)...), 1)[0]; f.Channel != channel || f.TLS == nil || f.TLS.ALPN != chosen[1:] {
			t.Errorf("chosen %q: channel %s, %+v; want %s", chosen, f.Channel, f.TLS, channel)
		}
	}
}
