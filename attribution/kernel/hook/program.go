package hook

import (
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"netaudit/attribution/pystack"
)

// Registers keep their meaning in all programs. R1 to R5 are arguments and are lost in every call, R0 is the result.
const (
	ctx    = asm.R6 // of the hook; in the walk: the object being followed
	record = asm.R7 // being filled, memory of the ring
	plan   = asm.R8 // of the process, value of the map of plans
	slot   = asm.R9 // of the frame being recorded
)

// Words of a program's stack, as offsets from the frame pointer.
const (
	wordPIDTID  = -8  // bpf_get_current_pid_tgid
	wordKey     = -16 // process id, key of the map of plans; key of the counter
	wordInterp  = -24 // PyInterpreterState being followed
	wordValue   = -32 // what was read last
	wordCount   = -40 // rounds of a loop
	wordTID     = -48 // thread id as CPython knows it; struct bpf_pidns_info
	wordCookie  = -56 // of the socket; of a fork, the child's process id
	wordTalk    = -96 // key of the map of datagrams: 32 bytes
	wordTalkEnd = -72
	wordNow     = -104
	wordStart   = -112 // address of what the window shows
	wordLength  = -120 // of it
	wordLocal   = -128 // first local of the frame before, and its type
	wordType    = -136
)

// Bounds of the walk.
const (
	maxThreads = 512 // thread states that are looked at; the newest come first
	maxFrames  = 128 // recorded of a stack; Odoo's are 40 to 80 deep
	stateSize  = 256 // bytes of a thread state
	pageSize   = 4096
	windowSize = pageSize + pystack.HeadSize
)

// A scratch area, for the time of one call. Programs do not leave their processor, but others may run on it in between: therefore each processor has several. When all are taken, a call does without a stack.
const (
	scratchAreas = 4

	scratchBusy   = 0 // u64
	scratchRecord = 8
	scratchWindow = scratchRecord + callSize + maxFrames*pystack.SlotSize
	scratchNative = scratchWindow + windowSize
	scratchSize   = scratchNative + nativeHeader + maxNative // a value of a map for each processor has at most 32 KiB
)

// objects are the maps that the programs share.
type objects struct {
	plans   *ebpf.Map // process id → plan
	ring    *ebpf.Map
	lost    *ebpf.Map // one counter: records for which the ring had no room
	pending *ebpf.Map // cookie of a UDP socket whose caller was recorded and whose first datagram was not seen yet
	scratch *ebpf.Map // scratchAreas areas a processor
	spoken  *ebpf.Map // cookie of a TCP socket that was connected here → when it sent last
	talks   *ebpf.Map // cookie and destination of unconnected UDP → when its sender was recorded

	pointer int32 // where struct pt_regs keeps the stack pointer, in bytes; 0: machine stacks cannot be recorded
}

// program collects instructions; labels are unique in it.
type program struct {
	asm.Instructions
	o      *objects
	label  string // of the next instruction
	labels int    // that were made
}

func (p *program) add(list ...asm.Instruction) {
	for _, i := range list {
		if p.label != "" {
			i, p.label = i.WithSymbol(p.label), ""
		}
		p.Instructions = append(p.Instructions, i)
	}
}

// at puts a label before the next instruction.
func (p *program) at(label string) {
	if p.label != "" { // two labels in one place
		p.add(asm.Mov.Reg(asm.R0, asm.R0))
	}
	p.label = label
}

// stackAddr loads the address of a word of the stack.
func (p *program) stackAddr(r asm.Register, word int32) {
	p.add(asm.Mov.Reg(r, asm.RFP), asm.Add.Imm(r, word))
}

// allow ends the program: the call goes on as if nobody had looked.
func (p *program) allow() {
	p.add(asm.Mov.Imm(asm.R0, 1), asm.Return())
}

// reserve takes size bytes of the ring into record; without room it counts and goes to none.
func (p *program) reserve(size int32, none string) {
	p.add(asm.LoadMapPtr(asm.R1, p.o.ring.FD()), asm.Mov.Imm(asm.R2, size), asm.Mov.Imm(asm.R3, 0), asm.FnRingbufReserve.Call(), asm.Mov.Reg(record, asm.R0))
	room := none + "_room"
	p.add(asm.JNE.Imm(asm.R0, 0, room))
	p.count()
	p.add(asm.Ja.Label(none))
	p.at(room)
}

