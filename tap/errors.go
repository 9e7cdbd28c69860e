package tap

import (
	"fmt"
	"strings"
)

// FileError says where a capture file stopped making sense. Every packet before that place has been delivered.
type FileError struct {
	Path    string
	Offset  int64  // bytes from the beginning of the (decompressed) file
	Packets uint64 // packets delivered before
	Reason  string
}

// Error implements error.
func (e *FileError) Error() string {
	return fmt.Sprintf("%s: at offset %d, after %d packets: %s", e.Path, e.Offset, e.Packets, e.Reason)
}

// InterfaceError says that an interface is not there, or went away while it was watched.
type InterfaceError struct {
	Iface  string
	Exists []string // the interfaces that exist, when it was asked for and is not there
	Err    error
}

// Error implements error.
func (e *InterfaceError) Error() string {
	text := fmt.Sprintf("interface %s: %v", e.Iface, e.Err)
	if len(e.Exists) > 0 {
		text += "; there are: " + strings.Join(e.Exists, ", ")
	}
	return text
}

// Unwrap returns what libpcap or the kernel said.
func (e *InterfaceError) Unwrap() error { return e.Err }

// RightsError says which capability is missing and how to grant it.
type RightsError struct {
	Doing   string // what was tried
	Missing string // the capability, see capabilities(7)
	Fix     string // command that grants it
	Err     error
}

// Error implements error.
func (e *RightsError) Error() string {
	return fmt.Sprintf("%s: %s is missing (%v); run with sudo, or grant it once: %s", e.Doing, e.Missing, e.Err, e.Fix)
}

// Unwrap returns what libpcap or the kernel said.
func (e *RightsError) Unwrap() error { return e.Err }
