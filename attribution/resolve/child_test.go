package resolve

import (
	"net"
	"net/netip"
	"testing"

	"netaudit/attribution"
)

// listening is a server on loopback that lives as long as the test, and its address.
func listening(t *testing.T) (net.Listener, netip.AddrPort) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // nothing hangs on it any more
	return l, netip.MustParseAddrPort(l.Addr().String())
}

// TestProgramThatEndedAtOnceHasTheAddonThatStartedIt asks only after the program, and the shell around it, are gone.
func TestProgramThatEndedAtOnceHasTheAddonThatStartedIt(t *testing.T) {
	r := recording(t)
	p := startPuppet(t, r)
	l, here := listening(t)
	for _, what := range []string{"program", "shell"} {
		child := p.do(what, here.Port())
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		from := netip.MustParseAddrPort(c.RemoteAddr().String())
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		o := askOf(t, r.Ask, attribution.Tuple{Proto: 6, Local: from, Remote: here})
		if o.Addon == nil || o.Addon.Name != "caller" || o.Addon.Method != what || o.Evidence.Source != attribution.SourceKernel ||
			o.Evidence.Confidence != attribution.ConfidenceExact || o.Evidence.TID != p.pid || o.Process == nil || what == "program" && o.Process.PID != child || o.Process.PID == p.pid {
			t.Errorf("%s %d: addon %+v, process %+v, evidence %+v", what, child, o.Addon, o.Process, o.Evidence)
		}
	}
}

// TestProgramOfPythonWhoseCodeIsGoneHasTheAddonThatStartedIt lets a program of Python, which lives on, call from a text that is compiled for this call.
func TestProgramOfPythonWhoseCodeIsGoneHasTheAddonThatStartedIt(t *testing.T) {
	r := recording(t)
	p := startPuppet(t, r)
	l, here := listening(t)
	child := p.do("python", here.Port())
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	o := askOf(t, r.Ask, attribution.Tuple{Proto: 6, Local: netip.MustParseAddrPort(c.RemoteAddr().String()), Remote: here})
	if o.Addon == nil || o.Addon.Name != "caller" || o.Addon.Method != "python" || o.Evidence.Source != attribution.SourceKernel || o.Process == nil || o.Process.PID != child {
		t.Errorf("addon %+v, process %+v, evidence %+v", o.Addon, o.Process, o.Evidence)
	}
}

// TestCopyOfAPythonIsNotTakenForItsParent lets a fork of the addon's process, which nobody has announced, start a program.
func TestCopyOfAPythonIsNotTakenForItsParent(t *testing.T) {
	r := recording(t)
	p := startPuppet(t, r)
	l, here := listening(t)
	p.do("copy", here.Port())
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	o := askOf(t, r.Ask, attribution.Tuple{Proto: 6, Local: netip.MustParseAddrPort(c.RemoteAddr().String()), Remote: here})
	if o.Addon != nil && o.Addon.Method == "copy" {
		t.Errorf("addon %+v, process %+v, evidence %+v", o.Addon, o.Process, o.Evidence)
	}
}
