package odoo

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/ini.v1"
)

// Settings are what a running Odoo was told by its command line and its configuration file, as far as attribution needs it.
type Settings struct {
	AddonsPaths []string // absolute, as the process sees them
	Database    string   // "" when none or several are configured
}

// ReadSettings reads them for a process with this command line, whose file system is below root ("/proc/PID/root", or "") and that was started in directory; what the command line says
// goes before the file, as in odoo/tools/config.py. A file that cannot be read gives an error together with what the command line says.
func ReadSettings(root, directory string, args []string) (Settings, error) {
	absolute := func(path string) string {
		if filepath.IsAbs(path) {
			return filepath.Clean(path)
		}
		return filepath.Join(directory, path)
	}
	paths, database := option(args, "--addons-path"), option(args, "--database", "-d")
	var err error
	if file := option(args, "--config", "-c"); file != "" {
		var inFile options
		if inFile, err = readOptions(filepath.Join(root, absolute(file))); err == nil {
			paths, database = first(paths, inFile.addonsPath), first(database, inFile.database)
		}
	}
	s := Settings{AddonsPaths: list(paths)}
	for i, p := range s.AddonsPaths {
		s.AddonsPaths[i] = absolute(p)
	}
	if names := list(database); len(names) == 1 {
		s.Database = names[0]
	}
	return s, err
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// list splits at commas; Odoo writes None and False for what is not set.
func list(text string) []string {
	var out []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" && part != "None" && part != "False" {
			out = append(out, part)
		}
	}
	return out
}

// option finds an option's value in a command line: --name=value, --name value, -n value, -nvalue.
func option(args []string, names ...string) string {
	for i, a := range args {
		for _, name := range names {
			short := !strings.HasPrefix(name, "--")
			switch {
			case a == name && i+1 < len(args):
				return args[i+1]
			case !short && strings.HasPrefix(a, name+"="):
				return a[len(name)+1:]
			case short && strings.HasPrefix(a, name) && len(a) > len(name):
				return a[len(name):]
			}
		}
	}
	return ""
}

type options struct{ addonsPath, database string }

// readOptions reads the two keys out of an odoo.conf; the file also holds passwords, which are not looked at.
func readOptions(path string) (options, error) {
	text, err := readBounded(path)
	if err != nil {
		return options{}, fmt.Errorf("read Odoo's configuration: %w", err)
	}
	file, err := ini.LoadSources(ini.LoadOptions{AllowPythonMultilineValues: true, IgnoreInlineComment: true, SkipUnrecognizableLines: true}, []byte(text))
	if err != nil {
		return options{}, fmt.Errorf("read Odoo's configuration: %w", err)
	}
	section := file.Section("options")
	return options{section.Key("addons_path").Value(), section.Key("db_name").Value()}, nil
}

// versionInfo is the line of odoo/release.py that says the version; the major version may be a text such as 'saas~18'.
var versionInfo = regexp.MustCompile(`(?m)^version_info\s*=\s*\(\s*'?([\w~]+)'?\s*,\s*(\d+)\s*,`)

// ReadVersion reads which Odoo has these frames on its stack, as "19.0"; "" when none of them is Odoo's own.
func ReadVersion(root string, frames []Frame) string {
	dir := ""
	for _, f := range slices.Backward(frames) {
		if strings.HasPrefix(f.Module, "odoo.") && !strings.HasPrefix(f.Module, "odoo.addons.") {
			if above, ok := strings.CutSuffix(f.File, "/"+strings.ReplaceAll(f.Module, ".", "/")+".py"); ok && filepath.IsAbs(f.File) {
				dir = above
				break
			}
		}
	}
	if dir == "" {
		return ""
	}
	text, err := readBounded(filepath.Join(root, dir, "odoo/release.py"))
	if err != nil {
		return "" // byte-code only: the version stays unknown
	}
	m := versionInfo.FindStringSubmatch(text)
	if m == nil {
		return ""
	}
	return m[1] + "." + m[2]
}
