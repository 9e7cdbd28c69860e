package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"netaudit/attribution/pystack"
)

// mostPythons bounds how many Python processes are named one by one.
const mostPythons = 12

// pythons looks at every process: which are CPython, can their stacks be read, which look like Odoo.
func pythons(ctx context.Context) []Check {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return []Check{{Topic: "python", Status: Warning, Detail: err.Error()}}
	}
	var list []Check
	odoo := 0
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || ctx.Err() != nil {
			continue
		}
		check, isOdoo, ok := examinePython(pid)
		if !ok {
			continue
		}
		if isOdoo {
			odoo++
		}
		if len(list) < mostPythons {
			list = append(list, check)
		}
	}
	if odoo == 0 {
		list = append(list, Check{
			Topic: "odoo", Status: Warning, Detail: "no Odoo process is running here",
			Fix: "start Odoo; netaudit notices by itself. At a mirror port use: netaudit run --mirror",
		})
	}
	return list
}

func examinePython(pid int) (c Check, isOdoo, ok bool) {
	p, err := pystack.Open(pid)
	if errors.Is(err, pystack.ErrNotPython) || errors.Is(err, os.ErrNotExist) {
		return c, false, false
	}
	words := commandLine(pid)
	isOdoo = strings.Contains(strings.ToLower(words), "odoo")
	topic := "python"
	if isOdoo {
		topic = "odoo"
	}
	var unsupported *pystack.UnsupportedError
	switch {
	case errors.As(err, &unsupported):
		return Check{Topic: topic, Status: Warning, Detail: fmt.Sprintf("process %d (%s): %v", pid, words, err)}, isOdoo, true
	case err != nil:
		// Most processes of a host are no business of ours: only those that look like Odoo are worth a line.
		return Check{Topic: topic, Status: Warning, Detail: fmt.Sprintf("process %d (%s): %v", pid, words, err)}, isOdoo, isOdoo
	}
	defer p.Close()
	return Check{Topic: topic, Detail: fmt.Sprintf("process %d: CPython %s, stacks readable (%s)", pid, p.Version(), words)}, isOdoo, true
}

// longestCommandLine bounds what is shown of a command line, in bytes; arguments may hold secrets, so only two words are shown.
const longestCommandLine = 60

func commandLine(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return "gone"
	}
	words := strings.Split(strings.TrimRight(string(text), "\x00"), "\x00")
	line := strings.ToValidUTF8(strings.Join(words[:min(2, len(words))], " "), "?")
	if len(line) > longestCommandLine {
		line = line[:longestCommandLine] + "…"
	}
	return line
}
