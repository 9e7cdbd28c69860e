package hook

import "github.com/cilium/ebpf/asm"

// onPacket is the program for packets that leave a socket of this host: it records the ends of a TCP connection's SYN and of the first datagram after a recorded call, as they stand on the wire. With the
// socket's cookie they lead from a packet to its call even when the socket has been closed by then. All other packets pass after a few comparisons.
func onPacket(o *objects) asm.Instructions {
	const ethIPv4, ethIPv6 = 0x0008, 0xdd86          // skb->protocol, in network order, on a little-endian machine
	const protocolAt, dataAt, dataEndAt = 16, 76, 80 // struct __sk_buff
	const tcp, udp, syn, ack = 6, 17, 0x02, 0x10     // RFC 9293
	const v4Len, v6Len, ports, flagsByte = 20, 40, 4, 13
	p := &program{o: o}
	p.add(asm.Mov.Reg(ctx, asm.R1))
	p.add(asm.LoadMem(asm.R2, ctx, dataAt, asm.Word), asm.LoadMem(asm.R3, ctx, dataEndAt, asm.Word), asm.LoadMem(asm.R4, ctx, protocolAt, asm.Word))
	p.add(asm.JEq.Imm(asm.R4, ethIPv4, "v4"), asm.JEq.Imm(asm.R4, ethIPv6, "v6"))
	p.at("pass")
	p.allow()

	for _, family := range []struct {
		name                 string
		length, nextProtocol int32
	}{{"v4", v4Len, 9}, {"v6", v6Len, 6}} {
		datagram, emit, none := family.name+"_udp", family.name+"_emit", family.name+"_none"
		p.at(family.name)
		p.add(asm.Mov.Reg(asm.R1, asm.R2), asm.Add.Imm(asm.R1, family.length+ports), asm.JGT.Reg(asm.R1, asm.R3, "pass"))
		if family.length == v4Len { // options are so rare that the socket is asked for instead
			p.add(asm.LoadMem(asm.R1, asm.R2, 0, asm.Byte), asm.JNE.Imm(asm.R1, 0x45, "pass"))
		}
		p.add(asm.LoadMem(asm.R1, asm.R2, int16(family.nextProtocol), asm.Byte), asm.JEq.Imm(asm.R1, udp, datagram), asm.JNE.Imm(asm.R1, tcp, "pass"))
		p.add(asm.Mov.Reg(asm.R1, asm.R2), asm.Add.Imm(asm.R1, family.length+flagsByte+1), asm.JGT.Reg(asm.R1, asm.R3, "pass"))
		p.add(asm.LoadMem(asm.R1, asm.R2, int16(family.length+flagsByte), asm.Byte), asm.And.Imm(asm.R1, syn|ack), asm.JNE.Imm(asm.R1, syn, "pass"))
		p.add(asm.Mov.Reg(asm.R1, ctx), asm.FnGetSocketCookie.Call(), asm.StoreMem(asm.RFP, wordCookie, asm.R0, asm.DWord), asm.Ja.Label(emit))

		p.at(datagram)
		p.add(asm.Mov.Reg(asm.R1, ctx), asm.FnGetSocketCookie.Call(), asm.StoreMem(asm.RFP, wordCookie, asm.R0, asm.DWord))
		p.add(asm.LoadMapPtr(asm.R1, o.pending.FD()))
		p.stackAddr(asm.R2, wordCookie)
		p.add(asm.FnMapDeleteElem.Call(), asm.JNE.Imm(asm.R0, 0, "pass")) // not there: not the first

		p.at(emit)
		p.reserve(packetSize, none)
		p.add(asm.StoreImm(record, offKind, kindPacket, asm.Word), asm.StoreImm(record, offLength, int64(family.length+ports), asm.Word))
		p.add(asm.LoadMem(asm.R1, asm.RFP, wordCookie, asm.DWord), asm.StoreMem(record, offPacketCookie, asm.R1, asm.DWord))
		p.add(asm.FnKtimeGetBootNs.Call(), asm.StoreMem(record, offTime, asm.R0, asm.DWord))
		p.add(asm.Mov.Reg(asm.R1, ctx), asm.Mov.Imm(asm.R2, 0), asm.Mov.Reg(asm.R3, record), asm.Add.Imm(asm.R3, offPacket), asm.Mov.Imm(asm.R4, family.length+ports), asm.FnSkbLoadBytes.Call())
		p.wakeUp(asm.R2)
		p.add(asm.Mov.Reg(asm.R1, record), asm.FnRingbufSubmit.Call())
		p.at(none)
		p.allow()
	}
	return p.Instructions
}
