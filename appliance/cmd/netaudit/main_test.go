package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"netaudit/ledger"
)

func TestMain(m *testing.M) {
	ledger.MaybeProbe()
	testscript.Main(m, map[string]func(){"netaudit": main})
}

// TestCommands runs the scripts beside it: what a user types, what comes back, and the exit status.
func TestCommands(t *testing.T) {
	captures, err := filepath.Abs("../../../tap/testdata/captures")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", UpdateScripts: os.Getenv("UPDATE") != "",
		Setup: func(e *testscript.Env) error {
			e.Setenv("CAPTURES", captures)
			return nil
		},
	})
}

// TestExitStatuses are a contract that scripts and monitoring rely on.
func TestExitStatuses(t *testing.T) {
	dir := t.TempDir()
	state, alien, captures := filepath.Join(dir, "case"), filepath.Join(dir, "alien.pcap"), "../../../tap/testdata/captures/"
	if err := os.WriteFile(alien, []byte("no capture"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want int
		args []string
	}{
		{0, []string{"replay", captures + "dns.pcap"}},
		{1, []string{"replay", alien}},
		{1, []string{"replay", captures + "dns.pcap", alien}},
		{2, []string{"replay"}},
		{2, []string{"replay", "--workers=9", captures + "dns.pcap"}},
		{2, []string{"replay", "--workers=-1", captures + "dns.pcap"}},
		{0, []string{"replay", "--state", state, captures + "dns.pcap"}},
		{0, []string{"verify", state}},
		{0, []string{"report", "--state", state}},
		{0, []string{"replay", "--state", state, captures + "curl.pcap"}},
		{3, []string{"report", "--state", state}},
		{2, []string{"verify", filepath.Join(dir, "nothing")}},
		{2, []string{"report", "--state", filepath.Join(dir, "nothing")}},
		{0, []string{"--help"}},
		{2, []string{"fly"}},
	} {
		var out, errs bytes.Buffer
		if got := run(c.args, &out, &errs); got != c.want {
			t.Errorf("netaudit %v: exit %d, want %d\n%s%s", c.args, got, c.want, out.String(), errs.String())
		}
	}
	if err := os.WriteFile(filepath.Join(state, "anchor", "checkpoint"), []byte("forged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := run([]string{"verify", state}, io.Discard, io.Discard); got != 1 {
		t.Errorf("verify of a ledger with a forged anchor: exit %d, want 1", got)
	}
}