// count counts a record that was lost.
func (p *program) count() {
	end := p.unique("counted")
	p.add(asm.StoreImm(asm.RFP, wordKey, 0, asm.Word), asm.LoadMapPtr(asm.R1, p.o.lost.FD()))
	p.stackAddr(asm.R2, wordKey)
	p.add(asm.FnMapLookupElem.Call(), asm.JEq.Imm(asm.R0, 0, end), asm.Mov.Imm(asm.R1, 1), asm.AddAtomic.Mem(asm.R0, asm.R1, asm.DWord, 0))
	p.at(end)
}

// wakeUp loads the flags for handing a record over. The reader is only woken when a quarter of the ring is full: else it looks when it is asked something, and the caller does not pay for a wake-up.
func (p *program) wakeUp(flags asm.Register) {
	const availableData, noWakeup, forceWakeup = 0, 1, 2 // BPF_RB_AVAIL_DATA, BPF_RB_NO_WAKEUP, BPF_RB_FORCE_WAKEUP
	quiet := p.unique("quiet")
	p.add(asm.LoadMapPtr(asm.R1, p.o.ring.FD()), asm.Mov.Imm(asm.R2, availableData), asm.FnRingbufQuery.Call())
	p.add(asm.Mov.Imm(flags, noWakeup), asm.JLT.Imm(asm.R0, ringSize/4, quiet), asm.Mov.Imm(flags, forceWakeup))
	p.at(quiet)
}

// exchange atomically swaps a register and the word at [dst+offset]. The library (0.22) leaves the kind of an atomic operation out when it encodes one, which makes it an addition, unless it stands in the constant too.
func exchange(dst, src asm.Register, offset int16) asm.Instruction {
	i := asm.Xchg.Mem(dst, src, asm.DWord, offset)
	i.Constant = int64(asm.Xchg >> 8)
	return i
}

// unique makes a label.
func (p *program) unique(name string) string {
	p.labels++
	return fmt.Sprintf("%s_%d", name, p.labels)
}

// load puts the word at [from + the plan's field] into a register. Fields beyond limit go to failed.
func (p *program) load(to, from asm.Register, field int16, limit int32, failed string) {
	p.add(asm.LoadMem(asm.R2, plan, field, asm.Word), asm.JGT.Imm(asm.R2, limit-8, failed), asm.Add.Reg(asm.R2, from), asm.LoadMem(to, asm.R2, 0, asm.DWord))
}

// fetch reads the pointer at the address in R3.
func (p *program) fetch(to asm.Register, failed string) {
	p.stackAddr(asm.R1, wordValue)
	p.add(asm.Mov.Imm(asm.R2, 8), asm.FnProbeReadUser.Call(), asm.JNE.Imm(asm.R0, 0, failed), asm.LoadMem(to, asm.RFP, wordValue, asm.DWord))
}

// window is the address of the scratch area's window.
func (p *program) window(to asm.Register) {
	p.add(asm.Mov.Reg(to, record), asm.Add.Imm(to, scratchWindow-scratchRecord))
}

// onCall is the program for connect(2) and for sendmsg(2) of a socket without a peer: it records who calls, and the Python stack where a plan for the process is there.
func onCall(o *objects, v6, datagram, namespaces bool) asm.Instructions {
	p := &program{o: o}
	p.add(asm.Mov.Reg(ctx, asm.R1))
	p.add(asm.Mov.Reg(asm.R1, ctx), asm.FnGetSocketCookie.Call(), asm.StoreMem(asm.RFP, wordCookie, asm.R0, asm.DWord))
	if datagram {
		p.onceASecond(v6)
	} else {
		p.speaks()
	}
	p.expectDatagram()
	p.recordCaller(func() { p.callHeader(v6) }, namespaces, o.pointer)
	return p.Instructions
}

