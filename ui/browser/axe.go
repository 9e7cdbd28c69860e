package browser

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// axeFile is where the Makefile puts axe-core: it is no part of netaudit, only its measure.
func axeFile() string {
	if path := os.Getenv("NETAUDIT_AXE"); path != "" {
		return path
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".cache", "netaudit", "axe-core-4.14.1", "axe.min.js")
}

// Axe returns axe-core's program. Without it a test is skipped, and in CI it fails.
func Axe(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(axeFile())
	if err == nil {
		return string(text)
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("axe-core is missing (make deps-test fetches it): %v", err)
	}
	t.Skipf("axe-core is missing (make deps-test fetches it): %v", err)
	return ""
}

// Barriers lets axe-core judge the present page by WCAG 2.2 A and AA and its own best practices, or only the contrasts of its colours, and returns one sentence for each violation.
func (w *Window) Barriers(axe string, onlyColours bool) []string {
	w.T.Helper()
	if !Eval[bool](w, `typeof globalThis.axe === "object"`) {
		Eval[bool](w, axe+"\n;true")
	}
	rules := `["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]`
	if onlyColours {
		rules = `{ type: "rule", values: ["color-contrast"] }`
	}
	answer := Eval[string](w, `axe.run(document, { resultTypes: ["violations"], runOnly: `+rules+` }).then((r) => JSON.stringify(
		r.violations.map((v) => ({ id: v.id, help: v.help, nodes: v.nodes.map((n) => n.target.join(" ") + ": " + n.failureSummary.split("\n").slice(1).join(";").slice(0, 240)) })),
	))`)
	var list []struct {
		ID, Help string
		Nodes    []string
	}
	if err := json.Unmarshal([]byte(answer), &list); err != nil {
		w.T.Fatalf("read axe-core's answer: %v", err)
	}
	var out []string
	for _, v := range list {
		out = append(out, v.ID+" ("+v.Help+"): "+strings.Join(v.Nodes[:min(3, len(v.Nodes))], " | "))
	}
	return out
}
