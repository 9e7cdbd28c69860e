package pystack

import (
	"fmt"
	"io"
	"strconv"
	"unicode"
)

// Format writes threads as text, innermost frame first. Control characters in the target's names are escaped, so that
// a process cannot write to the reader's terminal. Errors of w are not reported: it is meant for a terminal.
func Format(w io.Writer, pid int, threads []Thread) {
	fmt.Fprintf(w, "Process %d: %d Python threads\n", pid, len(threads))
	for _, t := range threads {
		fmt.Fprintf(w, "\nThread %d %s", t.TID, printable(t.Name))
		if t.NativeID != t.TID {
			fmt.Fprintf(w, " (%d in its namespace)", t.NativeID)
		}
		if t.HoldsGIL {
			fmt.Fprint(w, " [holds the GIL]")
		}
		fmt.Fprintln(w)
		for _, f := range t.Frames {
			fmt.Fprintf(w, "    %s  %s:%d", printable(f.Function), printable(f.File), f.Line)
			if f.Module != "" {
				fmt.Fprintf(w, "  in %s", printable(f.Module))
			}
			if f.Arg0Type != "" {
				fmt.Fprintf(w, "  on %s", printable(f.Arg0Type))
			}
			fmt.Fprintln(w)
		}
		if t.Truncated {
			fmt.Fprintf(w, "    … more than %d frames\n", maxFrames)
		}
	}
}

func printable(s string) string {
	for _, c := range s {
		if !unicode.IsPrint(c) {
			q := strconv.Quote(s)
			return q[1 : len(q)-1]
		}
	}
	return s
}
