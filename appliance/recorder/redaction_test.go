package recorder

import (
	"cmp"
	"net/netip"
	"strings"
	"testing"

	"netaudit/attribution"
	"netaudit/dissect"
	"netaudit/ledger"
)

// TestStrictRedactionHidesPeopleAndTheInnerNetwork: what an auditor needs (who was called outside, how much) stays.
func TestStrictRedactionHidesPeopleAndTheInnerNetwork(t *testing.T) {
	var rows []string
	r, err := New(Config{Parties: byAddress{}, Emit: func(e ledger.Event) { rows = append(rows, string(e.AppendJSON(nil))) }, RunID: "t", Strict: NewRedaction([32]byte{1})})
	if err != nil {
		t.Fatal(err)
	}
	out := outboundFlow()
	out.HTTP = &dissect.HTTP{Method: "GET", Host: "api.example", Path: "/private/path", UserAgent: "private-agent", Route: "/private/path"}
	out.TLS = &dissect.TLS{SNI: "api.example", Cert: &dissect.Certificate{SHA256: "00ff", Subject: "CN=db.private.lan", SAN: []string{"db.private.lan", "api.example"}}}
	out.Service = &dissect.Service{Server: "8.0", User: "p***", Database: "d***"}
	r.FlowOpened(out)
	r.HTTPRequest(out, out.HTTP)
	r.DNSMessage(out, &dissect.DNS{Name: "odoo.private.lan", Type: "A", Answers: []string{"10.9.8.7", "198.51.100.1", "db.private.lan"}, Zone: dissect.Zone{Name: "private.lan"}})
	r.DNSMessage(out, &dissect.DNS{Name: "api.example", Type: "A", Zone: dissect.Zone{Name: "api.example"}})
	r.FlowClosed(out)
	in := outboundFlow()
	in.ID, in.Direction, in.Src, in.Dst, in.Host = 99, dissect.Inbound, netip.MustParseAddrPort("198.51.100.77:1234"), netip.MustParseAddrPort("10.0.0.1:8069"), "intranet"
	r.FlowOpened(in)
	r.FlowClosed(in)
	all := strings.Join(rows, "\n")
	for _, secret := range []string{"private", "10.0.0.1", "10.9.8.7", "198.51.100.77", "intranet", "p***", "d***"} {
		if strings.Contains(all, secret) {
			t.Errorf("%q is still there:\n%s", secret, all)
		}
	}
	for _, needed := range []string{`"host":"api.example"`, "203.0.113.9", "198.51.100.1", `"method":"GET"`, `"name":"api.example"`, `"dst_bytes":200`} {
		if !strings.Contains(all, needed) {
			t.Errorf("%q is gone:\n%s", needed, all)
		}
	}
	client := func(row string) string { return strings.Split(strings.Split(row, `"src":{"ip":"`)[1], `"`)[0] }
	if !strings.HasPrefix(client(rows[0]), mark) || client(rows[0]) != client(rows[1]) {
		t.Errorf("the same client is %s and %s", client(rows[0]), client(rows[1]))
	}
}

// byAddress calls an unknown party by its name or address, as the catalogue does.
type byAddress struct{}

func (byAddress) Match(host string, ip netip.Addr) attribution.Party {
	return attribution.Party{Class: attribution.ThirdParty, Name: cmp.Or(host, ip.String()), Rule: "unknown"}
}

func TestAnotherKeyHidesOtherwise(t *testing.T) {
	a, b := NewRedaction([32]byte{1}), NewRedaction([32]byte{2})
	once := a.hide("path", "/x")
	if b.hide("path", "/x") == once || a.hide("agent", "/x") == once || a.hide("path", "/y") == once || a.hide("path", "/x") != once {
		t.Error("hidden values must depend on the key, the kind and the value, and on nothing else")
	}
	if a.hide("path", once) != once {
		t.Error("hidden twice")
	}
}
