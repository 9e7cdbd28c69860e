package dissect

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"netaudit/tap"
)

// announcedBy returns the channel of a connection to a port that follows an FTP dialogue. fromServer says who calls.
func announcedBy(t *testing.T, dialogue string, cut func() int, fromServer bool, port uint16, after time.Duration, stranger bool) string {
	t.Helper()
	w := newWire(t)
	packets := conversation(w, 21, lines("s 220 ready\n"+dialogue), cut)
	w.now = w.now.Add(after)
	if fromServer {
		w.client, w.server = w.server, w.client
	}
	if stranger {
		w.server = net.IP{198, 51, 100, 7}
	}
	w.cport = 20
	packets = append(packets, conversation(w, port, []said{{false, "GET /x HTTP/1.1\r\n\r\n"}}, nil)...)
	for _, f := range run(packets...) {
		if f.Src.Port() == 20 {
			return f.Channel
		}
	}
	t.Fatal("no data connection")
	return ""
}

// TestDataConnectionsAreThoseThatWereAnnounced: by either end, in all four ways, however the line is cut.
func TestDataConnectionsAreThoseThatWereAnnounced(t *testing.T) {
	const port = 0xc351 // 50001
	one := func() int { return 1 }
	for _, c := range []struct {
		dialogue   string
		fromServer bool
		want       string
	}{
		{"c PASV\ns 227 Entering Passive Mode (203,0,113,9,195,81).", false, "ftp-data"},
		{"c PASV\ns 227 203,0,113,9,195,81", false, "ftp-data"},
		{"c PASV\ns 227 Entering Passive Mode (192,168,1,1,195,81).", false, "ftp-data"}, // behind a translator of addresses
		{"c EPSV\ns 229 Entering Extended Passive Mode (|||50001|)", false, "ftp-data"},
		{"c EPSV\ns 229 ok (!!!50001!)", false, "ftp-data"},
		{"c PORT 10,0,0,2,195,81\ns 200 ok", true, "ftp-data"},
		{"c eprt |1|10.0.0.2|50001|\ns 200 ok", true, "ftp-data"},
		{"c PASV\ns 227 Entering Passive Mode (203,0,113,9,195,81).", true, "tcp"}, // the other way round
		{"c PORT 10,0,0,2,195,81\ns 200 ok", false, "tcp"},
		{"c PASV\ns 227 Entering Passive Mode (203,0,113,9,195,82).", false, "tcp"},
		{"c PASV\ns 227 (203,0,113,9,195)", false, "tcp"},
		{"c PASV\ns 227 (203,0,113,9,195,336)", false, "tcp"},
		{"c EPSV\ns 229 (|||115537|)", false, "tcp"}, // 50001 in sixteen bits
		{"c EPSV\ns 229 (", false, "tcp"},
		{"c EPRT \ns 501 what", true, "tcp"},
		{"c STOR " + strings.Repeat("x", longestFTPLine) + "\nc PORT 10,0,0,2,195,81", true, "ftp-data"},
		{"c " + strings.Repeat("x", longestFTPLine) + " PORT 10,0,0,2,195,81", true, "tcp"},
	} {
		for _, cut := range []func() int{nil, one} {
			if got := announcedBy(t, c.dialogue, cut, c.fromServer, port, 0, false); got != c.want {
				t.Errorf("%.80q: channel %s, want %s", c.dialogue, got, c.want)
			}
		}
	}
	const announced = "c PASV\ns 227 Entering Passive Mode (198,51,100,7,195,81)."
	if got := announcedBy(t, announced, nil, false, port, 0, true); got != "tcp" {
		t.Errorf("a connection to a host that the server names: channel %s, want tcp", got)
	}
	if got := announcedBy(t, announced, nil, false, port, 2*time.Minute, false); got != "tcp" {
		t.Errorf("a connection two minutes later: channel %s, want tcp", got)
	}
}

// TestTLSOnADataConnectionIsSeen: whoever announces a data connection to hide another one does not.
func TestTLSOnADataConnectionIsSeen(t *testing.T) {
	w := newWire(t)
	packets := conversation(w, 21, lines("s 220 ready\nc EPSV\ns 229 ok (|||443|)"), nil)
	w.cport = 41000
	packets = append(packets, conversation(w, 443, []said{{true, string(clientHello(t))}}, nil)...)
	for _, f := range onlyFlows(t, run(packets...), 2) {
		if f.Dst.Port() == 443 && (f.Channel != "https" || f.TLS == nil || f.TLS.SNI == "") {
			t.Errorf("channel %s, TLS %+v", f.Channel, f.TLS)
		}
	}
}

// TestAnnouncementsAreBounded: a dialogue that announces without end takes no more than its share.
func TestAnnouncementsAreBounded(t *testing.T) {
	e := New(Config{}, &collector{})
	w := newWire(t)
	var list []said
	for i := range 3 * mostAnnounced {
		list = append(list, said{false, fmt.Sprintf("229 ok (|||%d|)\r\n", 10_000+i)})
	}
	for _, p := range conversation(w, 21, append([]said{{false, "220 ready\r\n"}, {true, "USER x\r\n"}}, list...), nil) {
		e.Packet(&p)
	}
	if n := len(e.config.Names.announced.list); n > mostAnnounced || n < mostAnnounced-1 {
		t.Errorf("%d announcements are kept, want %d", n, mostAnnounced)
	}
}

// TestAnnouncementsReachOtherEngines: where workers share an interface, the control connection and the data connection may meet different ones, also a moment too late.
func TestAnnouncementsReachOtherEngines(t *testing.T) {
	for _, late := range []bool{false, true} {
		names := NewNames(64)
		c := &collector{}
		control, data := New(Config{Names: names, RunID: "a"}, &collector{}), New(Config{Names: names, RunID: "b"}, c)
		w := newWire(t)
		dialogue := conversation(w, 21, lines("s 220 ready\nc EPSV\ns 229 ok (|||50001|)"), nil)
		w.cport = 41000
		transfer := conversation(w, 50001, []said{{false, "GET /x HTTP/1.1\r\n\r\n"}}, nil)
		const handshake = 3
		steps := [][]tap.Packet{dialogue, transfer}
		if late {
			steps = [][]tap.Packet{transfer[:handshake], dialogue, transfer[handshake:]}
		}
		for i, packets := range steps {
			e := data
			if len(steps)-i == 2 {
				e = control
			}
			for _, p := range packets {
				e.Packet(&p)
			}
		}
		data.Close()
		if f := c.only(t, 1)[0]; f.Channel != "ftp-data" || f.AnnouncedBy != "a-1" {
			t.Errorf("late %v: channel %s, announced by %q", late, f.Channel, f.AnnouncedBy)
		}
	}
}