// recordCaller records the current thread, with its Python stack where a plan for the process is there, and its machine stack where pointer is not 0 and the plan says so, and ends the program.
func (p *program) recordCaller(header func(), namespaces bool, pointer int32) {
	p.add(asm.FnGetCurrentPidTgid.Call(), asm.StoreMem(asm.RFP, wordPIDTID, asm.R0, asm.DWord))
	p.add(asm.StoreMem(asm.RFP, wordTID, asm.R0, asm.Word)) // the lower half; in a pid namespace it is replaced
	p.add(asm.RSh.Imm(asm.R0, 32), asm.StoreMem(asm.RFP, wordKey, asm.R0, asm.Word))
	p.add(asm.LoadMapPtr(asm.R1, p.o.plans.FD()))
	p.stackAddr(asm.R2, wordKey)
	p.add(asm.FnMapLookupElem.Call(), asm.Mov.Reg(plan, asm.R0), asm.JNE.Imm(plan, 0, "planned"))
	p.withoutStack(header, "unplanned", outcomeNoPlan)

	p.at("planned")
	p.takeArea("area", "busy")
	p.at("area")
	header()
	p.add(asm.LoadMem(asm.R1, plan, planSerial, asm.DWord), asm.StoreMem(record, offSerial, asm.R1, asm.DWord))
	p.add(asm.StoreImm(record, offOutcome, outcomeReplaced, asm.Word))
	if namespaces {
		p.ownTID()
	}
	p.findThread()
	p.recordFrames()
	p.at("done")
	if pointer != 0 {
		p.recordNative(pointer)
	}
	p.output()
	p.add(asm.Mov.Imm(asm.R1, 0), asm.StoreMem(record, scratchBusy-scratchRecord, asm.R1, asm.DWord))
	p.allow()

	p.at("busy")
	p.withoutStack(header, "busy", outcomeBusy)
}

// takeArea leaves the record of a free scratch area in its register and goes to taken, or to none.
func (p *program) takeArea(taken, none string) {
	for n := range scratchAreas {
		next := p.unique("next")
		p.add(asm.StoreImm(asm.RFP, wordKey, int64(n), asm.Word), asm.LoadMapPtr(asm.R1, p.o.scratch.FD()))
		p.stackAddr(asm.R2, wordKey)
		p.add(asm.FnMapLookupElem.Call(), asm.JEq.Imm(asm.R0, 0, next), asm.Mov.Reg(record, asm.R0), asm.Add.Imm(record, scratchRecord))
		p.add(asm.Mov.Imm(asm.R1, 1), exchange(asm.R0, asm.R1, scratchBusy), asm.JEq.Imm(asm.R1, 0, taken))
		p.at(next)
	}
	p.add(asm.Ja.Label(none))
}

// withoutStack records the caller alone and ends the program.
func (p *program) withoutStack(header func(), name string, outcome int64) {
	p.reserve(callSize, name+"_end")
	header()
	p.add(asm.Mov.Imm(asm.R1, 0), asm.StoreMem(record, offSerial, asm.R1, asm.DWord), asm.StoreImm(record, offOutcome, outcome, asm.Word))
	p.wakeUp(asm.R2)
	p.add(asm.Mov.Reg(asm.R1, record), asm.FnRingbufSubmit.Call())
	p.at(name + "_end")
	p.allow()
}

// output copies the record and as many slots as it has from the scratch area into the ring; without room it counts.
func (p *program) output() {
	p.wakeUp(asm.R4)
	p.add(asm.LoadMem(asm.R3, record, offFrames, asm.Word), asm.JGT.Imm(asm.R3, maxFrames, "copied"), asm.Mul.Imm(asm.R3, pystack.SlotSize), asm.Add.Imm(asm.R3, callSize))
	p.add(asm.LoadMapPtr(asm.R1, p.o.ring.FD()), asm.Mov.Reg(asm.R2, record), asm.FnRingbufOutput.Call(), asm.JEq.Imm(asm.R0, 0, "copied"))
	p.count()
	p.at("copied")
}

// expectDatagram notes the cookie of a UDP socket, whose local port is not known before its first datagram.
func (p *program) expectDatagram() {
	const protocol, udp = 36, 17 // struct bpf_sock_addr
	p.add(asm.LoadMem(asm.R1, ctx, protocol, asm.Word), asm.JNE.Imm(asm.R1, udp, "not_udp"))
	p.add(asm.Mov.Imm(asm.R5, 1), asm.StoreMem(asm.RFP, wordValue, asm.R5, asm.DWord), asm.LoadMapPtr(asm.R1, p.o.pending.FD()))
	p.stackAddr(asm.R2, wordCookie)
	p.stackAddr(asm.R3, wordValue)
	p.add(asm.Mov.Imm(asm.R4, 0), asm.FnMapUpdateElem.Call())
	p.at("not_udp")
}

