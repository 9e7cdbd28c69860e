package hook

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Inodes of the first namespaces (include/linux/proc_ns.h).
const (
	firstPIDNamespace    = 0xEFFFFFFC
	firstCgroupNamespace = 0xEFFFFFFB
)

// rootGroup is the directory of the root of the cgroup v2 hierarchy, which every process of the host is below.
func rootGroup() (string, error) {
	if err := inFirst("pid", firstPIDNamespace); err != nil {
		return "", err
	}
	if err := inFirst("cgroup", firstCgroupNamespace); err != nil {
		return "", err
	}
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return "", fmt.Errorf("look for the cgroup v2 hierarchy: %w", err)
	}
	defer f.Close()
	return findGroup(f)
}

func inFirst(kind string, inode uint64) error {
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/"+kind, &st); err != nil {
		return fmt.Errorf("look at the %s namespace: %w", kind, err)
	}
	if st.Ino != inode {
		return fmt.Errorf("netaudit runs in a %s namespace of its own, which shows it only a part of the host", kind)
	}
	return nil
}

// errNoCgroup2 says that the hierarchy is mounted nowhere.
var errNoCgroup2 = errors.New("no cgroup v2 hierarchy is mounted")

// findGroup reads proc_pid_mountinfo(5): id, parent, device, root, mount point, options, optional fields, a dash, type.
func findGroup(mountinfo io.Reader) (string, error) {
	in := bufio.NewScanner(mountinfo)
	for in.Scan() {
		before, after, found := strings.Cut(in.Text(), " - ")
		fields := strings.Fields(before)
		if found && len(fields) >= 5 && fields[3] == "/" && strings.HasPrefix(after, "cgroup2 ") {
			return unescape(fields[4]), nil
		}
	}
	if err := in.Err(); err != nil {
		return "", fmt.Errorf("look for the cgroup v2 hierarchy: %w", err)
	}
	return "", errNoCgroup2
}

// unescape undoes what the kernel does to spaces, tabs, line ends and backslashes in paths.
func unescape(path string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(path)
}
