package pystack

import (
	"encoding/base64"
	"encoding/json"
	"testing"
)

// linesScript prints, for the code objects of some modules of the standard library, the line table and the lines that the
// interpreter itself gives for all offsets.
const linesScript = `
import sys, json, base64, types, argparse, inspect, ast, dis, socket, tokenize
def codes(c):
    yield c
    for k in c.co_consts:
        if isinstance(k, types.CodeType): yield from codes(k)
def by_offset(c):
    n = len(c.co_code)
    if hasattr(c, "co_lines"):
        out = [None] * n
        for lo, hi, line in c.co_lines():
            for i in range(lo, min(hi, n)): out[i] = line
        return out
    starts, out, line = dict(dis.findlinestarts(c)), [], c.co_firstlineno
    for i in range(n):
        line = starts.get(i, line)
        out.append(line)
    return out
all = []
for m in (argparse, inspect, ast, dis, socket, tokenize):
    with open(m.__file__, encoding="utf-8") as f: top = compile(f.read(), m.__file__, "exec")
    for c in codes(top):
        table = c.co_linetable if hasattr(c, "co_linetable") else c.co_lnotab
        all.append({"name": c.co_name, "first": c.co_firstlineno, "table": base64.b64encode(table).decode(), "lines": by_offset(c)})
json.dump({"minor": sys.version_info[1], "codes": all}, sys.stdout)
`

func TestLinesEqualTheInterpretersOwn(t *testing.T) {
	each(t, func(t *testing.T, py python) {
		out, err := py.Command("-c", linesScript).Output()
		if err != nil {
			t.Fatal(err)
		}
		var all struct {
			Minor int
			Codes []struct {
				Name, Table string
				First       int
				Lines       []*int
			}
		}
		if err := json.Unmarshal(out, &all); err != nil {
			t.Fatal(err)
		}
		compared := 0
		for _, c := range all.Codes {
			table, err := base64.StdEncoding.DecodeString(c.Table)
			if err != nil {
				t.Fatal(err)
			}
			for off := 0; off < len(c.Lines); off += 2 {
				if c.Lines[off] == nil {
					continue // belongs to no line
				}
				compared++
				if got := lineAt(all.Minor, table, c.First, off); got != *c.Lines[off] {
					t.Fatalf("%s at %d: got %d, the interpreter says %d", c.Name, off, got, *c.Lines[off])
				}
			}
		}
		if compared < 10000 {
			t.Errorf("only %d lines compared", compared)
		}
	})
}
