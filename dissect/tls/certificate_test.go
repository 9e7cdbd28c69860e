package tls

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// presented is what is read of a certificate in the message of a server.
func presented(t *testing.T, der []byte) *Presented {
	t.Helper()
	one := append(binary.BigEndian.AppendUint32(nil, uint32(len(der)))[1:], der...)
	var c Certificates
	p, err := c.Parse(append(binary.BigEndian.AppendUint32(nil, uint32(len(one)))[1:], one...))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func signed(t *testing.T, template *x509.Certificate) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(1)
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// TestManyNamesAreAllCompared: a row shows 32 names, but a certificate of a large provider is for all of its hundreds.
func TestManyNamesAreAllCompared(t *testing.T) {
	template := &x509.Certificate{NotAfter: time.Date(2060, 1, 2, 3, 4, 5, 0, time.UTC), IPAddresses: []net.IP{net.ParseIP("192.0.2.1"), net.ParseIP("2001:db8::1")}}
	for i := range 300 {
		template.DNSNames = append(template.DNSNames, fmt.Sprintf("H%d.Provider.example", i))
	}
	template.DNSNames = append(template.DNSNames, "*.last.example")
	p := presented(t, signed(t, template))
	if len(p.SAN) != mostNames || p.SAN[1] != "h1.provider.example" || p.NotAfter != template.NotAfter.UnixNano() {
		t.Errorf("%d names %q, until %d", len(p.SAN), p.SAN[1], p.NotAfter)
	}
	for host, want := range map[string]bool{"h5.provider.example": true, "h299.provider.example": true, "www.last.example": true, "192.0.2.1": true, "2001:db8::1": true, "h300.provider.example": false, "last.example": false} {
		if p.Names(host) != want {
			t.Errorf("for %s: %v, want %v", host, !want, want)
		}
	}
}

// TestDistinguishedNamesKeepTheirOrder: as crypto/x509/pkix writes the parts that it has names for; domain components are named, and no mail address is kept, in whatever attribute it stands.
func TestDistinguishedNamesKeepTheirOrder(t *testing.T) {
	oid := func(numbers ...int) asn1.ObjectIdentifier { return numbers }
	cn, ou, o, serial := oid(2, 5, 4, 3), oid(2, 5, 4, 11), oid(2, 5, 4, 10), oid(2, 5, 4, 5)
	dc, mail, other := oid(0, 9, 2342, 19200300, 100, 1, 25), oid(1, 2, 840, 113549, 1, 9, 1), oid(1, 2, 3, 4)
	part := func(kind asn1.ObjectIdentifier, value any) pkix.RelativeDistinguishedNameSET {
		return pkix.RelativeDistinguishedNameSET{{Type: kind, Value: value}}
	}
	for _, c := range []struct {
		name pkix.RDNSequence
		want string
	}{
		{pkix.RDNSequence{part(o, "A, B"), part(ou, "one"), part(ou, "two"), part(cn, ` #"x"+\<é> `)}, ""},
		{pkix.RDNSequence{part(o, "A"), {{Type: cn, Value: "b"}, {Type: serial, Value: "7"}}, part(oid(2, 5, 4, 6), "DE")}, ""},
		{pkix.RDNSequence{part(dc, "local"), part(dc, "corp"), part(cn, "corp-CA")}, "CN=corp-CA,DC=corp,DC=local"},
		{pkix.RDNSequence{part(mail, "secret@b.example"), part(cn, "secret@b.example"), part(o, "A")}, "O=A,CN=***,emailAddress=***"},
		{pkix.RDNSequence{part(other, []byte("secret@b.example")), part(other, 5)}, "1.2.3.4=#020105,1.2.3.4=***"},
		{pkix.RDNSequence{part(cn, asn1.RawValue{Tag: asn1.TagBMPString, Bytes: []byte{0, 'a', 0x20, 0xac}}), part(cn, asn1.RawValue{Tag: asn1.TagT61String, Bytes: []byte{'b', 0xe9}})}, "CN=bé,CN=a€"},
	} {
		der, err := asn1.Marshal(c.name)
		if err != nil {
			t.Fatal(err)
		}
		if c.want == "" {
			c.want = c.name.String()
		}
		if p := presented(t, signed(t, &x509.Certificate{RawSubject: der, NotAfter: time.Unix(1e9, 0)})); p.Subject != c.want || p.Issuer != c.want {
			t.Errorf("%q by %q, want %q", p.Subject, p.Issuer, c.want)
		}
	}
}

// TestCertificateOfAnyCurveIsRead: crypto/x509 refuses certificates with keys on curves of Brainpool, which authorities prescribe.
func TestCertificateOfAnyCurveIsRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.der")
	out, err := exec.Command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:brainpoolP256r1", "-nodes", "-subj", "/O=A/CN=b.example", "-addext", "subjectAltName=DNS:b.example", "-set_serial", "-7", "-days", "9", "-keyout", os.DevNull, "-outform", "der", "-out", file).CombinedOutput()
	if err != nil {
		t.Skipf("openssl: %v: %s", err, out)
	}
	der, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x509.ParseCertificate(der); err == nil {
		t.Error("crypto/x509 reads it: another example is needed")
	}
	if p := presented(t, der); p.Subject != "CN=b.example,O=A" || !slices.Equal(p.SAN, []string{"b.example"}) || time.Until(time.Unix(0, p.NotAfter)).Round(24*time.Hour) != 9*24*time.Hour {
		t.Errorf("%+v", p)
	}
	for n := range der { // a certificate that is cut
		presented(t, bytes.Clone(der[:n]))
	}
}
