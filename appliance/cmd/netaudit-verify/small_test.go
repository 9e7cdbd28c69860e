package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Promises about the program that an outsider runs.
const (
	largestProgram = 6_000_000 // bytes
	mostLines      = 1000      // of ledger/proof without its tests: to be read in one sitting
)

func TestProgramIsSmallAndOpensNeitherStoreNorNetwork(t *testing.T) {
	deps, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	list := strings.Fields(string(deps))
	if len(list) < 20 {
		t.Fatalf("it depends on %d packages only: %q", len(list), list)
	}
	for _, p := range list {
		if p == "net" || strings.HasPrefix(p, "net/") || strings.Contains(p, "badger") || p == "os/exec" || p == "netaudit/ledger" {
			t.Errorf("it depends on %s", p)
		}
	}
	program := filepath.Join(t.TempDir(), "netaudit-verify")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	info, err := os.Stat(program)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d packages, %d bytes", len(list), info.Size())
	if info.Size() > largestProgram {
		t.Errorf("it has %d bytes", info.Size())
	}
}

func TestCheckCanBeReadInOneSitting(t *testing.T) {
	files, err := filepath.Glob("../../../ledger/proof/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	lines := 0
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		lines += bytes.Count(text, []byte("\n"))
	}
	t.Logf("%d lines", lines)
	if lines == 0 || lines > mostLines {
		t.Errorf("ledger/proof has %d lines", lines)
	}
}
