package hook

import (
	"encoding/binary"

	"netaudit/attribution/pystack"
)

// A record begins with its kind; all numbers are in the machine's byte order.
const (
	kindCall   = 1
	kindPacket = 2
	kindFork   = 3 // a call's record without what is said of the socket
	kindNative = 4 // see native.go
	kindUse    = 5 // a call's record without what is said of the destination
)

// A call's record, before its slots.
const (
	offKind     = 0  // u32
	offFrames   = 4  // u32, slots that follow
	offTime     = 8  // u64, CLOCK_BOOTTIME
	offPID      = 16 // u64, process id << 32 | thread id
	offUID      = 24 // u64, group id << 32 | user id
	offCookie   = 32 // u64; of a fork: the child's process id
	offNetNS    = 40 // u64, cookie of the network namespace
	offSerial   = 48 // u64, of the plan that was followed
	offFamily   = 56 // u32, 4 or 6
	offProtocol = 60 // u32
	offPort     = 64 // u16 in network order, and two zero bytes
	offOutcome  = 68 // u32
	offIP       = 72 // 4 or 16 bytes
	offComm     = 88
	commSize    = 16
	callSize    = 104
)

// A packet's record.
const (
	offLength       = 4  // u32, bytes of the packet
	offPacketCookie = 16 // u64
	offPacket       = 24 // IP header and ports
	packetSize      = 72
)

// What came of a walk.
const (
	outcomeNoPlan     = 0 // nobody had announced the process
	outcomeNoThread   = 1 // the thread has no Python state, or the list changed under the walk
	outcomeUnreadable = 2 // a frame could not be read
	outcomeDeep       = 3 // all slots are used
	outcomeWhole      = 4
	outcomeBusy       = 5 // another call was being recorded on this processor
	outcomeReplaced   = 6 // where the interpreter was there is nothing: the process runs another program than the one that was announced
)

// The value of the map of plans.
const (
	planSerial       = 0 // u64
	planInterpreters = 8
	planCell         = 16
	planTags         = 24 // u64, inverted: what remains of a reference
	planNSDev        = 32 // u64, pid namespace
	planNSIno        = 40
	planInterpNext   = 48 // u32 from here on
	planThreadsHead  = 52
	planThreadNext   = 56
	planThreadID     = 60
	planPthreadTID   = 64
	planTop          = 68
	planCFrame       = 72
	planHead         = 76
	planBack         = 80
	planCode         = 84
	planGlobals      = 88
	planLasti        = 92
	planState        = 96
	planLocal        = 100
	planHolder       = 104
	planNative       = 108 // not 0: the machine stack is wanted too
	planSize         = 112
)

// encodePlan is the value for the map of plans. dev and ino name the pid namespace of the process.
func encodePlan(serial uint64, w *pystack.WalkPlan, dev, ino uint64, native bool) []byte {
	wanted := uint32(0)
	if native {
		wanted = 1
	}
	b := make([]byte, 0, planSize)
	for _, v := range []uint64{serial, w.Interpreters, w.Cell, ^w.Tags, dev, ino} {
		b = binary.NativeEndian.AppendUint64(b, v)
	}
	for _, v := range []uint32{
		w.InterpNext, w.ThreadsHead, w.ThreadNext, w.ThreadID, w.PthreadTID, w.Top, w.CFrame, w.Head, w.Back, w.Code, w.Globals, w.Lasti, w.State, w.Local, w.Holder, wanted,
	} {
		b = binary.NativeEndian.AppendUint32(b, v)
	}
	return b
}