// onceASecond lets a sender of many datagrams to one destination pass without a record.
func (p *program) onceASecond(v6 bool) {
	const second = 1_000_000_000
	for off := int16(wordTalk); off < wordTalkEnd+8; off += 8 {
		p.add(asm.Mov.Imm(asm.R5, 0), asm.StoreMem(asm.RFP, off, asm.R5, asm.DWord))
	}
	p.add(asm.LoadMem(asm.R1, asm.RFP, wordCookie, asm.DWord), asm.StoreMem(asm.RFP, wordTalk, asm.R1, asm.DWord))
	p.copyDestination(asm.RFP, wordTalk+8, wordTalk+24, v6)
	p.add(asm.FnKtimeGetNs.Call(), asm.StoreMem(asm.RFP, wordNow, asm.R0, asm.DWord))
	p.add(asm.LoadMapPtr(asm.R1, p.o.talks.FD()))
	p.stackAddr(asm.R2, wordTalk)
	p.add(asm.FnMapLookupElem.Call(), asm.JEq.Imm(asm.R0, 0, "first"))
	p.add(asm.LoadMem(asm.R1, asm.R0, 0, asm.DWord), asm.LoadMem(asm.R2, asm.RFP, wordNow, asm.DWord), asm.Sub.Reg(asm.R2, asm.R1), asm.JGE.Imm(asm.R2, second, "first"))
	p.allow()
	p.at("first")
	p.add(asm.LoadMapPtr(asm.R1, p.o.talks.FD()))
	p.stackAddr(asm.R2, wordTalk)
	p.stackAddr(asm.R3, wordNow)
	p.add(asm.Mov.Imm(asm.R4, 0), asm.FnMapUpdateElem.Call())
}

// copyDestination copies address and port of struct bpf_sock_addr.
func (p *program) copyDestination(to asm.Register, addr, port int16, v6 bool) {
	const ip4, ip6, userPort = 4, 8, 24
	if v6 {
		for off := int16(0); off < 16; off += 4 {
			p.add(asm.LoadMem(asm.R1, ctx, ip6+off, asm.Word), asm.StoreMem(to, addr+off, asm.R1, asm.Word))
		}
	} else {
		p.add(asm.LoadMem(asm.R1, ctx, ip4, asm.Word), asm.StoreMem(to, addr, asm.R1, asm.Word))
	}
	p.add(asm.LoadMem(asm.R1, ctx, userPort, asm.Word), asm.StoreMem(to, port, asm.R1, asm.Word))
}

// callHeader fills in everything but the frames.
func (p *program) callHeader(v6 bool) {
	const protocol = 36 // struct bpf_sock_addr
	family := int64(4)
	if v6 {
		family = 6
	}
	p.header(kindCall)
	p.add(asm.StoreImm(record, offFamily, family, asm.Word))
	p.add(asm.Mov.Reg(asm.R1, ctx), asm.FnGetNetnsCookie.Call(), asm.StoreMem(record, offNetNS, asm.R0, asm.DWord))
	p.add(asm.LoadMem(asm.R1, ctx, protocol, asm.Word), asm.StoreMem(record, offProtocol, asm.R1, asm.Word))
	p.copyDestination(record, offIP, offPort, v6)
}

// header fills in what calls and forks have in common.
func (p *program) header(kind int64) {
	p.add(asm.StoreImm(record, offKind, kind, asm.Word), asm.StoreImm(record, offFrames, 0, asm.Word))
	p.add(asm.FnKtimeGetBootNs.Call(), asm.StoreMem(record, offTime, asm.R0, asm.DWord))
	p.add(asm.LoadMem(asm.R1, asm.RFP, wordPIDTID, asm.DWord), asm.StoreMem(record, offPID, asm.R1, asm.DWord))
	p.add(asm.FnGetCurrentUidGid.Call(), asm.StoreMem(record, offUID, asm.R0, asm.DWord))
	p.add(asm.LoadMem(asm.R1, asm.RFP, wordCookie, asm.DWord), asm.StoreMem(record, offCookie, asm.R1, asm.DWord))
	p.add(asm.Mov.Reg(asm.R1, record), asm.Add.Imm(asm.R1, offComm), asm.Mov.Imm(asm.R2, commSize), asm.FnGetCurrentComm.Call())
}

// ownTID puts the thread id of the process's own pid namespace in the place of the host's: that is what CPython stores.
func (p *program) ownTID() {
	p.add(asm.LoadMem(asm.R1, plan, planNSDev, asm.DWord), asm.LoadMem(asm.R2, plan, planNSIno, asm.DWord))
	p.stackAddr(asm.R3, wordTID)
	p.add(asm.Mov.Imm(asm.R4, 8), asm.FnGetNsCurrentPidTgid.Call(), asm.JNE.Imm(asm.R0, 0, "done"))
}
