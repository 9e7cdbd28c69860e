// Package attribution answers two questions: who opened this socket (process, thread, Python stack, Odoo addon), and
// whose address is that (party). It observes from outside: nothing is stopped, signalled or written to.
//
// It knows nothing of packets or storage. The recorder asks it at the first packet of a flow and joins the answer when
// the flow closes.
package attribution

import (
	"net/netip"
	"time"
)

// Tuple names a socket as the kernel knows it, from the local host's side.
type Tuple struct {
	Proto         uint8 // 6 TCP, 17 UDP
	Local, Remote netip.AddrPort
	NetNS         uint64 // inode of the network namespace the packet was seen in; 0 = netaudit's own
}

// Evidence sources, from strongest to none (DESIGN §4 evidence.source).
const (
	SourceKernel  = "kernel"  // the calling thread itself was caught in the kernel (BPF)
	SourceThread  = "thread"  // a thread blocked on exactly this socket
	SourceProcess = "process" // the owning process is certain, the thread is inferred or unknown
	SourceName    = "name"    // by name only
	SourceHistory = "history" // carried over from an earlier flow
	SourceNone    = "none"    // nobody identifiable
)

// Confidence values.
const (
	ConfidenceExact   = "exact"   // witnessed: thread and stack, re-checked after reading
	ConfidenceHigh    = "high"    // only one caller was possible
	ConfidenceLow     = "low"     // the only thread of its process, not caught calling
	ConfidenceUnknown = "unknown" // not known, and Reason says why
)

// Owner is who stands behind a socket. The zero value with Evidence.Source "none" means: nobody identifiable.
type Owner struct {
	Process  *Process
	Addon    *Addon
	Stack    []Frame // Python frames, innermost first; nil when none was read
	Evidence Evidence
}

// Process is the owning process at the time of the call.
type Process struct {
	PID       int
	Start     time.Time // from /proc/PID/stat field 22; with PID the identity that PID reuse cannot fake
	Exe       string    // resolved executable, " (deleted)" stripped
	UID       uint32
	Name      string // comm of the thread group leader
	Container string // container id from the cgroup path, "" on the host
	NetNS     uint64
	Role      string // odoo_http odoo_cron odoo_gevent odoo_master odoo_shell odoo_other odoo_child self other

	OdooVersion string // such as "19.0"; "" when it is no Odoo, or not known yet
	Database    string // that the calling thread works on, or that the process can only work on; "" when it is not known
	DatabaseBy  string // DatabaseByModel, DatabaseByRegistry or DatabaseBySettings; "" when Database is
	Job         string // what the calling thread runs: the scheduled action's name and the server action, or the server action; "" when neither
}

// How the database was found, the strongest evidence first.
const (
	DatabaseByModel    = "model"    // a model on the stack of the calling thread belongs to it
	DatabaseByRegistry = "registry" // the process has loaded it and no other
	DatabaseBySettings = "settings" // Odoo was told it and no other
)

// Addon is the Odoo addon that made the call.
type Addon struct {
	Name       string // innermost addon: it made the call
	Version    string // from __manifest__.py
	Author     string
	License    string
	OnBehalfOf string   // next addon outwards that is not part of the framework, "" when none
	Chain      []string // distinct addons, innermost first
	CallSite   string   // file:line function of the innermost addon frame, relative to the addons path
	Model      string   // model of the first argument, when it is a recordset
	Method     string   // method name of the innermost addon frame
}

// Frame is one Python stack frame.
type Frame struct {
	File     string
	Line     int
	Function string // qualified name where the interpreter has it (3.11+), else the plain name
	Module   string // f_globals['__name__'], "" when absent
	Addon    string // addon this frame belongs to, "" for library and interpreter frames
}

// Evidence says how an Owner was found and how sure we are.
type Evidence struct {
	Source     string
	Confidence string
	Reason     string        // why something is unknown, one short phrase
	TID        int           // thread that was caught, 0 unknown
	Candidates []string      // addons that could have made the call when one could not be singled out
	Conflicts  []string      // witnesses that disagree
	Latency    time.Duration // from the question to the answer
	At         time.Time     // when the stack was recorded, or had been read; zero: neither was
}

// Party classes (DESIGN §4).
const (
	MITBound   = "mit_bound"
	ThirdParty = "third_party"
	Internal   = "internal"
)

// Party is whose destination an address is.
type Party struct {
	Class string // MITBound, ThirdParty or Internal
	Name  string // "MIT", "Odoo S.A.", … or the registrable domain, or the address
	Rule  string // id of the catalogue rule that decided, e.g. "mit/domain:mit-odoo.de"
}
