// Package native looks at the machine stack of a thread from outside, for compiled code that leaves no Python frame: a module that Cython made of an addon.
//
// It receives a thread that waits in the kernel, and which files are of interest; it hands back which of them have a return address on the thread's stack. It only reads /proc and memory
// (process_vm_readv), and unwinds nothing: it looks at every word of the stack that could be a return address. A word that an earlier call left there looks the same. So what it finds is a
// witness beside others and never enough to name somebody.
package native
