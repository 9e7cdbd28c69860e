package pystack

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"

	"netaudit/attribution/pystack/memory"
)

// image is an executable or library mapped by the target.
type image struct {
	path  string // as the target sees it, "(deleted)" stripped
	start uint64 // address of the mapping of file offset 0
	files []string
}

// runtimeAt is a CPython runtime found in a process.
type runtimeAt struct {
	addr    uint64
	cell    uint64 // PyCell_Type, 0 when it was not found
	version string
	layout  layout
}

// maxMaps bounds the lines of /proc/PID/maps that are looked at.
const maxMaps = 65536

// mayHoldPython: a shared libpython, or an interpreter started through the dynamic loader.
func mayHoldPython(base string) bool {
	return strings.HasPrefix(base, "libpython3") || strings.HasPrefix(base, "python3")
}

// images lists where a runtime may be: the executable first, then any libpython.
func images(pid int) ([]image, error) {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return nil, fmt.Errorf("finding the executable of process %d: %w", pid, err)
	}
	exe = strings.TrimSuffix(exe, " (deleted)")
	f, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return nil, fmt.Errorf("reading the mappings of process %d: %w", pid, err)
	}
	defer f.Close()
	var first, rest []image
	seen := map[string]bool{}
	sc := bufio.NewScanner(f)
	for n := 0; n < maxMaps && sc.Scan(); n++ {
		fields := strings.SplitN(sc.Text(), " ", 6)
		if len(fields) < 6 || fields[2] != "00000000" {
			continue
		}
		name := strings.TrimSuffix(strings.TrimLeft(fields[5], " "), " (deleted)")
		isExe := name == exe
		if seen[name] || !isExe && !mayHoldPython(path.Base(name)) {
			continue
		}
		low, _, _ := strings.Cut(fields[0], "-")
		start, err := strconv.ParseUint(low, 16, 64)
		if err != nil {
			return nil, fmt.Errorf("reading the mappings of process %d: %w", pid, err)
		}
		seen[name] = true
		im := image{path: name, start: start}
		if isExe {
			im.files = []string{fmt.Sprintf("/proc/%d/exe", pid)}
			first = append(first, im)
			continue
		}
		// map_files survives deletion and mount namespaces, but needs more rights than root/.
		im.files = []string{fmt.Sprintf("/proc/%d/map_files/%s", pid, fields[0])}
		if !strings.HasSuffix(fields[5], " (deleted)") { // else another file may have taken the name
			im.files = append(im.files, fmt.Sprintf("/proc/%d/root%s", pid, name))
		}
		rest = append(rest, im)
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("reading the mappings of process %d: %w", pid, err)
	}
	return append(first, rest...), nil
}

func findRuntime(pid int, r memory.Reader) (runtimeAt, error) {
	list, err := images(pid)
	if err != nil {
		return runtimeAt{}, err
	}
	var denied error
	for _, im := range list {
		var facts elfFacts
		for _, file := range im.files {
			if facts, err = readELF(file); err == nil {
				break
			}
		}
		if errors.Is(err, fs.ErrPermission) {
			denied = err
		}
		if err != nil || facts.runtime == 0 {
			continue
		}
		return identify(r, im, facts)
	}
	if denied != nil {
		return runtimeAt{}, denied
	}
	return runtimeAt{}, fmt.Errorf("process %d: %w", pid, ErrNotPython)
}

// debugCookie opens _Py_DebugOffsets (3.13+).
const debugCookie = "xdebugpy"

func identify(r memory.Reader, im image, facts elfFacts) (runtimeAt, error) {
	bias := im.start - facts.load
	rt := runtimeAt{addr: facts.runtime + bias}
	if facts.cell != 0 {
		rt.cell = facts.cell + bias
	}
	head := make([]byte, 24)
	if err := r.ReadAt(rt.addr, head); err != nil {
		return rt, fmt.Errorf("reading _PyRuntime: %w", err)
	}
	described := string(head[:8]) == debugCookie
	minor := 0
	switch {
	case described:
		rt.version, minor = hexVersion(le64(head, 8))
	case facts.pyVersion != 0:
		v, err := memory.Uint64(r, facts.pyVersion+bias)
		if err != nil {
			return rt, fmt.Errorf("reading Py_Version: %w", err)
		}
		rt.version, minor = hexVersion(v)
	case facts.text != "":
		rt.version, minor = facts.text, minorOf(facts.text)
	default:
		if rt.version = runningVersion(r, facts, bias); rt.version != "" {
			minor = minorOf(rt.version)
			break
		}
		rt.version, minor = nameVersion(im.path)
	}
	if facts.debug {
		return rt, &UnsupportedError{Version: rt.version + " (debug build)"}
	}
	var ok bool
	if rt.layout, ok = layoutFor(minor); !ok || described != (minor >= 13) {
		return rt, &UnsupportedError{Version: rt.version}
	}
	if !described {
		return rt, nil
	}
	if le64(head, 16) != 0 {
		return rt, &UnsupportedError{Version: rt.version + " (free-threaded)"}
	}
	return rt, rt.layout.describedBy(r, rt.addr)
}

// maxBSS bounds the .bss searched for a version; CPython's is below 1 MiB.
const maxBSS = 4 << 20

// runningVersion is the version text in the target's memory, "" when there is none.
func runningVersion(r memory.Reader, facts elfFacts, bias uint64) string {
	if facts.bssSize == 0 || facts.bssSize > maxBSS {
		return ""
	}
	buf := make([]byte, facts.bssSize)
	if err := r.ReadAt(facts.bss+bias, buf); err != nil {
		return ""
	}
	if m := runningText.FindSubmatch(buf); m != nil {
		return string(m[1])
	}
	return ""
}

// hexVersion decodes PY_VERSION_HEX (patchlevel.h).
func hexVersion(v uint64) (string, int) {
	text := fmt.Sprintf("%d.%d.%d", v>>24&0xff, v>>16&0xff, v>>8&0xff)
	if v>>24&0xff != 3 {
		return text, 0
	}
	return text, int(v >> 16 & 0xff)
}

func minorOf(version string) int {
	parts := strings.SplitN(strings.TrimPrefix(version, "3."), ".", 2)
	n, err := strconv.Atoi(parts[0])
	if err != nil {
		return 0
	}
	return n
}

// nameVersion takes the version from a file name such as libpython3.10.so.1.0 or python3.9.
func nameVersion(file string) (string, int) {
	_, rest, found := strings.Cut(path.Base(file), "python3.")
	end := strings.IndexFunc(rest, func(c rune) bool { return c < '0' || c > '9' }) // .so, or ABI flags: python3.7m
	if end < 0 {
		end = len(rest)
	}
	n, err := strconv.Atoi(rest[:end])
	if !found || err != nil {
		return "unknown", 0
	}
	return fmt.Sprintf("3.%d", n), n
}
