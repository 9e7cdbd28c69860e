package odoo

import (
	"slices"
	"strings"
)

// ForWaiting is the reason of a row whose addon was found in another thread than the one that called.
const ForWaiting = "a pool's or another started thread made the call; the addon's thread waits for its result"

// Reasons why the stack of a calling thread shows no addon although one may be behind the call.
const (
	ByPool   = "no addon on the stack: a thread pool made the call, and who gave it the work is not to be seen there"
	ByThread = "no addon on the stack: a thread of its own made the call, and who started it is not to be seen there"
)

// Delegated says that a stack without an addon is of a thread that somebody else gave its work: ByPool, ByThread, or "" when it is not. asyncio and gevent look up the names of hosts in this way. Who gave it may be known to objects of the
// interpreter, but the stack is no witness of it.
func Delegated(frames []Frame) string {
	switch {
	case slices.ContainsFunc(frames, worksForPool):
		return ByPool
	case len(frames) > 0 && frames[len(frames)-1].Module == "threading" && !slices.ContainsFunc(frames, ofServer):
		return ByThread
	}
	return ""
}

// worksForPool knows the functions that take work from a pool's queue: those of concurrent/futures/thread.py, multiprocessing/pool.py and gevent/threadpool.py.
func worksForPool(f Frame) bool {
	switch f.Module {
	case "concurrent.futures.thread":
		return methodOf(f) == "_worker"
	case "multiprocessing.pool":
		return methodOf(f) == "worker"
	}
	return f.Module == "gevent.threadpool" && methodOf(f) == "run"
}

// ofServer knows frames of Odoo itself, and of the library that gives each connection of a threaded server a thread: such a thread works for its client.
func ofServer(f Frame) bool {
	return f.Module == "socketserver" || strings.HasPrefix(f.Module, "odoo.")
}
