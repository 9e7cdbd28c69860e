package tls

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// CipherName returns the IANA name of a cipher suite, or its number in hex when the registry of this build does not have it.
func CipherName(id uint16) string {
	if name, ok := suites()[id]; ok {
		return name
	}
	return fmt.Sprintf("0x%04X", id)
}

//go:embed ciphers.txt
var registry string

// suites reads the registry. Its lines are ours: one that cannot be read is left out.
var suites = sync.OnceValue(func() map[uint16]string {
	all := map[uint16]string{}
	for line := range strings.Lines(registry) {
		number, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		if id, err := strconv.ParseUint(number, 16, 16); err == nil {
			all[uint16(id)] = name
		}
	}
	return all
})
