package tap

import (
	"errors"
	"net"
	"os"
	"slices"
	"strings"
)

// explainActivation turns libpcap's answer into what the user can do about it.
func explainActivation(iface string, err, detail error) error {
	text := err.Error()
	switch {
	case detail == nil || strings.Contains(text, detail.Error()):
	case strings.Contains(strings.ToLower(detail.Error()), strings.ToLower(text)):
		text = detail.Error() // it says the same and more
	default:
		text += " " + detail.Error()
	}
	lower := strings.ToLower(text)
	if strings.Contains(lower, "permission") || strings.Contains(lower, "not permitted") {
		return &RightsError{Doing: "capture on " + iface, Missing: "CAP_NET_RAW", Fix: grant("cap_net_raw"), Err: errors.New(text)}
	}
	gone := &InterfaceError{Iface: iface, Err: errors.New(text)}
	if names := existing(); !slices.Contains(names, iface) {
		gone.Exists = names
	}
	return gone
}

// existing lists the interfaces of the calling thread's network namespace; empty when the kernel does not tell.
func existing() []string {
	list, err := net.Interfaces()
	if err != nil {
		return nil
	}
	names := make([]string, 0, len(list))
	for _, i := range list {
		names = append(names, i.Name)
	}
	return names
}

// grant is the command that gives the running program the capabilities it asks for at most, so that one grant is enough.
func grant(needed string) string {
	path, err := os.Executable()
	if err != nil {
		path = "netaudit"
	}
	all := []string{"cap_net_raw", "cap_net_admin", "cap_sys_ptrace", "cap_dac_read_search"}
	if !slices.Contains(all, needed) {
		all = append(all, needed)
	}
	return "sudo setcap " + strings.Join(all, ",") + "+ep " + path
}
