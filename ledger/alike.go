package ledger

// likeness is all of a row that decides where it counts: which sum, which facts, which entries of the index. Rows that are alike in it, and most are, differ only in how much they add.
type likeness struct {
	hour                            int // which stretch of an hour
	kind, state, direction, channel string
	class, party                    string
	addon, onBehalf                 string
	host, ip, caller                string
	exe, program, role              string
	confidence, reason              string
	asked                           string
	has                             uint16 // see hasNew and those that follow
}

// What is true of a row besides its texts: an object without texts is not the same as none.
const (
	hasNew = 1 << iota
	hasAddon
	hasDst
	hasSrc
	hasProcess
	hasEvidence
	hasConflicts
	hasHiddenName
)

// set makes it that of a row. ok is false for the few rows that count by more than it has.
func (l *likeness) set(e *Event, hour int) (ok bool) {
	*l = likeness{hour: hour, kind: e.Kind, state: e.State, direction: e.Direction, channel: e.Channel}
	if e.HasNew {
		l.has |= hasNew
	}
	if e.Party != nil {
		l.class, l.party = e.Party.Class, e.Party.Name
	}
	if e.Addon != nil {
		l.has, l.addon, l.onBehalf = l.has|hasAddon, e.Addon.Name, e.Addon.OnBehalfOf
	}
	if e.Dst != nil {
		l.has, l.host, l.ip = l.has|hasDst, e.Dst.Host, e.Dst.IP
	}
	if e.Src != nil {
		l.has |= hasSrc
		if e.Direction == "inbound" {
			l.caller = e.Src.IP
		}
	}
	if e.Process != nil {
		l.has, l.exe, l.program, l.role = l.has|hasProcess, e.Process.Exe, e.Process.Name, e.Process.Role
	}
	if e.Evidence != nil {
		l.has, l.confidence, l.reason = l.has|hasEvidence, e.Evidence.Confidence, e.Evidence.Reason
		if len(e.Evidence.Conflicts) > 0 {
			l.has |= hasConflicts
		}
	}
	if e.TLS != nil && e.TLS.HidesName() {
		l.has |= hasHiddenName
	}
	if e.DNS != nil {
		l.asked = e.DNS.Name
	}
	if e.Kind == "flow" || e.Kind == "http" || e.Kind == "dns" && (e.DNS == nil || e.DNS.Zone == nil) {
		return true
	}
	l.kind = "" // like no other
	return false
}

// place is where rows that are alike may be kept: near is as good as right.
func (l *likeness) place() uint64 {
	h := uint64(l.has)<<8 ^ uint64(len(l.state))
	for _, text := range [...]string{l.channel, l.party, l.addon, l.onBehalf, l.host, l.ip, l.caller, l.program, l.reason, l.asked} {
		if n := len(text); n > 1 {
			h = (h ^ uint64(n)<<24 ^ uint64(text[n/2])<<16 ^ uint64(text[n-2])<<8 ^ uint64(text[n-1])) * 0x9e3779b97f4a7c15
		}
	}
	return h >> 32 % uint64(len(alike{}))
}

// counted is where rows count that are alike.
type counted struct {
	likeness
	places sumPlaces
	terms  []uint64 // hashes
}

// alike keeps where rows of a moment ago counted. One goroutine owns it.
type alike [512]counted
