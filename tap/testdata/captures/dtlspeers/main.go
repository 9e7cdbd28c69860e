// Command dtlspeers lets clients and servers of DTLS 1.3 (RFC 9147) talk: with the cookie of a HelloRetryRequest and without, resumed, with connection ids, in small fragments, with
// ECH, and with a peer that has another version only. Used by peers.sh. It is a module of its own: nothing else needs its library.
//
//	dtlspeers ADDRESS CERT KEY
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"github.com/pion/dtls/v4"
	"github.com/pion/dtls/v4/pkg/protocol"
)

func main() {
	if err := run(net.ParseIP(os.Args[1]), os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "dtlspeers:", err)
		os.Exit(1)
	}
}

// The servers by their ports.
const (
	plain     = 4471 + iota
	withIDs   // gives its clients connection ids, and takes theirs
	small     // datagrams of 300 bytes at most
	older     // 1.2 only
	uncookied // asks for no second hello, but for another group
)

func run(ip net.IP, certFile, keyFile string) error {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert.Leaf)
	ids := dtls.WithConnectionID(dtls.RandomCIDGenerator(8), dtls.CIDPathMigrationReject)
	only13 := []dtls.Option{dtls.WithMinVersion(protocol.Version1_3)}
	for port, options := range map[int][]dtls.Option{
		plain: append(only13, dtls.WithSessionStore(newSessions())), withIDs: {ids}, small: {dtls.WithMTU(300)}, older: {dtls.WithMaxVersion(protocol.Version1_2)}, uncookied: nil,
	} {
		server := []dtls.ServerOption{dtls.WithCertificates(cert), dtls.WithSupportedProtocols("coap", "webrtc"), dtls.WithInsecureSkipVerifyHello(port == uncookied)}
		for _, o := range options {
			server = append(server, o)
		}
		l, err := dtls.ListenAddr("udp", &net.UDPAddr{IP: ip, Port: port}, server...)
		if err != nil {
			return err
		}
		go answer(l)
	}
	sessions := dtls.WithSessionStore(newSessions())
	for _, c := range []struct {
		port    int
		host    string
		fails   bool
		options []dtls.Option
	}{
		{plain, "upload.mit-odoo.de", false, append(slices.Clone(only13), sessions)},
		{plain, "upload.mit-odoo.de", false, append(slices.Clone(only13), sessions)}, // resumes
		{plain, "api.partner.example", false, nil},                                   // offers 1.2 too
		{withIDs, "license.mit-odoo.de", false, []dtls.Option{ids}},
		{small, "www.partner.example", false, []dtls.Option{dtls.WithMTU(300)}},
		{older, "api.partner.example", false, nil},
		{older, "api.partner.example", true, only13},
		{uncookied, "www.partner.example", false, nil},
		{plain, "elsewhere.example", true, nil}, // refuses the certificate
	} {
		options := []dtls.ClientOption{dtls.WithRootCAs(roots), dtls.WithServerName(c.host), dtls.WithSupportedProtocols("coap")}
		for _, o := range c.options {
			options = append(options, o)
		}
		if err := call(&net.UDPAddr{IP: ip, Port: c.port}, options); (err != nil) != c.fails {
			return fmt.Errorf("%s at %d: %w", c.host, c.port, err)
		}
	}
	return nil
}

func answer(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			b := make([]byte, 2000)
			for {
				n, err := c.Read(b)
				if err != nil {
					return
				}
				if _, err := c.Write(b[:n]); err != nil {
					return
				}
			}
		}()
	}
}

func call(server *net.UDPAddr, options []dtls.ClientOption) error {
	c, err := dtls.Dial("udp", server, options...)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	b := make([]byte, 2000)
	for range 2 { // a ticket comes behind the handshake
		if _, err := c.Write([]byte("secret")); err != nil {
			return err
		}
		if _, err := c.Read(b); err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return nil
}
