package pystack

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// fixedOffsets are those that the code uses as numbers, because no version differs.
var fixedOffsets = map[string]uint64{
	"gilHolder": 8, "gilLocked": 16, "dictKeys": dictKeys, "dictValues": dictValues, "typeBasicSize": typeBasicSize, "typeFlags": typeFlags, "typeDictOffset": typeDictOffset, "typeDict": typeDict, "typeMRO": typeMRO, "tupleSize": tupleSize, "tupleData": tupleData, "obType": obType, "tpName": typeName, "cellRef": 16, "bytesSize": 16, "bytesData": 32,
}

func TestLayoutsEqualTheHeadersOfInstalledInterpreters(t *testing.T) {
	compared := 0
	each(t, func(t *testing.T, py python) {
		out, err := py.Command("-c", "import sys, sysconfig; print(sys.version_info[1], sysconfig.get_path('include'))").Output()
		if err != nil {
			t.Fatal(err)
		}
		var minor int
		var include string
		if _, err := fmt.Sscan(string(out), &minor, &include); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(include, "internal")); err != nil {
			t.Skip("no headers installed")
		}
		program := filepath.Join(t.TempDir(), "offsets")
		cc := exec.Command("cc", "-w", "-I"+include, "-I"+filepath.Join(include, "internal"), "-o", program, "layoutgen/offsets.c")
		if text, err := cc.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if out, err = exec.Command(program).Output(); err != nil {
			t.Fatal(err)
		}
		compareLayout(t, minor, out)
		compared++
	})
	if compared == 0 {
		t.Fatal("no interpreter with headers")
	}
}

func compareLayout(t *testing.T, minor int, printed []byte) {
	t.Helper()
	l, ok := layoutFor(minor)
	if !ok {
		t.Fatalf("no layout for 3.%d", minor)
	}
	fields := reflect.ValueOf(l)
	missing := map[string]bool{}
	for i := range fields.NumField() {
		if name := fields.Type().Field(i).Name; name != "minor" && fields.Field(i).Uint() != 0 {
			missing[name] = true
		}
	}
	for sc := bufio.NewScanner(bytes.NewReader(printed)); sc.Scan(); {
		var name string
		var want uint64
		if _, err := fmt.Sscan(sc.Text(), &name, &want); err != nil {
			t.Fatal(err)
		}
		delete(missing, name)
		got, fixed := fixedOffsets[name]
		switch {
		case name == "cachedKeys":
			got = l.cachedKeys()
		case !fixed:
			got = fields.FieldByName(name).Uint()
		}
		if got != want {
			t.Errorf("3.%d %s: the table has %d, the header %d", minor, name, got, want)
		}
	}
	for name := range missing {
		t.Errorf("3.%d %s is in the table but the header has no such field", minor, name)
	}
}

// The interpreter publishes its own offsets from 3.13 on; they must be those of the table but for moves inside a minor.
func TestDebugOffsetsOfLiveInterpretersAreNearTheTable(t *testing.T) {
	each(t, func(t *testing.T, py python) {
		pid, _ := py.start(t, "import time; print('ready', flush=True); time.sleep(60)")
		p := open(t, pid)
		table, _ := layoutFor(p.rt.layout.minor)
		live, fixed := reflect.ValueOf(p.rt.layout), reflect.ValueOf(table)
		for i := range live.NumField() {
			name := live.Type().Field(i).Name
			inFrameOrCode := strings.HasPrefix(name, "f") || strings.HasPrefix(name, "co") || name == "asciiSize"
			if inFrameOrCode && !live.Field(i).Equal(fixed.Field(i)) {
				t.Errorf("%s: live %v, table %v", name, live.Field(i), fixed.Field(i))
			}
		}
	})
}
