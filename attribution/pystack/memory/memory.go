// Package memory reads the address space of another process without stopping it.
package memory

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Reader reads memory of a process. ReadAt fills buf from addr completely or fails; it never panics, whatever addr is.
type Reader interface {
	ReadAt(addr uint64, buf []byte) error
}

// Process reads the memory of the process with this id by process_vm_readv(2). It is safe for concurrent use.
type Process int

// ReadAt implements Reader. The error wraps fs.ErrPermission, os.ErrProcessDone, or the errno.
func (p Process) ReadAt(addr uint64, buf []byte) error {
	if len(buf) == 0 {
		return nil
	}
	local := []unix.Iovec{{Base: &buf[0], Len: uint64(len(buf))}}
	remote := []unix.RemoteIovec{{Base: uintptr(addr), Len: len(buf)}}
	n, err := unix.ProcessVMReadv(int(p), local, remote, 0)
	switch {
	case errors.Is(err, unix.ESRCH):
		return fmt.Errorf("reading %d bytes at %#x of process %d: %w", len(buf), addr, int(p), os.ErrProcessDone)
	case err != nil:
		return fmt.Errorf("reading %d bytes at %#x of process %d: %w", len(buf), addr, int(p), err)
	case n != len(buf):
		return fmt.Errorf("reading %d bytes at %#x of process %d: got %d: %w", len(buf), addr, int(p), n, io.ErrUnexpectedEOF)
	}
	return nil
}

// Uint64 reads the little-endian word at addr.
func Uint64(r Reader, addr uint64) (uint64, error) {
	b, err := Bytes(r, addr, 8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}

// Uint32 reads the little-endian half word at addr.
func Uint32(r Reader, addr uint64) (uint32, error) {
	b, err := Bytes(r, addr, 4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

// Bytes reads n bytes at addr, which must not be changed: where an Overlay has a copy they are part of that.
func Bytes(r Reader, addr uint64, n int) ([]byte, error) {
	if o, ok := r.(*Overlay); ok {
		if s := o.find(addr, uint64(n)); s != nil {
			s.used = true
			return s.part(o.room, addr, uint64(n)), nil
		}
	}
	b := make([]byte, n)
	return b, r.ReadAt(addr, b)
}
