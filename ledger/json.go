package ledger

// AppendJSON appends the event's canonical form to dst. An event that is not in a log (Salt is empty) has no seq, salt and
// logged. Keys are in sorted order at every level; the order of the calls below is that order.
func (ev *Event) AppendJSON(dst []byte) []byte {
	e := &encoder{b: dst}
	e.open()
	e.addon(ev.Addon)
	e.text("announced_by", ev.AnnouncedBy)
	e.text("channel", ev.Channel)
	e.text("community_id", ev.CommunityID)
	e.text("direction", ev.Direction)
	e.dns(ev.DNS)
	e.endpoint("dst", ev.Dst)
	if ev.HasCounts {
		e.always("dst_bytes", ev.DstBytes)
		e.always("dst_packets", ev.DstPackets)
	}
	e.number("duration_us", ev.DurationUS)
	e.time("end", ev.End)
	e.evidence(ev.Evidence)
	e.text("fingerprint", ev.Fingerprint)
	e.text("flow_id", ev.FlowID)
	e.gap(ev.Gap)
	e.heartbeat(ev.Heartbeat)
	e.http(ev.HTTP)
	e.icmp(ev.ICMP)
	e.text("iface", ev.Iface)
	e.number("ip_proto", ev.IPProto)
	e.text("kind", ev.Kind)
	if ev.Salt != "" {
		e.time("logged", ev.Logged)
	}
	e.mail(ev.Mail)
	e.text("message", ev.Message)
	e.flag("mid_stream", ev.MidStream)
	e.number("missed_bytes", ev.MissedBytes)
	if ev.HasNew {
		e.always("new_dst_bytes", ev.NewDstBytes)
		e.always("new_src_bytes", ev.NewSrcBytes)
	}
	e.party(ev.Party)
	e.predecessor(ev.Predecessor)
	e.process(ev.Process)
	e.retention(ev.Retention)
	e.number("retransmits", ev.Retransmits)
	e.number("rtt_us", ev.RTTUS)
	e.text("rule", ev.Rule)
	if ev.Salt != "" {
		e.text("salt", ev.Salt)
		e.always("seq", int64(ev.Seq))
	}
	e.service(ev.Service)
	e.endpoint("src", ev.Src)
	if ev.HasCounts {
		e.always("src_bytes", ev.SrcBytes)
		e.always("src_packets", ev.SrcPackets)
	}
	e.time("start", ev.Start)
	e.text("state", ev.State)
	e.text("tcp_history", ev.History)
	e.text("tcp_state", ev.TCPState)
	e.tls(ev.TLS)
	e.flag("truncated", ev.Truncated)
	e.text("tunnel", ev.Tunnel)
	e.always("v", int64(ev.V))
	e.vlans(ev.VLAN)
	e.close()
	return e.b
}

func (e *encoder) addon(a *Addon) {
	if a == nil {
		return
	}
	e.object("addon")
	e.text("author", a.Author)
	e.text("call_site", a.CallSite)
	e.texts("chain", a.Chain)
	e.text("license", a.License)
	e.text("method", a.Method)
	e.text("model", a.Model)
	e.text("name", a.Name)
	e.text("on_behalf_of", a.OnBehalfOf)
	e.text("version", a.Version)
	e.close()
}

func (e *encoder) dns(d *DNS) {
	if d == nil {
		return
	}
	e.object("dns")
	e.texts("answers", d.Answers)
	e.flag("ech", d.ECH)
	e.always("id", d.ID)
	e.number("latency_us", d.LatencyUS)
	e.number("more_answers", d.MoreAnswers)
	e.text("name", d.Name)
	e.text("rcode", d.RCode)
	e.flag("truncated", d.Truncated)
	if len(d.Answers) > 0 {
		e.always("ttl", d.TTL)
	}
	e.text("type", d.Type)
	e.zone(d.Zone)
	e.close()
}

func (e *encoder) zone(z *Zone) {
	if z == nil {
		return
	}
	e.object("zone")
	e.number("bytes", z.Bytes)
	e.number("entropy", z.Entropy)
	e.text("name", z.Name)
	e.number("names", z.Names)
	e.number("queries", z.Queries)
	e.close()
}

func (e *encoder) icmp(i *ICMP) {
	if i == nil {
		return
	}
	e.object("icmp")
	e.always("code", i.Code)
	e.always("type", i.Type)
	e.close()
}

func (e *encoder) service(s *Service) {
	if s == nil {
		return
	}
	e.object("service")
	e.text("client", s.Client)
	e.text("database", s.Database)
	e.text("server", s.Server)
	e.text("user", s.User)
	e.close()
}

func (e *encoder) endpoint(k string, p *Endpoint) {
	if p == nil {
		return
	}
	e.object(k)
	e.text("host", p.Host)
	e.text("host_source", p.HostSource)
	e.text("ip", p.IP)
	if p.HasPort {
		e.always("port", int64(p.Port))
	}
	e.close()
}

func (e *encoder) evidence(v *Evidence) {
	if v == nil {
		return
	}
	e.object("evidence")
	e.texts("candidates", v.Candidates)
	e.text("confidence", v.Confidence)
	e.texts("conflicts", v.Conflicts)
	e.number("latency_us", v.LatencyUS)
	e.text("reason", v.Reason)
	e.text("source", v.Source)
	if len(v.Stack) > 0 {
		e.key("stack")
		e.b = append(e.b, '[')
		for i := range v.Stack {
			if i > 0 {
				e.b = append(e.b, ',')
			}
			e.frame(&v.Stack[i])
		}
		e.b = append(e.b, ']')
	}
	e.number("tid", v.TID)
	e.close()
}

