package ui

import (
	"fmt"
	"html/template"
)

// entry explains a word that the pages use.
type entry struct{ ID, Word, Text string }

// term links a word to its explanation.
func term(id, word string) (template.HTML, error) {
	for _, e := range glossary {
		if e.ID == id {
			return template.HTML(fmt.Sprintf(`<a class="term" href="/glossary#%s">%s</a>`, template.HTMLEscapeString(id), template.HTMLEscapeString(word))), nil
		}
	}
	return "", fmt.Errorf("the glossary has no entry %q", id)
}

var glossary = []entry{
	{"A1", "A1: the log does not verify", "A row, a signature or the anchor file does not fit the rest. Somebody changed the log, or the disk did. What it said before cannot be taken for granted."},
	{"A2", "A2: netaudit made a call", "netaudit itself opened a connection. It never should: this report answers by reading, not by asking."},
	{"A3", "A3: undeclared call to MIT", "Something other than a declared license component called an address that belongs to MIT, or nobody could be named as the caller."},
	{"A4", "A4: more than the license needs", "License components are declared to send a few kilobytes a day. On some day they sent more."},
	{"A5", "A5: disguised call to MIT", "The names under which the calling code presents itself contradict each other, and the call went to MIT."},
	{"T1", "T1: not everything was watched", "For part of the time, or for some packets, netaudit could not see. What happened then is not known."},
	{"T2", "T2: calls without a name", "Calls left the host, and neither an addon nor a program could be named. Each row says why."},
	{"T3", "T3: new destinations", "Calls went to places that had not been called before. A week of history is needed before this rule speaks."},
	{"T4", "T4: hidden destinations", "The wire did not show a name: the call went to a bare address, or the name was encrypted."},
	{"T7", "T7: disguised call", "The names under which the calling code presents itself contradict each other, and the call went to a third party."},
	{"T6", "T6: a daily seal is overdue", "Every UTC day ends with a seal. While it is missing, rows of that day are protected by the log's key alone, and whoever gets hold of this host has that key. Start netaudit: it seals what is due."},
	{"T8", "T8: recovered after a crash", "netaudit, or the machine, stopped without a farewell. The log was checked and continued; a gap row says how long nothing was seen."},
	{"T9", "T9: data in names", "Many long, random-looking names were asked below one domain. Whoever owns that domain reads them: data can leave that way without any connection. Content networks and blocklists ask similar names, but not so long, so random and so many at once."},
	{"addon", "Addon", "A module of Odoo: a directory with a manifest. netaudit names the addon whose code made the call by reading the Python stack of the calling thread from outside."},
	{"alert", "Alert", "Why one side of a TLS connection gave up, in its own words, before everything was encrypted. \"server unknown_ca\" for example: the server did not trust the client's certificate."},
	{"anchor", "Anchor", "A small file outside the database that holds the newest checkpoint. It shows when the database was set back to an older state."},
	{"attribution", "Attribution", "Naming who made a call: process, thread, Python stack, addon. The share of calls out of this host whose maker is known."},
	{"attention", "Attention", "Nothing proves a leak, but something keeps the answer from being complete: a gap, a call without a name, a hidden destination."},
	{"all-clear", "All clear", "Nothing went to MIT, or only what its license components are declared to send, and the watcher was awake all the time."},
	{"alarm", "Alarm", "A rule fired that must not be explained away: an undeclared call to MIT, a broken log, or a call by netaudit itself."},
	{"bodies", "Bodies", "What a call says inside. netaudit never stores it: rows have no field for it."},
	{"call-site", "Call site", "File, line and function of the addon's code that made the call."},
	{"chain", "Addon chain", "Addons on the calling stack, the one nearest to the call first. It shows when one addon works through another's helper."},
	{"seal", "Daily seal", "A signed statement for every UTC day: so many rows, this tree head, and a code made with a key that this host forgets the day after. The key of the first day, kept elsewhere, shows later that no finished day was rewritten."},
	{"bundle", "Proof bundle", "A zip file with rows exactly as they are hashed, the hashes that lead from them to the signed checkpoint, every daily seal and the public keys. Whoever gets it can check it without netaudit."},
	{"checkpoint", "Checkpoint", "A signed statement of the log: so many rows, this tree head. Whoever keeps one can later prove whether the log was changed."},
	{"confidence", "Confidence", "How sure a name is: exact (the calling thread was seen waiting on this very socket), high (there was only one possibility), unknown."},
	{"channel", "Channel", "What was spoken on the connection, as far as the wire shows it: https, dns, smtp, postgres and so on; tcp or udp when nothing is recognised."},
	{"coverage", "Coverage", "The share of the time in which netaudit was awake and capturing. Silence is only proof if the watcher was awake."},
	{"early-data", "Early data", "A client that has called before may send its first request with its hello. The request is encrypted, but whoever records it can send it again."},
	{"ech", "ECH", "Encrypted Client Hello: the name that is called travels encrypted, and a public one stands in its place. Browsers also send it without meaning (GREASE), which looks the same."},
	{"flow", "Call (flow)", "One connection or exchange between two ends. Long ones have several rows: updates while they last and one at the end."},
	{"hash-chain", "Hash chain", "Every row's hash covers the row before it. Changing one row changes every hash after it."},
	{"incomplete", "Incomplete", "What netaudit saw of this call has holes. Counts are what was seen; what was missed is counted apart where the sequence numbers tell."},
	{"ja4", "JA3 and JA4", "Short fingerprints of how a program opens TLS. The same program has the same fingerprint, whatever name it calls."},
	{"leaf", "Leaf hash", "The SHA-256 hash of the row's exact bytes, as RFC 6962 defines it. It is what a proof leads from."},
	{"masked", "Masked", "The first letter and the length of a name, nothing more: enough to tell one from another."},
	{"mit-bound", "MIT-bound", "The destination belongs to MIT by name or by address, as the catalogue of parties says."},
	{"on-behalf-of", "On behalf of", "The addon that used another addon's helper to make the call."},
	{"proof", "Inclusion proof", "A few hashes that show that a row is in the log of a signed checkpoint. Any C2SP tool can check it, without netaudit."},
	{"route", "Route", "Which part of Odoo answered: the path without the numbers, names and tokens that belong to a record or a person."},
	{"rtt", "Round trip", "How long a packet needs there and back, measured while the connection was made."},
	{"self-egress", "Self-egress", "Calls that netaudit itself made. Must be zero."},
	{"sni", "SNI", "The name that a TLS client says in the clear when it connects: the name of the server that it wants."},
	{"tcp-state", "TCP state", "How a connection went, in Zeek's words: SF opened and closed properly, S0 no answer, REJ refused, RSTO and RSTR broken off by the caller or by the server, OTH seen in the middle."},
	{"third-party", "Third party", "The destination is neither MIT nor inside your network."},
	{"verifier-key", "Log key", "The public key of this log. Proofs and checkpoints are checked with it; take it over a way that you trust, for example by reading it here once and keeping it."},
	{"volume", "Volume", "Bytes of payload. What was sent again by TCP counts once; headers do not count."},
	{"zone", "Domain", "The part of a name that somebody registered. Data can leave through names that are asked below a domain: they are then many, long and random-looking. Random text has more than 4 bits a character, words have about 3."},
}
