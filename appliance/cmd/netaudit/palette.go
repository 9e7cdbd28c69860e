package main

import (
	"io"
	"os"

	"github.com/fatih/color"
	"github.com/mattn/go-isatty"
	"golang.org/x/sys/unix"
)

// palette colours words on a terminal and leaves them alone everywhere else (and with NO_COLOR, no-color.org).
type palette struct{ bold, dim, link, good, warn, bad func(a ...any) string }

func paletteFor(w io.Writer) palette {
	on := isTerminal(w) && os.Getenv("NO_COLOR") == ""
	paint := func(attributes ...color.Attribute) func(a ...any) string {
		c := color.New(attributes...)
		if on {
			c.EnableColor()
		} else {
			c.DisableColor()
		}
		return c.SprintFunc()
	}
	return palette{
		bold: paint(color.Bold), dim: paint(color.Faint), link: paint(color.FgCyan, color.Underline),
		good: paint(color.FgGreen, color.Bold), warn: paint(color.FgYellow, color.Bold), bad: paint(color.FgRed, color.Bold),
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// widthOf is how many columns a terminal has; 0 for what is none.
func widthOf(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Col)
}
