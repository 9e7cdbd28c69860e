package resolve

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"netaudit/attribution"
)

// TestMain lets the test binary ask as another user: NETAUDIT_TRY_ASK is both ends of a connection.
func TestMain(m *testing.M) {
	if ends := os.Getenv("NETAUDIT_TRY_ASK"); ends != "" {
		r, err := New(Config{})
		if err != nil {
			fmt.Println(err)
			return
		}
		ctx, stop := context.WithCancel(context.Background())
		answer := make(chan attribution.Owner, 1)
		go func() {
			local, remote, _ := strings.Cut(ends, " ")
			r.Ask(attribution.Tuple{Proto: 6, Local: netip.MustParseAddrPort(local), Remote: netip.MustParseAddrPort(remote)}, func(o attribution.Owner) { answer <- o; stop() })
		}()
		if err := r.Run(ctx); err != nil {
			fmt.Println(err)
			return
		}
		o := <-answer
		fmt.Printf("%v %s: %s\n", o.Addon != nil, o.Evidence.Confidence, o.Evidence.Reason)
		return
	}
	os.Exit(m.Run())
}

func TestMissingRightsLeaveTheCallerUnknownWithTheReason(t *testing.T) {
	needRoot(t)
	accept := world(t, "import socket\ndef run(port):\n    s = socket.create_connection(('127.0.0.1', port))\n    s.recv(1)\n")
	c := accept()
	for _, without := range []struct{ why, capabilities, says string }{
		{"with all rights", "", "true exact: "},
		{"without any", "-all", "false unknown: no visible process holds the socket"},
		{"without memory", "-sys_ptrace", "false unknown: no visible process holds the socket"},
	} {
		command := []string{os.Args[0]}
		if without.capabilities != "" {
			command = append([]string{"setpriv", "--bounding-set=" + without.capabilities, "--inh-caps=" + without.capabilities}, command...)
		}
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Env = append(os.Environ(), "NETAUDIT_TRY_ASK="+c.RemoteAddr().String()+" "+c.LocalAddr().String())
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), without.says) {
			t.Errorf("%s: %q, error %v; want %q", without.why, out, err, without.says)
		}
	}
}

func TestNetworkNamespaceThatIsGoneIsTheReason(t *testing.T) {
	needRoot(t)
	r := resolver(t)
	name := fmt.Sprintf("netaudit-odoo-gone-%d", os.Getpid())
	if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var st unix.Stat_t
	err := unix.Stat("/run/netns/"+name, &st)
	if out, err := exec.Command("ip", "netns", "del", name).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	here := netip.MustParseAddrPort(l.Addr().String())
	o := askOf(t, r.Ask, attribution.Tuple{Proto: 6, Local: here, Remote: here, NetNS: st.Ino})
	if o.Process != nil || o.Addon != nil || o.Evidence.Source != attribution.SourceNone || o.Evidence.Reason != fmt.Sprintf("network namespace %d is gone", st.Ino) {
		t.Errorf("process %+v, evidence %+v", o.Process, o.Evidence)
	}
}
