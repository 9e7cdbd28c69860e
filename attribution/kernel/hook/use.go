package hook

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
)

// A connection that is kept may be used by other code than what opened it. A send counts as a new use when the socket had sent nothing for quietBefore.
const (
	quietBefore = 40 * time.Millisecond
	mostSpoken  = 16384 // sockets whose latest send is known

	// The record of a use is made when the first of its packets have just left, in the same system call of the same thread. It is at most madeWithin younger than the first packet: less than quietBefore, so there are no two such uses.
	madeWithin   = 20 * time.Millisecond
	clocksDiffer = time.Millisecond // between a packet's time and a record's
)

// Use is a thread that has just sent on a TCP socket that had been quiet for a while.
type Use struct {
	Caller
	Cookie uint64 // of the socket
	Native []byte // as in Call
}

// attachUses loads the program that records who uses a kept connection, at the tracepoint sock_send_length.
func (h *Hook) attachUses(namespaces bool) error {
	cookie, err := cookieOffset()
	if err != nil {
		return err
	}
	if err := h.attachTracepoint("sock_send_length", "netaudit_use", onSend(&h.objects, cookie, namespaces)); err != nil {
		return fmt.Errorf("%w (it takes Linux 6.3)", err)
	}
	return nil
}

// cookieOffset is where struct sock keeps its cookie, which the program for connect(2) has made.
func cookieOffset() (int32, error) {
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		return 0, fmt.Errorf("read the kernel's description of itself: %w", err)
	}
	var common *btf.Struct // begins struct sock
	if err := kernel.TypeByName("sock_common", &common); err != nil {
		return 0, fmt.Errorf("look for sock_common: %w", err)
	}
	for _, m := range common.Members {
		if m.Name == "skc_cookie" {
			return int32(m.Offset.Bytes()), nil
		}
	}
	return 0, errors.New("sock_common has no cookie where it is looked for")
}

// onSend is the program for a thread that has sent on a socket. Sockets that were not connected here pass after one look.
func onSend(o *objects, cookie int32, namespaces bool) asm.Instructions {
	const sock, sent = 0, 8 // arguments of the tracepoint
	p := &program{o: o}
	p.add(asm.Mov.Reg(ctx, asm.R1), asm.LoadMem(asm.R1, ctx, sent, asm.DWord), asm.JSGT.Imm(asm.R1, 0, "sent"))
	p.at("pass")
	p.allow()

	p.at("sent")
	p.stackAddr(asm.R1, wordCookie)
	p.add(asm.Mov.Imm(asm.R2, 8), asm.LoadMem(asm.R3, ctx, sock, asm.DWord), asm.Add.Imm(asm.R3, cookie), asm.FnProbeReadKernel.Call(), asm.JNE.Imm(asm.R0, 0, "pass"))
	p.add(asm.LoadMapPtr(asm.R1, o.spoken.FD()))
	p.stackAddr(asm.R2, wordCookie)
	p.add(asm.FnMapLookupElem.Call(), asm.JEq.Imm(asm.R0, 0, "pass"), asm.Mov.Reg(record, asm.R0), asm.FnKtimeGetNs.Call())
	p.add(asm.LoadMem(asm.R1, record, 0, asm.DWord), asm.StoreMem(record, 0, asm.R0, asm.DWord), asm.Sub.Reg(asm.R0, asm.R1), asm.JLT.Imm(asm.R0, int32(quietBefore), "pass"))
	p.recordCaller(func() { p.header(kindUse) }, namespaces, o.pointer)
	return p.Instructions
}

// speaks notes when a TCP socket was connected: from then on its sends are followed.
func (p *program) speaks() {
	const protocol, tcp = 36, 6 // struct bpf_sock_addr
	p.add(asm.LoadMem(asm.R1, ctx, protocol, asm.Word), asm.JNE.Imm(asm.R1, tcp, "not_tcp"))
	p.add(asm.FnKtimeGetNs.Call(), asm.StoreMem(asm.RFP, wordValue, asm.R0, asm.DWord), asm.LoadMapPtr(asm.R1, p.o.spoken.FD()))
	p.stackAddr(asm.R2, wordCookie)
	p.stackAddr(asm.R3, wordValue)
	p.add(asm.Mov.Imm(asm.R4, 0), asm.FnMapUpdateElem.Call())
	p.at("not_tcp")
}

// NoUses says why the kernel does not record who uses a kept connection; nil when it does. Then its user is looked for while it waits.
func (h *Hook) NoUses() error { return h.noUses }

// UseOf finds who sent the first packet after a while of quiet on a socket. at is the packet's time. The packet may be seen before its use is recorded, at most madeWithin: what is not there yet may come. The use is
// shared and must not be changed.
func (h *Hook) UseOf(cookie uint64, at time.Time) (*Use, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drain()
	u := h.store.useOf(cookie, at)
	return u, u != nil
}
