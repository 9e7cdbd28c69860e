package hook

import (
	"encoding/binary"
	"testing"

	"netaudit/attribution/pystack"
)

// FuzzRecords feeds records that no program of ours would write: nothing may panic, and no more may be believed than there is.
func FuzzRecords(f *testing.F) {
	call := make([]byte, callSize+2*pystack.SlotSize)
	binary.NativeEndian.PutUint32(call[offKind:], kindCall)
	binary.NativeEndian.PutUint32(call[offFrames:], 2)
	binary.NativeEndian.PutUint32(call[offFamily:], 6)
	binary.NativeEndian.PutUint32(call[offOutcome:], outcomeWhole)
	f.Add(call)
	binary.NativeEndian.PutUint32(call[offFrames:], 3)
	f.Add(call)
	binary.NativeEndian.PutUint32(call[offKind:], kindFork)
	binary.NativeEndian.PutUint32(call[offFrames:], 2)
	f.Add(call)
	packet := make([]byte, packetSize)
	binary.NativeEndian.PutUint32(packet[offKind:], kindPacket)
	binary.NativeEndian.PutUint32(packet[offLength:], 44)
	f.Add(packet)
	f.Add([]byte{kindPacket})
	stack := make([]byte, nativeHeader+64)
	binary.NativeEndian.PutUint32(stack[offKind:], kindNative)
	binary.NativeEndian.PutUint32(stack[offNativeLength:], 64)
	f.Add(stack)
	binary.NativeEndian.PutUint32(stack[offNativeLength:], 65)
	f.Add(stack)
	f.Fuzz(func(t *testing.T, b []byte) {
		h := Hook{store: newStore()}
		h.take(b)
		for _, n := range h.store.natives {
			if len(n.stack)+nativeHeader > len(b) {
				t.Errorf("%d bytes of a stack from %d bytes", len(n.stack), len(b))
			}
		}
		for _, f := range h.store.byChild {
			if len(f.Slots) > len(b) || len(f.Slots)%pystack.SlotSize != 0 {
				t.Errorf("%d bytes of slots from %d bytes", len(f.Slots), len(b))
			}
		}
		for _, list := range h.store.byCookie {
			if len(list[0].Slots) > len(b) || len(list[0].Slots)%pystack.SlotSize != 0 {
				t.Errorf("%d bytes of slots from %d bytes", len(list[0].Slots), len(b))
			}
		}
	})
}
