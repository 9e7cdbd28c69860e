package dissect

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"netaudit/tap"
)

// requests runs packets and returns a line for each HTTP request: method, host, path, status, sizes of both bodies.
func requests(list []tap.Packet) (lines []string, flows []Flow) {
	c := &collector{}
	e := New(Config{Names: NewNames(64)}, c)
	for i := range list {
		e.Packet(&list[i])
	}
	e.Close()
	for _, h := range c.http {
		lines = append(lines, fmt.Sprintf("%s %s %s %d %d %d", h.Method, h.Host, h.Path, h.Status, h.RequestBytes, h.ResponseBytes))
	}
	return lines, c.closed
}

// TestHTTPIsReadHoweverItIsCut: what RFC 9112 allows and real programs do.
func TestHTTPIsReadHoweverItIsCut(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	for name, c := range map[string]struct {
		spoken []said
		want   []string
	}{
		"trailers behind chunks, then another response": {
			[]said{
				{true, "GET /a HTTP/1.1\r\nHost: a.example\r\n\r\n"},
				{false, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5 ;x=y\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Other: 2\r\n\r\n"},
				{true, "POST /b HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\nGET /c HTTP/1.1\r\nHost: a.example\r\n\r\n"},
				{false, ok + ok},
			},
			[]string{"GET a.example /a 200 0 5", "POST a.example /b 200 3 2", "GET a.example /c 200 0 2"},
		},
		"more spaces than needed, and small letters": {
			[]said{{true, "GET   /wide?secret  HTTP/1.1 \r\nHost: a.example\r\n\r\nget /small HTTP/1.1\r\nHost: a.example\r\n\r\nGET /a b HTTP/1.1\r\n\r\n"}, {false, ok + ok + ok}},
			[]string{"GET a.example /wide 200 0 2", "GET a.example /small 200 0 2", "GET  /a b 200 0 2"},
		},
		"a body that comes behind its answer": {
			[]said{
				{true, "POST /early HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"},
				{false, "HTTP/1.1 100 Continue\r\n\r\n" + ok},
				{true, "hello"},
				{true, "POST /chunks HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"},
				{false, ok},
				{true, "3\r\nabc\r\n0\r\n\r\n"},
				{true, "POST /never HTTP/1.1\r\nHost: a.example\r\nContent-Length: 9\r\n\r\n"},
				{false, ok},
				{true, "half"},
			},
			[]string{"POST a.example /early 200 5 2", "POST a.example /chunks 200 3 2", "POST a.example /never 200 4 2"},
		},
		"small letters at once": {
			[]said{{true, "get /small HTTP/1.1\r\nHost: a.example\r\n\r\n"}, {false, ok}},
			[]string{"GET a.example /small 200 0 2"},
		},
		"lines without carriage returns": {
			[]said{{true, "GET /plain HTTP/1.0\nHost: a.example\nX: y\n\n"}, {false, "HTTP/1.0 200 OK\nContent-Type: text/plain\n\nhello"}},
			[]string{"GET a.example /plain 200 0 5"},
		},
		"a file of another scheme, from a proxy": {
			[]said{{true, "GET ftp://mirror.example/file HTTP/1.1\r\nHost: mirror.example\r\n\r\n"}, {false, ok}},
			[]string{"GET mirror.example /file 200 0 2"},
		},
		"no body where none may be": {
			[]said{
				{true, "HEAD /1 HTTP/1.1\r\nHost: a\r\n\r\n"},
				{false, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"},
				{true, "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n"},
				{false, "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n"},
				{true, "DELETE /3 HTTP/1.1\r\nHost: a\r\n\r\n"},
				{false, "HTTP/1.1 204 No Content\r\n\r\n"},
				{true, "GET /4 HTTP/1.1\r\nHost: a\r\n\r\n"},
				{false, ok},
			},
			[]string{"HEAD a /1 200 0 0", "GET a /2 304 0 0", "DELETE a /3 204 0 0", "GET a /4 200 0 2"},
		},
		"interim responses and an early answer": {
			[]said{
				{true, "POST /up HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 6\r\n\r\n"}, {false, "HTTP/1.1 100 Continue\r\n\r\n"}, {true, "abc"}, {false, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwa"}, {true, "def"}, {false, "it"},
			},
			[]string{"POST a /up 200 6 4"},
		},
		"folded lines, no host, an unknown method": {
			[]said{{true, "BREW /pot?secret HTTP/1.0\r\nX-Long: a,\r\n b: c,\r\n\td\r\nUser-Agent: x\r\n\r\n"}, {false, "HTTP/1.0 418 I'm a teapot\r\n\r\n"}},
			[]string{"BREW  /pot 418 0 0"},
		},
		"a proxy is asked in absolute form": {
			[]said{{true, "GET http://secret:secret@www.partner.example:8080/page?secret HTTP/1.1\r\nHost: ignored.example\r\n\r\n"}, {false, ok}},
			[]string{"GET www.partner.example /page 200 0 2"},
		},
		"the same length twice": {
			[]said{{true, "GET / HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n\r\n"}, {false, "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok"}},
			[]string{"GET 2001:db8::1 / 200 0 2"},
		},
		"another protocol takes over": {
			[]said{{true, "GET /h2 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"}, {false, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n\x00\x00\x00\x04\x01\x00\x00\x00\x00"}, {true, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"}},
			[]string{"GET a /h2 101 0 0"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				cut := func() int { return rapid.IntRange(1, 50).Draw(r, "length") }
				if rapid.Bool().Draw(r, "whole") {
					cut = nil
				}
				lines, flows := requests(conversation(newWire(t), 8069, c.spoken, cut))
				if strings.Join(lines, "\n") != strings.Join(c.want, "\n") || len(flows) != 1 || flows[0].Channel != "http" {
					r.Errorf("%q over %+v\nwant %q", lines, flows, c.want)
				}
			})
		})
	}
}

// TestHTTPIsFoundAgainBehindALoss: a lost segment costs what it held of the requests and no more, and a capture that begins in the middle sees those that follow.
func TestHTTPIsFoundAgainBehindALoss(t *testing.T) {
	request := func(i int) said { return said{true, fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", i)} }
	answer := said{false, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"}
	whole := conversation(newWire(t), 8069, []said{request(1), answer, request(2), answer, request(3), answer}, nil)
	for name, c := range map[string]struct {
		lost []int // packets: three of the handshake, then one a piece
		want string
	}{
		"a request":         {[]int{5}, "GET a /1 200 0 2|   200 0 2|GET a /3 200 0 2"},
		"a response":        {[]int{6}, "GET a /1 200 0 2|GET a /2 0 0 0|GET a /3 200 0 2"},
		"both":              {[]int{5, 6}, "GET a /1 200 0 2|GET a /3 200 0 2"},
		"the beginning":     {[]int{0, 1, 2, 3}, "   200 0 2|GET a /2 200 0 2|GET a /3 200 0 2"},
		"the first request": {[]int{3}, "   200 0 2|GET a /2 200 0 2|GET a /3 200 0 2"},
	} {
		var list []tap.Packet
		for i, p := range whole {
			if !slices.Contains(c.lost, i) {
				list = append(list, p)
			}
		}
		lines, _ := requests(list)
		if got := strings.Join(lines, "|"); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// TestResponsesAloneAreToldByTheirStatus: of a capture with the server's direction alone, and of more requests in a row than wait for an answer.
func TestResponsesAloneAreToldByTheirStatus(t *testing.T) {
	lines, _ := requests(conversation(newWire(t), 80, []said{{false, "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"}, {false, "HTTP/1.0 200 OK\r\n\r\nto the end"}}, nil)[3:])
	if got, want := strings.Join(lines, "|"), "   404 0 2|   200 0 10"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	const n = 2 * mostPipelined
	list := conversation(newWire(t), 80, []said{{true, strings.Repeat("GET / HTTP/1.1\r\nHost: a\r\n\r\n", n)}, {false, strings.Repeat("HTTP/1.1 304 Not Modified\r\n\r\n", n)}}, nil)
	if lines, _ := requests(list); len(lines) != n {
		t.Errorf("%d rows of %d requests", len(lines), n)
	}
}

// TestWhatIsSentBehindABodyIsNoPartOfARequest: content without a length must not stand in a row as a method.
func TestWhatIsSentBehindABodyIsNoPartOfARequest(t *testing.T) {
	const request, answer = "POST /%d HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	for _, body := range []string{"password=secret", "secret", "a\nsecret", "\x00\x01"} {
		lines, _ := requests(conversation(newWire(t), 80, []said{{true, fmt.Sprintf(request, 1) + body}, {false, answer + "more"}, {true, fmt.Sprintf(request, 2)}, {false, answer}}, nil))
		if got, want := strings.Join(lines, "|"), "POST a /1 200 0 2|POST a /2 200 0 2"; got != want {
			t.Errorf("%q: %s, want %s", body, got, want)
		}
	}
}

// TestRequestsOfHTTP09AreRead: they have no version, no fields and mostly no empty line.
func TestRequestsOfHTTP09AreRead(t *testing.T) {
	for _, line := range []string{"GET /old?secret\r\n", "GET /old\n\n", "GET /old \r\n\r\n"} {
		lines, flows := requests(conversation(newWire(t), 80, []said{{true, line}, {false, "<p>old</p>"}}, nil))
		if got := strings.Join(lines, "|"); got != "GET  /old 0 0 0" || flows[0].HTTP.Version != "0.9" {
			t.Errorf("%q: %s, %+v", line, got, flows[0].HTTP)
		}
	}
}

// TestTunnelsInOneDirectionAreRead: what the proxy is asked for and what it carries, though the other side is missing.
func TestTunnelsInOneDirectionAreRead(t *testing.T) {
	hello := string(clientHello(t))
	_, flows := requests(conversation(newWire(t), 3128, []said{{true, "CONNECT license.mit-odoo.de:443 HTTP/1.1\r\nHost: license.mit-odoo.de:443\r\n\r\n"}, {true, hello}}, nil))
	if f := flows[0]; f.TLS == nil || f.TLS.StartTLS != "http-connect" || f.Host != "license.mit-odoo.de" {
		t.Errorf("the client alone: %+v", f)
	}
	list, _ := payloads(t, "openssl.pcap", 6, 443)
	server := list[slices.IndexFunc(list, func(s said) bool { return !s.client })].bytes
	_, flows = requests(conversation(newWire(t), 3128, []said{{false, "HTTP/1.1 200 Connection established\r\n\r\n"}, {false, server}}, nil)[3:])
	if f := flows[0]; f.TLS == nil || f.TLS.StartTLS != "http-connect" || f.TLS.Cipher == "" {
		t.Errorf("the server alone: %+v, %+v", f, f.TLS)
	}
}

// TestRefusalsInHTTPAreTold: of a server that was spoken to in TLS, or in what nobody knows.
func TestRefusalsInHTTPAreTold(t *testing.T) {
	refusal := said{false, "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno"}
	lines, flows := requests(conversation(newWire(t), 80, []said{{true, string(clientHello(t))}, refusal}, nil))
	if got := strings.Join(lines, "|"); got != "   400 0 2" || flows[0].TLS == nil || flows[0].TLS.SNI == "" || flows[0].TLS.Established {
		t.Errorf("TLS: %s, %+v", got, flows[0].TLS)
	}
	lines, flows = requests(conversation(newWire(t), 8000, []said{{true, strings.Repeat("what", 10)}, refusal}, nil))
	if got := strings.Join(lines, "|"); got != "   400 0 2" || flows[0].Channel != "http" {
		t.Errorf("nothing known: %s, channel %s", got, flows[0].Channel)
	}
}

// TestHeadsThatTheSnapLengthCutsKeepWhatIsThere: of every request line and name that was captured whole, and of no name that was cut.
func TestHeadsThatTheSnapLengthCutsKeepWhatIsThere(t *testing.T) {
	request := func(i int) said {
		return said{true, fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: www.partner.example\r\nCookie: %s\r\n\r\n", i, strings.Repeat("secret", 100))}
	}
	answer := said{false, "HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n" + strings.Repeat("x", 400)}
	whole := conversation(newWire(t), 8069, []said{request(1), answer, request(2), answer}, nil)
	for snap, want := range map[int]string{
		200: "GET www.partner.example /1 200 0 400|GET www.partner.example /2 200 0 400",
		95:  "GET  /1 200 0 400|GET  /2 200 0 400",
	} {
		list := make([]tap.Packet, len(whole))
		for i, p := range whole {
			list[i] = p
			list[i].Data = p.Data[:min(len(p.Data), snap)]
		}
		lines, flows := requests(list)
		if got := strings.Join(lines, "|"); got != want || !flows[0].Truncated {
			t.Errorf("snap length %d: %s, truncated %v; want %s", snap, got, flows[0].Truncated, want)
		}
	}
}

// TestBodyThatNobodyWantsHidesNoRequest: a client that waits for a 100 may go on with another request when it is refused.
func TestBodyThatNobodyWantsHidesNoRequest(t *testing.T) {
	const refused, ok = "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	for _, length := range []string{"Content-Length: 5", "Transfer-Encoding: chunked"} {
		lines, _ := requests(conversation(newWire(t), 80, []said{
			{true, "PUT /big HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\n" + length + "\r\n\r\n"}, {false, refused}, {true, "GET /next HTTP/1.1\r\nHost: a.example\r\n\r\n"}, {false, ok},
		}, nil))
		if want := []string{"PUT a.example /big 417 0 0", "GET a.example /next 200 0 2"}; !slices.Equal(lines, want) {
			t.Errorf("%s: %q, want %q", length, lines, want)
		}
	}
}

// TestSessionsInPathsAreMasked: servers write them there for clients that keep no cookies.
func TestSessionsInPathsAreMasked(t *testing.T) {
	lines, _ := requests(conversation(newWire(t), 80, []said{{true, "GET /a;jsessionid=secret;v=2/b=1/c;d/e;f=secret?g HTTP/1.1\r\nHost: a.example\r\n\r\n"}}, nil))
	if want := "GET a.example /a;jsessionid=***;v=***/b=1/c;d/e;f=*** 0 0 0"; len(lines) != 1 || lines[0] != want {
		t.Errorf("%q, want %q", lines, want)
	}
}

// TestTLSBehindAnUpgradeIsRead: printers turn to TLS so (RFC 2817). Requests that only the server understands are HTTP too.
func TestTLSBehindAnUpgradeIsRead(t *testing.T) {
	f := onlyFlows(t, run(conversation(newWire(t), 631, []said{
		{true, "OPTIONS * HTTP/1.1\r\nHost: printer.example\r\nUpgrade: TLS/1.2\r\nConnection: Upgrade\r\n\r\n"}, {false, "HTTP/1.1 101 Switching\r\nUpgrade: TLS/1.2\r\nConnection: Upgrade\r\n\r\n"}, {true, string(clientHello(t))},
	}, nil)...), 1)[0]
	if f.TLS == nil || f.TLS.SNI != "license.mit-odoo.de" || f.TLS.StartTLS != "http" || f.HTTP == nil || f.HTTP.Status != 101 {
		t.Errorf("%+v, TLS %+v", f, f.TLS)
	}
	if f := onlyFlows(t, run(conversation(newWire(t), 7000, []said{{true, "GET\t/a\tHTTP/1.1\r\nHost: a.example\r\n\r\n"}, {false, "HTTP/1.1 200 OK\r\n\r\n"}}, nil)...), 1)[0]; f.Channel != "http" {
		t.Errorf("channel %s", f.Channel)
	}
}
