package ui

import (
	"html/template"
	"slices"
	"strconv"
	"strings"

	"netaudit/ledger"
	"netaudit/ui/words"
)

// nameSources say how a destination's name was learned.
var nameSources = map[string]string{
	"sni":  "the caller asked for this name when it opened TLS ([SNI](#sni))",
	"http": "the request itself names this host",
	"dns":  "a lookup just before gave this address for the name",
	"cert": "the server's certificate is for this name",
	"none": "no name was seen",
}

// evidenceSources say how the caller was found.
var evidenceSources = map[string]string{
	"kernel":  "the kernel reported the calling thread itself, at the moment of the call",
	"thread":  "a thread was seen waiting on exactly this socket",
	"process": "this process holds the socket; which of its threads called follows from what they were doing",
	"name":    "by name only",
	"history": "carried over from an earlier call",
	"none":    "nobody could be found",
}

// partyRules say why a destination belongs to a party, by the kind of the rule.
var partyRules = map[string]string{
	"host":    "the catalogue of parties lists this very name: `{what}`",
	"domain":  "the catalogue of parties lists the domain `{what}`",
	"range":   "the catalogue of parties lists the addresses `{what}`",
	"default": "no entry of the catalogue fits: a third party, named by its domain or address",
}

// meaning is a text of a table in the reader's language, "" for what is not in it.
func meaning(w *words.Words, table map[string]string, key string) template.HTML {
	if text, ok := table[key]; ok {
		return w.HTML(text)
	}
	return ""
}

// partyReason says which rule decided, "" for a rule of another version.
func partyReason(w *words.Words, rule string) template.HTML {
	owner, rest, _ := strings.Cut(rule, "/")
	kind, what, _ := strings.Cut(rest, ":")
	if owner == "default" {
		kind = "default"
	}
	if text, ok := partyRules[kind]; ok {
		return w.HTML(text, what)
	}
	return ""
}

// confidenceMeaning says what a confidence means.
func confidenceMeaning(w *words.Words, name string) string {
	for _, k := range confidences {
		if k.name == name {
			return w.Text(k.meaning)
		}
	}
	return ""
}

// callerStep is one station on the way from a process to the call.
type callerStep struct {
	Label, Text, Detail string
	Link                string
	Calls               bool // this one made the call
}

// callerSteps is the way to the call, from the process inwards to the addon that made it.
func callerSteps(w *words.Words, e *ledger.Event) (steps []callerStep) {
	if p := e.Process; p != nil {
		steps = append(steps, callerStep{Label: w.Text("Process"), Text: p.Name, Detail: w.Text("pid {pid}", strconv.Itoa(p.PID)), Calls: e.Addon == nil, Link: processLink(e)})
	}
	if e.Evidence != nil && e.Evidence.TID != 0 {
		steps = append(steps, callerStep{Label: w.Text("Thread"), Text: strconv.FormatInt(e.Evidence.TID, 10)})
	}
	if e.Addon == nil {
		return steps
	}
	chain := e.Addon.Chain
	if len(chain) == 0 {
		chain = []string{e.Addon.Name}
	}
	for i, name := range slices.Backward(chain) {
		step := callerStep{Label: w.Text("Addon"), Text: name, Link: "/log?addon=" + template.URLQueryEscaper(name)}
		switch {
		case i == 0:
			step.Label, step.Detail, step.Calls = w.Text("Made the call"), e.Addon.Version, true
		case name == e.Addon.OnBehalfOf:
			step.Label = w.Text("On behalf of")
		}
		steps = append(steps, step)
	}
	return steps
}

func processLink(e *ledger.Event) string {
	if e.Addon != nil || e.Process.Name == "" {
		return ""
	}
	return "/log?addon=" + template.URLQueryEscaper(ledger.ModuleName(e))
}

// link leads to other rows.
type link struct{ Name, To string }

// related are links to rows that have something in common with one.
func related(w *words.Words, e *ledger.Event) (list []link) {
	add := func(name string, pairs ...string) {
		list = append(list, link{Name: name, To: "/log?" + with(nil, pairs...)})
	}
	if e.FlowID != "" {
		add(w.Text("All rows of this call"), "kind", "all", "q", e.FlowID)
	}
	if e.Dst == nil {
		return list
	}
	who, host := ledger.ModuleName(e), hostOf(e)
	if who != "" && who != "(unknown)" {
		add(w.Text("Calls of {name}", who), "addon", who)
	}
	if e.Direction != "inbound" && host != "" {
		add(w.Text("Calls to {name}", host), "dest", host)
		if who != "" && who != "(unknown)" {
			add(w.Text("Of {name} to {destination}", who, host), "addon", who, "dest", host)
		}
	}
	return list
}

func hostOf(e *ledger.Event) string {
	if e.Dst.Host != "" {
		return e.Dst.Host
	}
	return e.Dst.IP
}
