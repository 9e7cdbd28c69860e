package pystack

import (
	"debug/elf"
	"fmt"
	"os"
	"regexp"
	"sync"
	"syscall"
)

// elfFacts is what an executable or library says about the runtime in it; addresses are before relocation.
type elfFacts struct {
	load      uint64 // page-aligned address of the first PT_LOAD
	runtime   uint64 // _PyRuntime, 0 when absent
	pyVersion uint64 // Py_Version (3.11+), 0 when absent
	debug     bool   // built with --with-pydebug: its objects have other layouts
	cell      uint64 // PyCell_Type, 0 when absent
	text      string // PY_VERSION literal from .rodata, "" when absent
	bss       uint64 // address and size of .bss, where Py_GetVersion keeps its text
	bssSize   uint64
}

type elfKey struct {
	dev, ino uint64
	mtime    syscall.Timespec
}

// The cache is shared by all processes: Odoo's workers run the same file. It is emptied when it reaches elfCacheMax.
var (
	elfMu    sync.Mutex
	elfCache = map[elfKey]elfFacts{}
)

const (
	elfCacheMax = 256
	rodataMax   = 64 << 20 // bytes of .rodata searched for a version
	pageSize    = 4096     // PT_LOAD addresses are congruent to file offsets modulo at least this
)

var versionText = regexp.MustCompile(`\x00(3\.(?:8|9|10|11|12|13|14)\.\d{1,3}\+?)\x00`)

// runningText is how Py_GetVersion begins the text it keeps in .bss; compilers fold the literal away.
var runningText = regexp.MustCompile(`\x00(3\.(?:8|9|10)\.\d{1,3}\+?) \(`)

// readELF gives the facts of the file at path, which may be a link under /proc.
func readELF(path string) (elfFacts, error) {
	f, err := os.Open(path)
	if err != nil {
		return elfFacts{}, fmt.Errorf("opening an executable: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return elfFacts{}, fmt.Errorf("opening an executable: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() {
		return elfFacts{}, fmt.Errorf("%s is not a regular file", path)
	}
	key := elfKey{uint64(st.Dev), st.Ino, st.Mtim}
	elfMu.Lock()
	facts, hit := elfCache[key]
	elfMu.Unlock()
	if hit {
		return facts, nil
	}
	if facts, err = parseELF(f); err != nil {
		return elfFacts{}, fmt.Errorf("reading %s as ELF: %w", path, err)
	}
	elfMu.Lock()
	defer elfMu.Unlock()
	if len(elfCache) >= elfCacheMax {
		clear(elfCache)
	}
	elfCache[key] = facts
	return facts, nil
}

func parseELF(f *os.File) (elfFacts, error) {
	var facts elfFacts
	e, err := elf.NewFile(f)
	if err != nil {
		return facts, err
	}
	if e.Class != elf.ELFCLASS64 || e.ByteOrder.String() != "LittleEndian" {
		return facts, nil
	}
	for _, p := range e.Progs {
		if p.Type == elf.PT_LOAD {
			facts.load = p.Vaddr &^ (pageSize - 1)
			break
		}
	}
	symbols, err := e.DynamicSymbols()
	if err != nil || !facts.take(symbols) {
		if symbols, err = e.Symbols(); err == nil {
			facts.take(symbols)
		}
	}
	if s := e.Section(".PyRuntime"); facts.runtime == 0 && s != nil {
		facts.runtime = s.Addr
	}
	if s := e.Section(".bss"); s != nil {
		facts.bss, facts.bssSize = s.Addr, s.Size
	}
	if s := e.Section(".rodata"); facts.runtime != 0 && s != nil && s.FileSize <= rodataMax {
		data, err := s.Data()
		if err != nil {
			return facts, fmt.Errorf("reading .rodata: %w", err)
		}
		if m := versionText.FindSubmatch(data); m != nil {
			facts.text = string(m[1])
		}
	}
	return facts, nil
}

func (f *elfFacts) take(symbols []elf.Symbol) bool {
	for _, s := range symbols {
		if s.Section == elf.SHN_UNDEF {
			continue
		}
		switch s.Name {
		case "_PyRuntime":
			f.runtime = s.Value
		case "Py_Version":
			f.pyVersion = s.Value
		case "_Py_NegativeRefcount": // only there with Py_REF_DEBUG (Include/object.h)
			f.debug = true
		case "PyCell_Type":
			f.cell = s.Value
		}
	}
	return f.runtime != 0
}
