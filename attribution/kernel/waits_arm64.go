package kernel

// waits maps system call numbers of arm64 (include/uapi/asm-generic/unistd.h) to how they name what they wait for.
var waits = map[int]int{
	63: waitFD, 64: waitFD, 65: waitFD, 66: waitFD, 203: waitFD, 206: waitFD, 207: waitFD, 211: waitFD, 212: waitFD, 71: waitFD, 243: waitFD, 269: waitFD,
	73: waitPoll, 72: waitSelect, 260: waitChild, 95: waitChildID,
}
