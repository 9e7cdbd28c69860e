// Package pystack reads the Python stacks of a running CPython process from outside.
//
// It receives a process id (and a thread id) from the attribution of a socket and hands back frames: file, line,
// function, module and the type of the first argument, from which the Odoo addon is named.
//
// It only ever reads: process_vm_readv(2) and files under /proc. It never attaches, stops, signals or writes. The target
// keeps running while it is read, so every stack is checked after reading and retried; a stack that cannot be confirmed
// is ErrTorn, never a stack. Every length, count and chain read from the target is bounded, since the target is not trusted.
//
// A Process may be used by several goroutines; calls are serialised. Nothing runs in the background.
//
// Sources: CPython headers of each minor version (see layout.go), PEP 626 and Objects/locations.md for line tables,
// glibc's struct pthread for thread ids before 3.11.
package pystack