func (e *encoder) frame(f *Frame) {
	e.open()
	e.text("addon", f.Addon)
	e.text("file", f.File)
	e.text("function", f.Function)
	e.number("line", int64(f.Line))
	e.text("module", f.Module)
	e.close()
}

func (e *encoder) retention(r *Retention) {
	if r == nil {
		return
	}
	e.object("retention")
	e.text("day", r.Day)
	if r.Earlier != nil {
		integers(e, "earlier", r.Earlier)
	}
	e.always("first", r.First)
	e.always("last", r.Last)
	e.text("reason", r.Reason)
	e.close()
}

func (e *encoder) predecessor(p *Predecessor) {
	if p == nil {
		return
	}
	e.object("predecessor")
	e.text("detail", p.Detail)
	e.text("kept", p.Kept)
	e.text("origin", p.Origin)
	e.text("root", p.Root)
	e.always("size", p.Size)
	e.text("where", p.Where)
	e.close()
}

func (e *encoder) gap(g *Gap) {
	if g == nil {
		return
	}
	e.object("gap")
	e.number("count", g.Count)
	e.text("iface", g.Iface)
	e.text("reason", g.Reason)
	e.close()
}

func (e *encoder) heartbeat(h *Heartbeat) {
	if h == nil {
		return
	}
	e.object("heartbeat")
	e.always("bytes", h.Bytes)
	e.texts("channels_off", h.ChannelsOff)
	e.number("clock_steps", h.ClockSteps)
	e.always("dropped", h.Dropped)
	e.always("flows", h.Flows)
	e.text("install", h.Install)
	e.texts("interfaces", h.Interfaces)
	e.texts("interfaces_down", h.InterfacesDown)
	e.number("malformed", h.Malformed)
	e.texts("malformed_why", h.MalformedWhy)
	e.always("packets", h.Packets)
	e.always("processes_watched", h.ProcessesWatched)
	e.always("queue_dropped", h.QueueDropped)
	e.always("unattributed", h.Unattributed)
	e.close()
}

func (e *encoder) http(h *HTTP) {
	if h == nil {
		return
	}
	e.object("http")
	e.texts("headers", h.Headers)
	e.text("host", h.Host)
	e.text("method", h.Method)
	e.text("path", h.Path)
	e.number("request_bytes", h.RequestBytes)
	e.number("response_bytes", h.ResponseBytes)
	e.text("route", h.Route)
	e.number("status", int64(h.Status))
	e.text("user_agent", h.UserAgent)
	e.text("version", h.Version)
	e.close()
}

func (e *encoder) mail(m *Mail) {
	if m == nil {
		return
	}
	e.object("mail")
	e.text("greeting_host", m.GreetingHost)
	e.number("messages", m.Messages)
	e.text("protocol", m.Protocol)
	e.flag("starttls", m.StartTLS)
	e.text("state", m.State)
	e.close()
}

func (e *encoder) party(p *Party) {
	if p == nil {
		return
	}
	e.object("party")
	e.text("class", p.Class)
	e.text("name", p.Name)
	e.text("rule", p.Rule)
	e.close()
}

func (e *encoder) process(p *Process) {
	if p == nil {
		return
	}
	e.object("process")
	e.text("container", p.Container)
	e.text("database", p.Database)
	e.text("database_by", p.DatabaseBy)
	e.text("exe", p.Exe)
	e.text("job", p.Job)
	e.text("name", p.Name)
	e.number("netns", p.NetNS)
	e.text("odoo_version", p.OdooVersion)
	e.always("pid", int64(p.PID))
	e.text("role", p.Role)
	e.time("start", p.Start)
	e.always("uid", p.UID)
	e.close()
}

func (e *encoder) tls(t *TLS) {
	if t == nil {
		return
	}
	e.object("tls")
	e.text("alert", t.Alert)
	e.text("alpn", t.ALPN)
	e.cert(t.Cert)
	e.text("cert_names", t.CertNames)
	e.text("cipher", t.Cipher)
	e.flag("early_data", t.EarlyData)
	e.flag("ech", t.ECH)
	e.text("ech_kind", t.ECHKind)
	e.flag("established", t.Established)
	e.text("group", t.Group)
	e.text("ja3", t.JA3)
	e.text("ja3s", t.JA3S)
	e.text("ja4", t.JA4)
	e.flag("resumed", t.Resumed)
	e.flag("retry", t.Retry)
	e.text("sni", t.SNI)
	e.text("starttls", t.StartTLS)
	e.text("version", t.Version)
	e.close()
}

func (e *encoder) cert(c *Cert) {
	if c == nil {
		return
	}
	e.object("cert")
	e.text("issuer", c.Issuer)
	e.time("not_after", c.NotAfter)
	e.texts("san", c.SAN)
	e.text("sha256", c.SHA256)
	e.text("subject", c.Subject)
	e.close()
}

func (e *encoder) vlans(list []int) {
	if len(list) > 0 {
		integers(e, "vlan", list)
	}
}
