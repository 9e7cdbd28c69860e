// Command echpeers calls servers with Encrypted Client Hello (RFC 9849): the real name is inside, the outer one is public.example or elsewhere.example. Servers, clients and the name
// server, which gives the keys of public.example only, are in one process. Then it runs a command, a browser, which finds the same servers. Used by peers.sh.
//
//	echpeers CERT KEY COMMAND...
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"

	"github.com/miekg/dns"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, "echpeers:", err)
		os.Exit(1)
	}
}

// The servers: one has the keys that DNS gives, one has others, and one speaks TLS 1.2 at most.
const (
	known   = "203.0.113.10:443"
	unknown = "203.0.113.11:443"
	old     = "203.0.113.13:443"
	names   = "203.0.113.12:53"
)

func run(certFile, keyFile string, command []string) error {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return err
	}
	inDNS, err := newKeys("public.example")
	if err != nil {
		return err
	}
	elsewhere, err := newKeys("elsewhere.example")
	if err != nil {
		return err
	}
	for address, config := range map[string]*tls.Config{
		known:   {EncryptedClientHelloKeys: inDNS.server()},
		unknown: {EncryptedClientHelloKeys: elsewhere.server()},
		old:     {MaxVersion: tls.VersionTLS12},
	} {
		config.Certificates, config.NextProtos = []tls.Certificate{cert}, []string{"http/1.1"}
		if err := serve(address, config); err != nil {
			return err
		}
	}
	if err := nameServer(names, inDNS.list); err != nil {
		return err
	}
	c := client{roots: x509.NewCertPool()}
	c.roots.AddCert(cert.Leaf)
	for _, call := range []func() error{
		func() error { return c.asTheRecordSays("license.mit-odoo.de") },
		func() error { return c.withKeysFrom(elsewhere, "upload.mit-odoo.de") },
		func() error { return c.call(unknown, "upload.mit-odoo.de", elsewhere.list) },
	} {
		if err := call(); err != nil {
			return err
		}
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

func serve(address string, config *tls.Config) error {
	l, err := tls.Listen("tcp", address, config)
	if err != nil {
		return err
	}
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }))
	}()
	return nil
}

// client calls as a program does that knows of ECH.
type client struct{ roots *x509.CertPool }

// asTheRecordSays asks DNS for keys and the address.
func (c client) asTheRecordSays(host string) error {
	answer, err := ask(host, dns.TypeHTTPS)
	if err != nil {
		return err
	}
	for _, p := range answer.(*dns.HTTPS).Value {
		if keys, ok := p.(*dns.SVCBECHConfig); ok {
			return c.resolved(host, keys.ECH)
		}
	}
	return fmt.Errorf("no keys for %s", host)
}

// withKeysFrom has its keys from elsewhere, as from DNS over HTTPS, and asks for the address only.
func (c client) withKeysFrom(k *keys, host string) error { return c.resolved(host, k.list) }

func (c client) resolved(host string, configs []byte) error {
	answer, err := ask(host, dns.TypeA)
	if err != nil {
		return err
	}
	return c.call(net.JoinHostPort(answer.(*dns.A).A.String(), "443"), host, configs)
}

func (c client) call(address, host string, configs []byte) error {
	conn, err := tls.Dial("tcp", address, &tls.Config{ServerName: host, RootCAs: c.roots, EncryptedClientHelloConfigList: configs})
	if err != nil {
		return err
	}
	defer conn.Close()
	if !conn.ConnectionState().ECHAccepted {
		return fmt.Errorf("%s did not take ECH", address)
	}
	_, err = conn.Write([]byte("GET / HTTP/1.0\r\n\r\n"))
	return err
}

func ask(host string, kind uint16) (dns.RR, error) {
	r, err := dns.Exchange(new(dns.Msg).SetQuestion(dns.Fqdn(host), kind), names)
	if err != nil {
		return nil, err
	}
	if len(r.Answer) == 0 {
		return nil, fmt.Errorf("no answer for %s", host)
	}
	return r.Answer[0], nil
}
