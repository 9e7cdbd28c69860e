package doctor

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// capability is one right of capabilities(7) and what it is for.
type capability struct {
	bit    uint
	name   string
	why    string
	needed bool // without it there is nothing to see
}

var capabilities = []capability{
	{unix.CAP_NET_RAW, "CAP_NET_RAW", "see packets", true},
	{unix.CAP_SYS_PTRACE, "CAP_SYS_PTRACE", "read Python stacks", false},
	{unix.CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH", "see other users' sockets and threads", false},
	{unix.CAP_SYS_ADMIN, "CAP_SYS_ADMIN", "watch other network namespaces (containers)", false},
}

// rights compares the process's effective capabilities with what each part needs.
func rights() []Check {
	effective, err := effectiveCapabilities()
	if err != nil {
		return []Check{{Topic: "rights", Status: Warning, Detail: err.Error()}}
	}
	var list []Check
	for _, c := range capabilities {
		check := Check{Topic: "right", Detail: c.name + ": " + c.why}
		if effective&(1<<c.bit) == 0 {
			check.Status, check.Detail = Warning, c.name+" is missing: cannot "+c.why
			if c.needed {
				check.Status = Missing
			}
			check.Fix = fmt.Sprintf("run with sudo, or: sudo setcap %s+ep %s", strings.ToLower(c.name), ownPath())
		}
		list = append(list, check)
	}
	return list
}

// effectiveCapabilities reads CapEff of proc_pid_status(5).
func effectiveCapabilities() (uint64, error) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0, fmt.Errorf("read own rights: %w", err)
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	for in.Scan() {
		if hex, ok := strings.CutPrefix(in.Text(), "CapEff:"); ok {
			return strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
		}
	}
	return 0, fmt.Errorf("read own rights: /proc/self/status has no CapEff line")
}
